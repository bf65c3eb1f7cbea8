# SPDX-License-Identifier: GPL-2.0-only
"""
example/zero_copy_ll: one file, striped over two stores. What a client writes is in the stores,
piece by piece, and comes back; over which way it went, the statistics tell.
"""

import hashlib
import mmap
import os

import pytest

from fusetest import pattern
from fusetest.build import BUILD
from fusetest.child import call, run
from fusetest.mount import Mount

PIECE = 64 * 1024
KIB, MIB = 1024, 1 << 20

pytestmark = pytest.mark.sanitize


class Striped(Mount):
    """.path is the file itself."""

    def __init__(self, work, transport, **kwargs):
        self.stores = [work / "store0", work / "store1"]
        file = work / "file"
        file.touch()
        super().__init__(
            work,
            transport,
            program="example/zero_copy_ll",
            program_args=self.stores,
            mountpoint=file,
            **kwargs,
        )

    def assert_stored(self, content):
        """The stores have the pieces of this by turns, and nothing else."""
        pieces = [content[at : at + PIECE] for at in range(0, len(content), PIECE)]
        for number, store in enumerate(self.stores):
            pattern.assert_same(store.read_bytes(), b"".join(pieces[number::2]), store.name)

    def assert_way(self):
        """Once the mount is closed: with zero-copy no byte was copied, without it all were."""
        stats = self.stats()
        assert stats["bytes_read"] > 0 and stats["bytes_written"] > 0, stats
        assert stats["copied"] == 0, stats
        if self.transport.is_zero_copy:
            moved = stats["bytes_read"] + stats["bytes_written"]
            assert stats["zero_copied_bytes"] == moved, stats
            assert stats["linked"] + stats["unlinked"] == stats["zero_copied_requests"], stats
        else:
            for name in ("zero_copied_requests", "zero_copied_bytes", "linked", "unlinked"):
                assert stats[name] == 0, stats


def _checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _forget(path):
    """What is read next comes from the server."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def _read_directly(path, length, offset):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, length)
    done = os.preadv(fd, [buffer], offset)
    os.close(fd)
    return buffer[:done]


def test_checksums(work, transport):
    content = pattern.data(5 * MIB + 12_345)
    with Striped(work, transport) as mount:
        call(mount.path.write_bytes, content)
        call(_forget, mount.path)
        assert call(_checksum, mount.path) == hashlib.sha256(content).hexdigest()
        mount.assert_stored(content)
    mount.assert_way()
    if mount.transport.is_zero_copy:
        # A request for several pieces has one reply, when all of them have arrived.
        assert mount.stats()["unlinked"] >= 2 * len(content) // MIB


def test_within_a_piece(work, transport):
    content = pattern.data(PIECE)
    with Striped(work, transport) as mount:
        call(mount.path.write_bytes, content)
        for offset in range(0, PIECE, 16 * KIB):
            assert call(_read_directly, mount.path, 4096, offset) == content[offset:][:4096]
        mount.assert_stored(content)
    mount.assert_way()
    if mount.transport.is_zero_copy:
        # Four reads; and the only range of each was sent together with its reply.
        assert mount.stats()["linked"] >= 4


def test_sizes_at_odd_offsets(work, transport):
    with Striped(work, transport) as mount:
        mount.assert_stored(call(pattern.sizes_at_odd_offsets, mount.path))
    mount.assert_way()


def test_past_the_page_cache(work, transport):
    with Striped(work, transport) as mount:
        assert call(pattern.direct_io, mount.path)
        mount.assert_stored(call(mount.path.read_bytes))
    mount.assert_way()


def test_mapped(work, transport):
    with Striped(work, transport) as mount:
        mount.assert_stored(call(pattern.mapped, mount.path))
    mount.assert_way()


def _change_size(path):
    content = pattern.data(3 * PIECE + 1000)
    path.write_bytes(content)
    for size in (2 * PIECE, 2 * PIECE - 1, PIECE, 5 * PIECE + 77, 7 * PIECE, PIECE + 1, 0, 3):
        os.truncate(path, size)
        content = content[:size].ljust(size, b"\0")
        assert path.stat().st_size == size
        _forget(path)
        pattern.assert_same(path.read_bytes(), content, f"cut to {size}")
    # A write far behind the end: what is between is a hole in both stores.
    with open(path, "r+b") as file:
        file.seek(9 * PIECE + 5)
        file.write(b"the end")
    _forget(path)
    content += bytes(9 * PIECE + 5 - len(content)) + b"the end"
    pattern.assert_same(path.read_bytes(), content, "with a hole")
    return content


def test_sizes(work, transport):
    with Striped(work, transport) as mount:
        content = call(_change_size, mount.path)
        mount.assert_stored(content)
        assert sum(store.stat().st_blocks for store in mount.stores) * 512 < 4 * PIECE
    mount.assert_way()


def test_a_short_piece_ends_the_read(work, transport):
    """Whatever behind it was moved as well does not count."""
    content = pattern.data(4 * PIECE)
    with Striped(work, transport) as mount:
        call(mount.path.write_bytes, content)
        os.truncate(mount.stores[1], 4096)
        read = call(_read_directly, mount.path, 4 * PIECE, 0)
        pattern.assert_same(read, content[: PIECE + 4096], "until the store's end")
        assert call(_read_directly, mount.path, PIECE, 3 * PIECE) == b""
    mount.assert_way()


def _extend_directly(path, content, rounds):
    buffer = mmap.mmap(-1, len(content))
    buffer[:] = content
    fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
    for number in range(rounds):
        os.ftruncate(fd, 0)
        assert os.pwritev(fd, [buffer], 0) == len(content)
        pattern.assert_same(path.read_bytes(), content, f"round {number}")
    os.close(fd)


@pytest.mark.transport("dev-multi", "rings")
def test_one_write_of_many_requests(work, transport):
    """They are under way at the same time, and none may cut off what another has written."""
    with Striped(work, transport) as mount:
        content = pattern.data(16 * MIB)
        call(_extend_directly, mount.path, content, 20)
        mount.assert_stored(content)
    mount.assert_way()


def _truncate_at_open(path):
    path.write_bytes(pattern.data(3 * PIECE))
    with open(path, "wb") as file:
        assert os.fstat(file.fileno()).st_size == 0
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_truncated_at_open(work, transport):
    with Striped(work, transport) as mount:
        call(_truncate_at_open, mount.path)
        mount.assert_stored(b"new")


@pytest.mark.transport("dev-multi", "rings")
def test_random_operations(work, transport):
    """fsx: buffered, direct and mapped by turns. There is no fallocate() here."""
    with Striped(work, transport) as mount:
        command = [BUILD.program("test/tools/fsx"), "-n", 5000, "-s", 7, mount.path]
        output = run(command, timeout=100 * BUILD.slowdown).stdout
        assert "5000 operations, seed 7: 0 differences" in output, output
        mount.assert_stored(call(mount.path.read_bytes))
    mount.assert_way()


def test_served_again(work):
    """The stores are all there is: another server finds the same file, at its full size."""
    content = pattern.data(2 * PIECE + 1)
    with Striped(work, "dev-multi") as mount:
        call(mount.path.write_bytes, content)
        call(os.truncate, mount.path, 6 * PIECE)
    with Striped(work, "io_uring") as mount:
        call(_checksum, mount.path)
        assert call(mount.path.read_bytes) == content + bytes(6 * PIECE - len(content))


def test_command_line(work):
    program = BUILD.program("example/zero_copy_ll")
    for arguments, word in (
        ([], "STORE0"),
        (["a", "b"], "FILE"),
        ([work / "missing" / "a", work / "b", work], "missing/a"),
        ([work / "a", work / "b", work / "c", work / "d"], "d"),
    ):
        result = run([program, *arguments], check=False)
        assert result.returncode == 1 and word in result.stdout, result
        assert len(result.stdout.splitlines()) == 1, result.stdout
