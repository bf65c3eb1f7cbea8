# SPDX-License-Identifier: GPL-2.0-only
"""
A thousand mounts, one after the other, of which some end by force while clients are at work.
What the kernel had pinned, and charged the server's user with, is there again for the next.
"""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fusetest import guest
from fusetest.build import BUILD
from fusetest.mount import CONNECTIONS, TRANSPORTS, Mount

CYCLES = 1000
LIMIT = 20 * BUILD.slowdown  # seconds; how soon they have to end is for test_teardown.py


def charged(limit):
    """For a server of root's that is charged for what it has pinned, as others are."""
    return ["setpriv", "--bounding-set=-ipc_lock", "prlimit", f"--memlock={limit}:{limit}"]


pytestmark = [
    pytest.mark.long,
    pytest.mark.transport("io_uring", "zero-copy", "zero-copy-registered", "ring-zero-copy"),
    pytest.mark.limit(1800),
]


def pinned_kilobytes(mount):
    """What a server has pinned, of which it is charged with all."""
    status = Path(f"/proc/{mount.pid}/status").read_text()
    return int(re.search(r"^VmPin:\s+(\d+) kB", status, re.M).group(1))


def pinned_pages():
    """Of all processes."""
    counts = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(counts["nr_foll_pin_acquired"]) - int(counts["nr_foll_pin_released"])


class Clients:
    """Three that read and write without a break, and end when the mount does."""

    def __init__(self, mount):
        command = [BUILD.program("test/tools/churn"), "-k3", f"-l{LIMIT * 1000}", mount.path]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", mount.log()
        time.sleep(0.02)
        # From now on errors are what they have to expect.
        self.process.send_signal(signal.SIGUSR1)

    def wait(self):
        report = self.process.stdout.read()
        assert self.process.wait(LIMIT) == 0, report


def end_well(mount):
    assert mount.process.poll() is None


def kill_under_load(mount):
    clients = Clients(mount)
    mount.signal(signal.SIGKILL)
    clients.wait()
    mount.expect = None
    mount.exit_status = -signal.SIGKILL


def abort_under_load(mount):
    clients = Clients(mount)
    (CONNECTIONS / str(mount.minor) / "abort").write_text("1")
    clients.wait()
    assert mount.wait() == 0, mount.log()
    mount.expect = None


def unmount_under_load(mount):
    clients = Clients(mount)
    mount.unmount(lazy=True)
    clients.wait()


ENDS = [*[end_well] * 6, kill_under_load, end_well, abort_under_load, unmount_under_load]


def enough_for_one(work, transport):
    """A prefix for a server's command, by which it may pin what it wants, and half as much more."""
    with Mount(work, transport, prefix=charged("unlimited")) as mount:
        kilobytes = pinned_kilobytes(mount)
    assert kilobytes > 0, "nothing is pinned"
    return charged(kilobytes * 1024 * 3 // 2)


def test_thousand_mounts(work, transport):
    """
    Had a server's predecessors not been discharged, it could not pin as much as it wants. It would
    serve all the same, but its statistics would tell.
    """
    before = pinned_pages()
    pins = TRANSPORTS[transport].pool == "registered"
    prefix = enough_for_one(work, transport) if pins else []
    for number in range(CYCLES):
        with Mount(work, transport, prefix=prefix) as mount:
            ENDS[number % len(ENDS)](mount)

    # On a machine with more to do, others pin memory as they please.
    deadline = time.monotonic() + 30
    while guest.inside() and pinned_pages() != before:
        assert time.monotonic() < deadline, f"{pinned_pages() - before} pages are still pinned"
        time.sleep(0.1)
