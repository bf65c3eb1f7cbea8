# SPDX-License-Identifier: GPL-2.0-only
"""One request that takes its time does not hold up the others of its CPU."""

import errno
import fcntl
import os
import re
import signal
import time

import pytest

from fusetest import pattern
from fusetest.build import BUILD
from fusetest.child import Child, call, run
from fusetest.mount import CONNECTIONS, TRANSPORTS, Mount

SLEEPY = "test/fs/sleepy"
MANY = ("dev-multi", "dev-clone-fd", "rings")
ALL = pytest.mark.transport("dev-single", *MANY)
CPU = 0

pytestmark = [pytest.mark.transport(*MANY), pytest.mark.sanitize]


def sleepy(work, transport, options=(), **kwargs):
    return Mount(work, transport, program=SLEEPY, options=options, **kwargs)


def pin():
    os.sched_setaffinity(0, {CPU})


def pinned_readers(path, readers=16, size=4096):
    """How long so many reads that start at once on one CPU take together, in ms."""
    program = BUILD.program("test/tools/pinned_readers")
    output = run([program, "-c", CPU, "-n", readers, "-s", size, path]).stdout
    return float(re.search(r"total_ms ([\d.]+)", output).group(1))


def test_sixteen_readers_of_one_cpu(work, transport):
    with sleepy(work, transport) as mount:
        pinned_readers(mount.path / "slow")  # the library learns that reads are slow
        # The best of three: other processes of the machine are late for everybody. One
        # handler that holds up the others would make it 1600 ms each time.
        total = min(pinned_readers(mount.path / "slow") for _ in range(3))
        assert 100 <= total < 400
    if mount.transport.is_uring:
        assert mount.stats()["handed_over"] > 0


def test_sixteen_readers_at_once(work, transport):
    """The very first sixteen are no exception."""
    totals = []
    for _ in range(3):
        with sleepy(work, transport) as mount:
            totals.append(pinned_readers(mount.path / "slow"))
    assert 100 <= min(totals) < 400


@pytest.mark.transport("dev-single")
def test_one_thread_is_one_thread(work, transport):
    """A filesystem that is not thread-safe relies on it, so the handlers take turns."""
    with sleepy(work, transport) as mount:
        assert pinned_readers(mount.path / "slow", readers=8) >= 790


@pytest.mark.transport("rings")
def test_one_thread_over_rings(work, transport):
    with sleepy(work, TRANSPORTS[transport].in_one_thread) as mount:
        assert pinned_readers(mount.path / "slow", readers=8) >= 790


@ALL
def test_answers_of_another_thread(work, transport):
    with sleepy(work, transport) as mount:
        # A kernel that has no more than 8 requests of a queue under way takes two turns.
        assert 100 <= pinned_readers(mount.path / "async") < 400


def getattr_ms(path, rounds=20):
    """The slowest but two of some stat() on the CPU in question, in ms: others use it, too."""
    pin()
    times = []
    for _ in range(rounds):
        start = time.monotonic()
        os.stat(path)
        times.append(time.monotonic() - start)
    return sorted(times)[-3] * 1000


def take_lock(path, kind, wait=True):
    """A process that takes a lock on that CPU, and says so by ending."""
    pin()
    fd = os.open(path, os.O_RDWR)
    if kind == "flock":
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    else:
        fcntl.lockf(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 10, 0)
    return fd


def hold_lock(path, kind, ready, told):
    fd = take_lock(path, kind)
    os.write(ready, b"1")
    os.read(told, 1)
    if kind == "flock":
        fcntl.flock(fd, fcntl.LOCK_UN)
    else:
        fcntl.lockf(fd, fcntl.LOCK_UN, 10, 0)


class Holder:
    """A process that holds a lock, and gives it back on the CPU on which others wait."""

    def __init__(self, path, kind):
        reader, writer = os.pipe()
        self.told, self.tell = os.pipe()
        self.child = Child(hold_lock, path, kind, writer, self.told)
        assert os.read(reader, 1) == b"1"
        os.close(reader)
        os.close(writer)

    def release(self):
        os.write(self.tell, b"1")
        self.child.result(10)


def how_many_wait(mount):
    """sleepy says so; of others the kernel knows what has not been answered."""
    if mount.source:
        return int((CONNECTIONS / str(mount.minor) / "waiting").read_text())
    return int(call((mount.path / "waiting").read_text))


def wait_until_waiting(mount, count):
    deadline = time.monotonic() + 5 * BUILD.slowdown
    while how_many_wait(mount) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if mount.source:
        # An interruption is lost while a request is on its way to a ring: see doc/transport.md.
        time.sleep(0.1 * BUILD.slowdown)


def server(work, transport, program):
    """Over /dev/fuse each that waits in its handler needs one of the session's threads."""
    if program == "sleepy":
        options = [] if TRANSPORTS[transport].is_uring else ["max_threads=40"]
        return sleepy(work, transport, options)
    return Mount(work, transport)


@pytest.mark.parametrize("kind", ["flock", "fcntl"])
@pytest.mark.parametrize("program", ["sleepy", "passthrough_hp"])
def test_getattr_beside_a_lock_that_waits(work, transport, program, kind):
    with server(work, transport, program) as mount:
        path = mount.path / "lock"
        if program != "sleepy":
            call(path.write_bytes, b"x" * 100)
        holder = Holder(path, kind)
        waiter = Child(take_lock, path, kind)
        wait_until_waiting(mount, 1)
        slowest = call(getattr_ms, path)
        holder.release()
        waiter.result(10)
        assert slowest < 50


def open_often(path, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        os.close(os.open(path, os.O_RDONLY))


@pytest.mark.transport("dev-multi", "dev-clone-fd")
@pytest.mark.parametrize("threads, idle", [(2, 0), (2, 1), (3, 1)])
def test_threads_that_leave(work, transport, threads, idle):
    """However few may be idle, one receives, also while all others wait for its client."""
    options = [f"max_threads={threads}", f"max_idle_threads={idle}"]
    with sleepy(work, transport, options) as mount:
        path = mount.path / "lock"
        for kind in ("flock", "fcntl"):
            clients = [Child(open_often, path, 1) for _ in range(6)]
            for client in clients:
                client.result(10 * BUILD.slowdown)
            holder = Holder(path, kind)
            waiter = Child(take_lock, path, kind)
            wait_until_waiting(mount, 1)
            clients = [Child(open_often, path, 0.3) for _ in range(3)]
            for client in clients:
                client.result(10 * BUILD.slowdown)
            holder.release()
            waiter.result(10)


# As many as a queue's depth (8), as a session has threads (10), and more.
@pytest.mark.parametrize("count", [8, 9, 10, 20])
@pytest.mark.parametrize("kind", ["flock", "fcntl"])
@pytest.mark.parametrize("program", ["sleepy", "passthrough_hp"])
def test_many_locks_that_wait(work, transport, program, kind, count):
    """The unlock that they all wait for comes from the same CPU and has to get through."""
    with server(work, transport, program) as mount:
        path = mount.path / "lock"
        if program != "sleepy":
            call(path.write_bytes, b"x" * 100)
        holder = Holder(path, kind)
        waiters = [Child(take_lock, path, kind) for _ in range(count)]
        wait_until_waiting(mount, count)
        assert call(getattr_ms, path, timeout=10) < 500 * BUILD.slowdown
        start = time.monotonic()
        holder.release()
        for waiter in waiters:
            waiter.result(10)
        assert time.monotonic() - start < 5 * BUILD.slowdown


@pytest.mark.parametrize("count", [40])
def test_locks_of_passthrough_hp_need_no_thread(work, transport, count):
    """However many wait, the server goes on: it does not wait in its handlers."""
    with Mount(work, transport) as mount:
        path = mount.path / "lock"
        call(path.write_bytes, b"x" * 100)
        holder = Holder(path, "fcntl")
        waiters = [Child(take_lock, path, "fcntl") for _ in range(count)]
        wait_until_waiting(mount, count)
        assert call(getattr_ms, path, timeout=10) < 500 * BUILD.slowdown
        holder.release()
        for waiter in waiters:
            waiter.result(20)


def read_and_release(path, other, rounds):
    """Requests that bring or get data, and such that do neither, in turn."""
    pin()
    for step in range(rounds):
        fd = os.open(path, os.O_RDWR)
        for offset in range(0, 1 << 20, 1 << 18):
            assert len(os.pread(fd, 1 << 18, offset)) == 1 << 18
        os.fsync(fd)
        fcntl.lockf(fd, fcntl.LOCK_EX, 1, other * 100 + step)
        os.close(fd)


def test_more_clients_than_buffers_while_locks_wait(work, transport):
    """With the options given, nobody is forgotten who waits for a buffer, if anybody does."""
    with Mount(work, transport, args=["--nopassthrough", "--direct-io"]) as mount:
        path, data = mount.path / "lock", mount.path / "data"
        call(path.write_bytes, b"x" * 100)
        call(data.write_bytes, bytes(1 << 20))
        holder = Holder(path, "flock")
        waiters = [Child(take_lock, path, "flock") for _ in range(12)]
        clients = [Child(read_and_release, data, n, 20) for n in range(24)]
        for client in clients:
            client.result(60 * BUILD.slowdown)
        holder.release()
        for waiter in waiters:
            waiter.result(20)


def hold_and_take_another(path, ready, told):
    fd = take_lock(path, "fcntl")
    os.write(ready, b"1")
    os.read(told, 1)
    start = time.monotonic()
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 1000)
    return time.monotonic() - start


def test_lock_that_need_not_wait(work, transport):
    """Who asks for a free lock gets it, although many wait for what that process holds."""
    with server(work, transport, "sleepy") as mount:
        path = mount.path / "lock"
        (ready, writer), (told, tell) = os.pipe(), os.pipe()
        holder = Child(hold_and_take_another, path, writer, told)
        os.read(ready, 1)
        waiters = [Child(take_lock, path, "fcntl") for _ in range(15)]
        wait_until_waiting(mount, 15)
        os.write(tell, b"1")
        assert holder.result(10) < 0.5 * BUILD.slowdown
        for waiter in waiters:
            waiter.result(10)


def interrupted_wait(path, kind):
    """What a wait comes to that SIGALRM ends, and when."""

    def alarm(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    start = time.monotonic()
    try:
        take_lock(path, kind)
    except TimeoutError:
        return time.monotonic() - start
    return "locked"


@pytest.mark.parametrize("kind", ["flock", "fcntl"])
@pytest.mark.parametrize("program", ["sleepy", "passthrough_hp"])
def test_waits_are_interrupted(work, transport, program, kind):
    """A signal ends the wait, of the last of many too, and nobody else's."""
    with server(work, transport, program) as mount:
        path = mount.path / "lock"
        if program != "sleepy":
            call(path.write_bytes, b"x" * 100)
        holder = Holder(path, kind)
        waiters = [Child(take_lock, path, kind) for _ in range(12)]
        wait_until_waiting(mount, 12)
        interrupted = [Child(interrupted_wait, path, kind) for _ in range(6)]
        for child in interrupted:
            assert 0.2 < child.result(10) < 1.5 * BUILD.slowdown
        for waiter in waiters:
            assert os.waitpid(waiter.pid, os.WNOHANG) == (0, 0)
        holder.release()
        for waiter in waiters:
            waiter.result(10)


def _wait_and_be_killed(path, kind):
    take_lock(path, kind)


@pytest.mark.parametrize("program", ["sleepy", "passthrough_hp"])
def test_waiters_that_are_killed(work, transport, program):
    """SIGKILL interrupts the wait; neither lock nor thread is lost."""
    with server(work, transport, program) as mount:
        path = mount.path / "lock"
        if program != "sleepy":
            call(path.write_bytes, b"x" * 100)
        for _ in range(3):
            holder = Holder(path, "fcntl")
            waiters = [Child(_wait_and_be_killed, path, "fcntl") for _ in range(6)]
            wait_until_waiting(mount, 6)
            for waiter in waiters:
                waiter.signal(signal.SIGKILL)
            for waiter in waiters:
                with pytest.raises(AssertionError, match="died"):
                    waiter.result(5)
            holder.release()
            fd_taken = Child(take_lock, path, "fcntl", wait=False)
            fd_taken.result(5)


def ask_when_told(path, ready, told):
    fd = os.open(path, os.O_RDWR)
    os.write(ready, b"1")
    os.read(told, 1)
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)


@pytest.mark.dialect("bufring")
def test_killed_before_the_server_has_the_request(work, transport):
    """A server that is stopped takes nothing out of its rings. Other kernels lose that."""
    with Mount(work, transport) as mount:
        path = mount.path / "lock"
        call(path.write_bytes, b"x" * 100)
        holder = Holder(path, "fcntl")
        reader, ready = os.pipe()
        told, tell = os.pipe()
        waiter = Child(ask_when_told, path, ready, told)
        assert os.read(reader, 1) == b"1"
        before = how_many_wait(mount)
        mount.signal(signal.SIGSTOP)
        os.write(tell, b"1")
        while how_many_wait(mount) == before:
            time.sleep(0.01)
        waiter.signal(signal.SIGKILL)
        time.sleep(0.1 * BUILD.slowdown)
        mount.signal(signal.SIGCONT)
        with pytest.raises(AssertionError, match="died"):
            waiter.result(5)
        holder.release()
        for end in (reader, ready, told, tell):
            os.close(end)


def assert_told_of_the_end(child):
    """It learns that the file system is not there any more."""
    with pytest.raises(OSError) as caught:
        child.result(10)
    assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)


@pytest.mark.parametrize("ending", ["SIGTERM", "umount", "abort"])
@pytest.mark.parametrize("program", ["sleepy", "passthrough_hp"])
def test_end_while_locks_wait(work, transport, program, ending):
    with server(work, transport, program) as mount:
        path = mount.path / "lock"
        if program != "sleepy":
            call(path.write_bytes, b"x" * 100)
        holder = Holder(path, "fcntl")
        waiters = [Child(take_lock, path, "fcntl") for _ in range(6)]
        wait_until_waiting(mount, 6)
        start = time.monotonic()
        if ending == "SIGTERM":
            mount.signal(signal.SIGTERM)
        elif ending == "abort":
            mount.abort()
        else:
            mount.unmount(lazy=True)
            # Nothing ends yet: all of them still have the file open.
            assert mount.process.poll() is None
            os.write(holder.tell, b"1")
        for waiter in waiters:
            if ending == "umount":
                waiter.result(10)
            else:
                assert_told_of_the_end(waiter)
        if ending != "umount":
            os.write(holder.tell, b"1")
            assert_told_of_the_end(holder.child)
        else:
            holder.child.result(10)
        assert mount.wait(10) == 0
        assert time.monotonic() - start < 2 * BUILD.slowdown


# What sleepy is good for beside sleeping


def read_once(path, size=4096):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, size)
    finally:
        os.close(fd)


@ALL
def test_second_answers_are_refused(work, transport):
    with sleepy(work, transport) as mount:
        for _ in range(20):
            data = call(read_once, mount.path / "double")
            assert len(data) == 4096 and len(set(data)) == 1
            time.sleep(0.02)  # the second answer comes when the first one has arrived
        assert int(call((mount.path / "refused").read_text)) == 20


def errno_of_read(path):
    try:
        read_once(path)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "fine"


# What a client may see of a session that ends: its data, or that nobody is there.
OVER = ("fine", "ENOTCONN", "ECONNABORTED", "ECANCELED", "EIO")


@ALL
@pytest.mark.parametrize("name", ["late", "later"])
@pytest.mark.parametrize("ending", ["SIGTERM", "abort"])
def test_answers_after_the_end(work, transport, name, ending):
    """A filesystem may answer when the loop has ended; it must not break anything."""
    with sleepy(work, transport) as mount:
        readers = [Child(errno_of_read, mount.path / name) for _ in range(4)]
        wait_until_waiting(mount, 4)
        if ending == "SIGTERM":
            mount.signal(signal.SIGTERM)
        else:
            mount.abort()
        for reader in readers:
            assert reader.result(10) in OVER
        assert mount.wait(10) == 0, mount.log()
        assert mount.log().count("was answered") == 4, mount.log()


@ALL
def test_session_ended_by_a_handler(work, transport):
    with sleepy(work, transport) as mount:
        assert call(errno_of_read, mount.path / "exit") in OVER
        assert mount.wait(10) == 0, mount.log()


def test_slow_writes_and_quick_reads(work, transport):
    """While writes sleep, requests of other kinds are answered on the same CPU."""
    with sleepy(work, transport) as mount:

        def write():
            pin()
            fd = os.open(mount.path / "slow_write", os.O_WRONLY)
            for step in range(5):
                os.pwrite(fd, bytes(4096), step * 4096)
            os.close(fd)

        writers = [Child(write) for _ in range(4)]
        time.sleep(0.05)
        assert call(getattr_ms, mount.path / "slow") < 60
        for writer in writers:
            writer.result(20)


def test_data_while_others_sleep(work, transport):
    """passthrough_hp and sleepy at once: two sessions do not meet."""
    with sleepy(work, transport) as slow, Mount(work, transport) as quick:
        readers = [Child(read_once, slow.path / "slow") for _ in range(8)]
        call(pattern.sizes_at_odd_offsets, quick.path / "file")
        for reader in readers:
            assert len(reader.result(10)) == 4096
