# SPDX-License-Identifier: GPL-2.0-only
"""However a mount ends, nothing hangs and nothing is left behind."""

import errno
import os
import signal
import subprocess
import time

import pytest

from fusetest.build import BUILD
from fusetest.child import call, children_of, run, state_of
from fusetest.mount import CONNECTIONS, Mount, mount_entry

CLIENTS = 8
LIMIT_MS = 2000 * BUILD.slowdown

pytestmark = pytest.mark.sanitize


class Churn:
    """Clients that read and write in a folder, and check what they read."""

    def __init__(self, folder, clients=CLIENTS, arguments=()):
        command = [BUILD.program("test/tools/churn"), "-k", clients, "-l", LIMIT_MS]
        command += [*arguments, folder]
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout.readline() == "ready\n", self.process.wait(10)

    def pids(self):
        """The clients and their parent."""
        return [self.process.pid, *children_of(self.process.pid)]

    def event(self):
        """From now on every client has LIMIT_MS to end."""
        self.process.send_signal(signal.SIGUSR1)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)

    def result(self):
        """churn's own report; the clients' states while it lasted are checked too."""
        pids = self.pids()
        stuck = {}
        deadline = time.monotonic() + 2 * LIMIT_MS / 1000 + 5
        while self.process.poll() is None and time.monotonic() < deadline:
            for pid in pids:
                stuck[pid] = stuck.get(pid, 0) + 1 if state_of(pid) == "D" else 0
            assert max(stuck.values()) * 0.01 < LIMIT_MS / 1000, "a client is in D state"
            time.sleep(0.01)
        assert self.process.poll() is not None, "churn did not end"
        report = self.process.stdout.read()
        for pid in pids:
            assert state_of(pid) in ("", "Z"), f"client {pid} is left"
        return self.process.returncode, report

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def churn():
    """Starts clients, and sees to it that none outlives the test."""
    started = []

    def start(*args, **kwargs):
        started.append(Churn(*args, **kwargs))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def assert_nothing_left(mount, status):
    assert mount_entry(mount.path) is None, "still mounted"
    assert mount.disconnected(), "the connection is still there"
    mount.expect = None  # the clients were counted, but perhaps not written any more
    mount.exit_status = status
    mount.close()


def test_server_killed(work, transport, churn):
    with Mount(work, transport, exit_status=-signal.SIGKILL, expect=None) as mount:
        clients = churn(mount.path)
        time.sleep(0.3)
        mount.signal(signal.SIGKILL)
        clients.event()
        status, report = clients.result()
        assert status == 0, report
        # The dead mount stays until somebody unmounts it, which has to work.
        assert mount.process.wait(10) == -signal.SIGKILL
        assert call(error_of_statvfs, mount.path) == "ENOTCONN"
        mount.unmount()
        assert_nothing_left(mount, -signal.SIGKILL)


def error_of_statvfs(path):
    """Unlike stat(), it is never answered by what the kernel remembers."""
    try:
        os.statvfs(path)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "no error"


def test_connection_aborted(work, transport, churn):
    with Mount(work, transport) as mount:
        clients = churn(mount.path)
        time.sleep(0.3)
        (CONNECTIONS / str(mount.minor) / "abort").write_text("1")
        clients.event()
        status, report = clients.result()
        assert status == 0, report
        # The server notices, cleans up and ends by itself.
        ended = mount.wait(10)
        if mount_entry(mount.path) is not None:
            mount.unmount()
        assert ended == 0, mount.log()
        assert_nothing_left(mount, 0)


def test_lazy_unmount(work, transport, churn):
    with Mount(work, transport) as mount:
        clients = churn(mount.path)
        time.sleep(0.3)
        mount.unmount(lazy=True)
        clients.event()
        status, report = clients.result()
        assert status == 0, report
        assert mount.wait(10) == 0, mount.log()
        assert_nothing_left(mount, 0)


def test_unmount(work, transport, churn):
    """A busy mount refuses, and its clients never notice; then it goes."""
    with Mount(work, transport) as mount:
        clients = churn(mount.path)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline and mount_entry(mount.path):
            result = run(["umount", mount.path], check=False)
            assert result.returncode == 0 or "busy" in result.stdout, result.stdout
            time.sleep(0.02)
        if mount_entry(mount.path):
            clients.stop()
        else:
            clients.event()  # it was caught between two operations
        status, report = clients.result()
        assert status == 0, report
        if mount_entry(mount.path):
            mount.unmount()
        assert mount.wait(10) == 0, mount.log()
        assert_nothing_left(mount, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_server_told_to_end(work, transport, churn, number):
    with Mount(work, transport) as mount:
        clients = churn(mount.path)
        time.sleep(0.3)
        mount.signal(number)
        clients.event()
        status, report = clients.result()
        assert status == 0, report
        assert mount.wait(10) == 0, mount.log()
        assert_nothing_left(mount, 0)


def test_clients_killed(work, transport, churn):
    """Clients may vanish in the middle of a request."""
    with Mount(work, transport) as mount:
        for _ in range(5):
            clients = churn(mount.path)
            time.sleep(0.1)
            os.killpg(clients.process.pid, signal.SIGKILL)
            clients.process.wait(10)
        deadline = time.monotonic() + 5
        waiting = CONNECTIONS / str(mount.minor) / "waiting"
        while int(waiting.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert int(waiting.read_text()) == 0, "requests were never answered"
        clients = churn(mount.path, arguments=["-s", 1])
        status, report = clients.result()
        assert status == 0, report


def test_two_hundred_cycles(work):
    """Mounted over io_uring and unmounted again, 200 times in a row."""
    source = work / "source"
    source.mkdir()
    (source / "file").write_text("content")
    for cycle in range(200):
        with Mount(work, "io_uring", source=source) as mount:
            if cycle % 10 == 0:
                assert call((mount.path / "file").read_text) == "content"
            else:
                run(["cmp", source / "file", mount.path / "file"])


@pytest.mark.parametrize("cycles", [20])
def test_cycles(work, transport, cycles):
    for _ in range(cycles):
        with Mount(work, transport) as mount:
            run(["touch", mount.path / "file"])


def test_mount_that_nobody_uses(work, transport):
    """Unmounted before a single request besides the test's own look at it."""
    for number in (None, signal.SIGTERM):
        with Mount(work, transport) as mount:
            if number:
                mount.signal(number)
                assert mount.wait(5) == 0


def server_size(mount):
    return len(mount.fds()), mount.threads()


def forget_everything():
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("2")


def settled(mount, most, seconds=10):
    """Waits until the server has no more descriptors and threads than that."""
    deadline = time.monotonic() + seconds * BUILD.slowdown
    while time.monotonic() < deadline:
        forget_everything()
        size = server_size(mount)
        if size[0] <= most[0] and size[1] <= most[1]:
            break
        time.sleep(0.05)
    return size


@pytest.mark.limit(180)
def test_server_does_not_grow(work, transport, churn):
    """After churn, and once the kernel has forgotten the files, all is as it was before."""
    with Mount(work, transport) as mount:

        def round_of_churn():
            clients = churn(mount.path, arguments=["-s", 1])
            status, report = clients.result()
            assert status == 0, report
            run(["find", mount.path, "-name", "churn.*", "-delete"])

        for _ in range(3):  # brings up threads and what else stays
            round_of_churn()
        forget_everything()
        time.sleep(0.5)
        descriptors, threads = server_size(mount)
        resident = mount.resident()
        for _ in range(4):
            round_of_churn()
        # A thread that came late has a clone of /dev/fuse and a pipe; a leak would be
        # thousands of descriptors.
        size = settled(mount, (descriptors + 9, threads + 3))
        assert size[0] <= descriptors + 9, mount.fds()
        assert size[1] <= threads + 3
        if not BUILD.sanitizer:
            assert mount.resident() <= resident + (8 << 20)


def test_looked_up_files_are_let_go(work, transport):
    """Thousands of files looked at, then forgotten by the kernel: no descriptor is kept."""
    source = work / "source"
    source.mkdir()
    for index in range(3000):
        (source / f"file-{index}").touch()
    with Mount(work, transport, source=source) as mount:
        descriptors, threads = server_size(mount)
        run(["ls", "-l", mount.path])
        for index in range(0, 3000, 3):
            (source / f"file-{index}").unlink()
        size = settled(mount, (descriptors + 20, threads + 20))
        assert size[0] <= descriptors + 20
