# SPDX-License-Identifier: GPL-2.0-only
"""
What a read did not fill must not show what was in that memory before. Free memory is filled with a
pattern first; then files are read that end before their pages do, and mapped.
"""

import mmap
import os

import pytest

from fusetest import libc, pattern
from fusetest.child import call
from fusetest.mount import Mount
from fusetest.ways import forget, report, serve

MIB = 1 << 20
PAGE = mmap.PAGESIZE
POISON = b"\xa5"

pytestmark = [pytest.mark.transport("dev-multi", "rings"), pytest.mark.sanitize]


def poison_free_memory():
    """
    Most of what is free, or as much as the next reads could possibly use: pages that were
    given back last are the first to be used again.
    """
    call(_fill, min(_available() // 2, 512 * MIB))


def _available():
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemFree:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no MemFree")


def _fill(size):
    """By writing: user-mode Linux takes minutes to fault so many pages in."""
    fd = os.memfd_create("poison")
    block = POISON * MIB
    for _ in range(size // MIB):
        assert os.write(fd, block) == MIB
    os.close(fd)


def whole_pages(size):
    return (size + PAGE - 1) // PAGE * PAGE


def mapped(path, length):
    fd = os.open(path, os.O_RDONLY)
    try:
        return libc.mapped_bytes(fd, length)
    finally:
        os.close(fd)


def assert_zeros(found, start, what):
    tail = found[start:]
    if any(tail):
        at = next(index for index, byte in enumerate(tail) if byte)
        what_is_there = "free memory's pattern" if tail[at : at + 1] == POISON else "something"
        raise AssertionError(f"{what}: {what_is_there} {at} bytes behind the end, at {start + at}")


# Within a page, at the ends of pages, and within what one request reads.
SIZES = [1, 100, 4095, 4096, 4097, 5000, 65_537, 131_072 + 2000, MIB - 1, MIB + 5, 3 * MIB + 70_001]


@pytest.mark.parametrize("way", ["mapped", "read", "random"])
def test_end_of_file(work, transport, way):
    """Pages that come in by a fault, by readahead, and one by one."""

    def look(path, size):
        fd = os.open(path, os.O_RDONLY)
        if way == "random":
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
            for at in range(0, size, 3 * PAGE):
                os.pread(fd, 10, at)
        elif way == "read":
            pattern.pread_all(fd, size, 0)
        found = libc.mapped_bytes(fd, whole_pages(size))
        os.close(fd)
        return found

    with Mount(work, transport) as mount:
        for size in SIZES:
            content = pattern.data(size, size)
            (mount.source / f"{size}").write_bytes(content)
            poison_free_memory()
            found = call(look, mount.path / f"{size}", size)
            pattern.assert_same(found[:size], content, f"{size}")
            assert_zeros(found, size, f"file of {size}")
    if mount.transport.is_zero_copy:
        assert mount.zero_copied()[0] >= 0.99 and mount.stats()["broken"] > 0, mount.stats()


def test_sparse_tail(work, transport):
    """Nothing but a hole follows the data, in the source's last pages and beyond."""
    with Mount(work, transport) as mount:
        for data, size in ((10, 10_000), (5000, 4 * MIB + 3), (MIB + 1, 2 * MIB)):
            content = pattern.data(data, size)
            path = mount.source / f"{size}"
            path.write_bytes(content)
            os.truncate(path, size)
            poison_free_memory()
            found = call(mapped, mount.path / f"{size}", whole_pages(size))
            pattern.assert_same(found[:data], content, "before the hole")
            assert_zeros(found, data, f"hole of {size}")
    if mount.transport.is_zero_copy:
        assert mount.zero_copied()[0] >= 0.99, mount.stats()


@pytest.mark.parametrize("left", [0, 1, 5000, 8192, 70_001])
def test_truncated_between_size_and_read(work, transport, left):
    """The kernel goes by the size that it was told; the source has become shorter."""
    content = pattern.data(MIB, 4)

    def look():
        path = mount.path / "file"
        fd = os.open(path, os.O_RDONLY)
        assert os.fstat(fd).st_size == MIB
        os.truncate(mount.source / "file", left)
        got = pattern.pread_all(fd, MIB, 0)
        # The last page, of which the file has but a part, or none.
        last = whole_pages(left) or PAGE
        found = libc.mapped_bytes(fd, last) if left else bytes(PAGE)
        # And what shows when the file is made longer again, through the mount.
        other = os.open(path, os.O_RDWR)
        os.ftruncate(other, MIB)
        longer = libc.mapped_bytes(other, MIB)
        os.close(other)
        os.close(fd)
        return got, found, longer

    with Mount(work, transport) as mount:
        (mount.source / "file").write_bytes(content)
        call((mount.path / "file").stat)
        poison_free_memory()
        got, found, longer = call(look)
        # Where the old size was gone by, the rest of it may be zeros.
        pattern.assert_same(got[:left], content[:left], "what is left")
        assert_zeros(got, left, "read")
        assert_zeros(found, left, "mapped")
        pattern.assert_same(longer[:left], content[:left], "what is left")
        assert_zeros(longer, left, "made longer")


@pytest.mark.parametrize("name", ["fd", "striped", "data", "memory", "payload", "thread"])
def test_file_shorter_than_was_said(work, transport, name):
    """
    With a writeback cache the kernel takes a short read for a hole, and shows the whole length
    that it was told.
    """
    content = pattern.data(100_000, 2)

    def look():
        fd = os.open(mount.path / name, os.O_RDONLY)
        size = os.fstat(fd).st_size
        assert size >= len(content) + 300_000
        found = libc.mapped_bytes(fd, size)
        forget(mount.path / name)
        again = pattern.pread_all(fd, size, 0)
        os.close(fd)
        return found, again

    with serve(work, transport, "writeback", "longer=300000") as mount:
        if name == "striped":
            for index in range(4):
                part = b"".join(
                    content[at : at + 16_384] for at in range(index * 16_384, 100_000, 65_536)
                )
                (mount.folder / f"striped.{index}").write_bytes(part)
        else:
            (mount.folder / name).write_bytes(content)
        poison_free_memory()
        for found in call(look):
            pattern.assert_same(found[: len(content)], content, name)
            assert_zeros(found, len(content), name)
        seen = call(report, mount)
    if mount.transport.is_zero_copy:
        assert seen["zero_copied_reads"] == seen["reads"] > 0, seen


def test_answer_of_less_than_there_is(work, transport):
    """Here no read comes out short: the reply itself is."""
    content = pattern.data(300_000, 6)

    def look():
        fd = os.open(mount.path / "less", os.O_RDONLY)
        found = libc.mapped_bytes(fd, len(content))
        os.close(fd)
        return found

    with serve(work, transport, "writeback") as mount:
        (mount.folder / "less").write_bytes(content)
        poison_free_memory()
        found = call(look)
    assert found != content
    for at in range(0, len(content), PAGE):
        page, wanted = found[at : at + PAGE], content[at : at + PAGE]
        same = next((i for i, (a, b) in enumerate(zip(page, wanted)) if a != b), len(page))
        assert_zeros(page, same, f"page at {at}")


def test_direct_reads_leave_the_rest_alone(work, transport):
    """A buffer of the client's own is touched as far as there are data, and no further."""
    with Mount(work, transport) as mount:
        for size in (5000, 70_001):
            (mount.source / f"{size}").write_bytes(pattern.data(size))

            def look(path=mount.path / f"{size}", size=size):
                memory = mmap.mmap(-1, 2 * MIB)
                memory[:] = POISON * (2 * MIB)
                fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
                assert os.preadv(fd, [memory], 0) == size
                os.close(fd)
                assert memory[:size] == pattern.data(size)
                # The rest of the last page may be cleared.
                return memory[whole_pages(size) :] == POISON * (2 * MIB - whole_pages(size))

            assert call(look)
