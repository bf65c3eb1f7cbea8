# SPDX-License-Identifier: GPL-2.0-only
"""What few payload buffers for many entries save: `-o io_uring_bufs=2`."""

import mmap
import os
import random
import time

import pytest

from fusetest.child import Child
from fusetest.mount import Mount

MIB = 1 << 20
FILE_SIZE = 32 * MIB
CLIENTS = 10 * os.cpu_count()  # more than a queue has entries
SECONDS = 3

pytestmark = [pytest.mark.dialect("bufpool")]


def read_directly(path, seconds):
    """Random pieces of 1 MiB past the page cache, as many as there is time for."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    memory = mmap.mmap(-1, MIB)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        at = random.randrange(FILE_SIZE // MIB) * MIB
        assert os.preadv(fd, [memory], at) == MIB
        count += 1
    os.close(fd)
    return count


def peak(work, options, expect):
    expect = {"transport": "io_uring", **expect}
    with Mount(work, "dev-multi", options=["io_uring", *options], expect=expect) as mount:
        (mount.source / "file").write_bytes(os.urandom(FILE_SIZE))
        readers = [Child(read_directly, mount.path / "file", SECONDS) for _ in range(CLIENTS)]
        most = 0
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            most = max(most, mount.ring_memory())
            time.sleep(0.02)
        reads = [reader.result(60) for reader in readers]
        assert min(reads) > 0, "somebody was starved"
        return most


def test_two_buffers_for_eight_entries(work):
    one_each = peak(work, ["io_uring_pool=none"], {"dialect": "per_entry"})
    two = peak(work, ["io_uring_bufs=2"], {"dialect": "bufpool", "pool": "plain"})
    assert one_each >= 4 * MIB, "there was no load"
    assert 2 * MIB <= two <= 0.3 * one_each, (two, one_each)
