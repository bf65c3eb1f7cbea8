# SPDX-License-Identifier: GPL-2.0-only
"""
Kernels that have FUSE over io_uring, but neither pools nor rings of buffers: Linux 6.14 to 7.2, if it
is not patched. They would not notice that they are spoken to in another dialect, and mix requests
up. So they have to be recognised, whatever is asked for.
"""

import re

import pytest

from fusetest import pattern
from fusetest.build import BUILD
from fusetest.child import call, run
from fusetest.mount import Mount, mount_entry

OVER_IO_URING, BUFPOOL, BUFRING = 1 << 41, 1 << 43, 1 << 62
PER_ENTRY = {"transport": "io_uring", "dialect": "per_entry", "pool": None, "zero_copy": False}

NO_POOLS = "the kernel does not offer buffer pools (Linux 7.3 or later does)"
NO_RINGS = "the kernel does not offer buffer rings (Linux 7.2 with patches does)"

# What is asked for, which lines tell that it is not to be had, and with which of them
# io_uring_strict ends.
REQUESTS = {
    "io_uring_zero_copy": [f"bufpool, plain, zero-copy: {NO_POOLS}"],
    "io_uring_zero_copy,io_uring_pool=registered": [
        f"bufpool, registered, zero-copy: {NO_POOLS}"
    ],
    "io_uring,io_uring_pool=registered": [f"bufpool, registered: {NO_POOLS}"],
    "io_uring,io_uring_pool=plain": [f"bufpool, plain: {NO_POOLS}"],
    "io_uring,io_uring_bufs=4": [f"bufpool, plain: {NO_POOLS}"],
    "io_uring,io_uring_pin=all": [
        f"bufpool, plain: {NO_POOLS}",
        f"bufring, registered, headers pinned: {NO_RINGS}",
    ],
    "io_uring,io_uring_pin=headers": [
        f"bufpool, plain: {NO_POOLS}",
        f"bufring, plain, headers pinned: {NO_RINGS}",
    ],
    "io_uring_zero_copy,io_uring_pin=all": [
        f"bufpool, plain, zero-copy: {NO_POOLS}",
        f"bufring, registered, headers pinned, zero-copy: {NO_RINGS}",
    ],
}

pytestmark = [pytest.mark.newest_dialect("per_entry"), pytest.mark.sanitize]


def use(mount):
    """Requests of all sizes, several at a time: a dialect mistaken would mix them up."""

    def body():
        pattern.concurrent_writers(mount.path / "shared")
        pattern.sizes_at_odd_offsets(mount.path / "odd")
        assert pattern.direct_io(mount.path / "direct")
        for number in range(100):
            (mount.path / f"{number}").write_text(f"{number}")
        assert len([path for path in mount.path.iterdir() if path.name.isdigit()]) == 100

    call(body, timeout=100)


def ring_lines(mount):
    """What the log says of rings, without what all lines begin with."""
    lines = [line for line in mount.log().splitlines() if "io_uring" in line]
    return [line.removeprefix("fuse: ").removeprefix("no io_uring as ") for line in lines]


def assert_used(line):
    assert re.fullmatch(r"using io_uring \(per_entry\), \d+ queues", line), line


def test_plain_io_uring(work):
    """Nobody has asked for more, and nobody is told what there is not."""
    with Mount(work, "io_uring", options=["io_uring_strict"], expect=PER_ENTRY) as mount:
        use(mount)
        (line,) = ring_lines(mount)
        assert_used(line)


def test_answer_to_init(work):
    """The kernel hears of what it has offered, and of nothing else."""
    with Mount(work, "io_uring", options=["debug"], expect=PER_ENTRY) as mount:
        call((mount.path / "file").write_text, "content")
    (found,) = re.findall(r"INIT: kernel \S+ flags (\w+); answer \S+ flags (\w+)", mount.log())
    offered, answered = (int(flags, 16) for flags in found)
    assert offered & OVER_IO_URING and answered & OVER_IO_URING
    for flag in (BUFPOOL, BUFRING):
        assert not offered & flag and not answered & flag, found


@pytest.mark.parametrize("options", REQUESTS)
def test_asked_for_more(work, options):
    with Mount(work, "dev-multi", options=[options], expect=PER_ENTRY) as mount:
        use(mount)
        *reasons, last = ring_lines(mount)
        assert reasons == REQUESTS[options]
        assert_used(last)
    stats = mount.stats()
    assert stats["zero_copied_requests"] == 0 == stats["paged"]


@pytest.mark.parametrize("options", REQUESTS)
def test_asked_for_more_with_strict(work, options):
    mount = Mount(work, "dev-multi", options=[options, "io_uring_strict"])
    result = run(mount.command, timeout=20 * BUILD.slowdown, check=False)
    assert result.returncode == 1 and mount_entry(mount.path) is None, result.stdout
    reason = REQUESTS[options][-1].partition(": ")[2]
    assert f"fuse: io_uring_strict: {reason}" in result.stdout.splitlines(), result.stdout
