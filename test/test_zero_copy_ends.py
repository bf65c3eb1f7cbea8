# SPDX-License-Identifier: GPL-2.0-only
"""
Moves that never end by themselves: reads of a pipe that is empty, writes to one that is full.
Whoever is killed, however the mount ends: it is soon over, with the right errno.
"""

import errno
import mmap
import os
import signal
import time

import pytest

from fusetest.build import BUILD
from fusetest.child import Child, call, interrupted, reap, run
from fusetest.mount import CONNECTIONS, mount_entry
from fusetest.waiting import eventually
from fusetest.ways import report, serve

LIMIT = 2 * BUILD.slowdown  # seconds
READERS = 3
MIB = 1 << 20

pytestmark = [pytest.mark.transport("zero-copies"), pytest.mark.sanitize]


def blocked_read(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 4096)
    except OSError as error:
        return errno.errorcode[error.errno]


def blocked_write(path):
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, bytes(4096))
    except OSError as error:
        return errno.errorcode[error.errno]


def wait_for_requests(mount, count):
    """All of them zero-copied, which the server counts a moment after it has counted the request."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        seen = call(report, mount)
        if seen["zero_copied_reads"] + seen["zero_copied_writes"] >= count:
            break
        time.sleep(0.02)
    assert seen["zero_copied_reads"] + seen["zero_copied_writes"] == count, seen
    assert seen["reads"] + seen["writes"] == count, seen
    time.sleep(0.2)  # the report comes from before the move


def start_clients(mount, before=0):
    """Several that read and one that writes; of writes the kernel lets through but one."""
    clients = [Child(blocked_read, mount.path / "blocked") for _ in range(READERS)]
    clients.append(Child(blocked_write, mount.path / "blocked"))
    wait_for_requests(mount, before + len(clients))
    return clients


def assert_over(clients, errors):
    """Each gets one of the errors in time."""
    started = time.monotonic()
    found = [client.result(LIMIT) for client in clients]
    assert time.monotonic() - started < LIMIT
    assert set(found) <= set(errors), found


def assert_usable(mount):
    def body():
        (mount.path / "fd").write_bytes(b"content")
        os.sync()
        return (mount.path / "fd").read_bytes()

    assert call(body, timeout=LIMIT + 5) == b"content"


def test_clients_killed(work, transport):
    """They are gone at once, and their entries serve others."""
    with serve(work, transport, "io_uring_q_depth=8") as mount:
        for turn in range(4):
            clients = start_clients(mount, before=turn * (READERS + 2))
            started = time.monotonic()
            for client in clients:
                client.signal(signal.SIGKILL)
            for client in clients:
                status = reap(client.pid, LIMIT)
                if status is None:
                    mount.abort()
                    raise AssertionError("a killed client is still there")
                assert os.WTERMSIG(status) == signal.SIGKILL
            assert time.monotonic() - started < LIMIT
            call(write_one, mount.path / "fd")


def write_one(path):
    fd = os.open(path, os.O_WRONLY)
    assert os.write(fd, b"content") == 7
    os.close(fd)


@pytest.mark.parametrize("function", [blocked_read, blocked_write])
def test_clients_interrupted(work, transport, function):
    with serve(work, transport) as mount:
        took = call(interrupted, function, mount.path / "blocked", timeout=10)
        assert 0.4 < took < LIMIT
        assert_usable(mount)


def test_server_killed(work, transport):
    with serve(work, transport, exit_status=-signal.SIGKILL, expect=None) as mount:
        clients = start_clients(mount)
        mount.signal(signal.SIGKILL)
        assert_over(clients, ["ECONNABORTED", "ENOTCONN"])
        assert mount.wait(10) == -signal.SIGKILL
        mount.unmount()


def pinned_write(path, content):
    """All clients on one CPU share a queue."""
    os.sched_setaffinity(0, {0})
    fd = os.open(path, os.O_WRONLY)
    return os.write(fd, content)


@pytest.mark.transport("zero-copy")
def test_write_that_outlasts_the_idle_queue(work, transport):
    """
    Its reply lies ready in a buffer beyond those that an idle queue keeps the memory of. Of pinned
    memory there is none beyond them.
    """
    content = bytes(range(256)) * 16
    with serve(work, transport, "io_uring_q_depth=1") as mount:
        holder = Child(pinned_write, mount.path / "blocked", content)
        wait_for_requests(mount, 1)
        late = Child(pinned_write, mount.path / "late", content)
        wait_for_requests(mount, 2)
        assert late.result(20 * BUILD.slowdown) == len(content)
        file = mount.folder / "late"
        eventually(lambda: file.read_bytes().endswith(content), "what was written")
        holder.signal(signal.SIGKILL)
        assert reap(holder.pid, LIMIT) is not None


def test_connection_aborted(work, transport):
    with serve(work, transport) as mount:
        clients = start_clients(mount)
        (CONNECTIONS / str(mount.minor) / "abort").write_text("1")
        assert_over(clients, ["ECONNABORTED", "ENOTCONN"])
        assert mount.wait(10) == 0, mount.log()
        if mount_entry(mount.path):
            mount.unmount()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_told_to_end(work, transport, number):
    with serve(work, transport) as mount:
        clients = start_clients(mount)
        mount.signal(number)
        assert_over(clients, ["ECONNABORTED", "ENOTCONN", "EINTR"])
        assert mount.wait(10) == 0, mount.log()


def write_directly(path, begun, number):
    """Until there is nobody any more who takes it. begun is shared memory: who has written."""
    fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
    memory = mmap.mmap(-1, MIB)
    try:
        while os.pwritev(fd, [memory], 0) == MIB:
            begun[number] = 1
    except OSError as error:
        return errno.errorcode[error.errno]
    return "less than all"


def test_told_to_end_while_data_are_fetched(work, transport):
    """Requests that the filesystem has not even got yet. The server looks for what is left."""
    for _ in range(5):
        with serve(work, transport, "no_capability", "direct_io") as mount:
            begun = mmap.mmap(-1, 6)
            path = mount.path / "memory"
            clients = [Child(write_directly, path, begun, number) for number in range(6)]
            eventually(lambda: begun[:] == b"\1" * 6, "six clients that write")
            mount.signal(signal.SIGTERM)
            # The last one is of a request that the kernel was about to put on a ring.
            assert_over(clients, ["ECONNABORTED", "ENOTCONN", "EINTR", "ECANCELED"])
            assert mount.wait(10) == 0, mount.log()


def test_lazy_unmount(work, transport):
    """Who is in a call stays in it; when they are killed, all is over."""
    with serve(work, transport) as mount:
        clients = start_clients(mount)
        mount.unmount(lazy=True)
        time.sleep(0.5)
        assert mount.process.poll() is None
        for client in clients:
            client.signal(signal.SIGKILL)
        for client in clients:
            assert reap(client.pid, LIMIT) is not None
        assert mount.wait(10) == 0, mount.log()


def test_forced_unmount(work, transport):
    with serve(work, transport) as mount:
        clients = start_clients(mount)
        run(["umount", "-f", mount.path], check=False)  # busy, but it aborts
        assert_over(clients, ["ECONNABORTED", "ENOTCONN"])
        assert mount.wait(10) == 0, mount.log()


@pytest.mark.transport("zero-copy", "ring-zero-copy")
def test_session_after_session(work, transport):
    """None of them leaves a thing behind that the next would stumble over."""
    for _ in range(30):
        with serve(work, transport) as mount:
            client = Child(blocked_read, mount.path / "blocked")
            wait_for_requests(mount, 1)
            call(write_one, mount.path / "fd")
            mount.signal(signal.SIGTERM)
            assert_over([client], ["ECONNABORTED", "ENOTCONN", "EINTR"])
            assert mount.wait(10) == 0, mount.log()
