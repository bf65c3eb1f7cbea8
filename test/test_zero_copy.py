# SPDX-License-Identifier: GPL-2.0-only
"""
Data that goes past the server: that it does, that it is right however a filesystem answers, and
what comes of errors. What happens to requests that never end is in test_zero_copy_ends.py, what
must not be seen in what was not read in test_stale_memory.py.
"""

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fusetest import kernel, libc, pattern
from fusetest.build import BUILD
from fusetest.child import Child, Credentials, call, run
from fusetest.mount import TRANSPORTS, Mount, without_privilege
from fusetest.ways import forget, report, serve

MIB = 1 << 20

ZERO_COPIES = pytest.mark.transport("zero-copies")

pytestmark = pytest.mark.sanitize


def checksum(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def assert_same_file(source, path):
    """By checksum, and what the mount shows is not what it remembers."""
    call(forget, path)
    assert call(checksum, path) == checksum(source)


def assert_zero_copied(mount, least=0.99):
    """At least this part of all bytes, and of all requests that could be, was zero-copied."""
    stats = mount.stats()
    data, copied = mount.zero_copied()
    assert stats["bytes_read"] and stats["bytes_written"], stats
    assert data >= least and copied <= 1 - least, stats
    assert stats["linked"] + stats["unlinked"] == stats["zero_copied_requests"] > 0, stats
    assert stats["broken"] <= stats["linked"], stats


# What clients do with a file. Each reads its data from the server, not from the page cache.


def buffered(path):
    pattern.sizes_at_odd_offsets(path)
    forget(path)


def direct(path):
    assert pattern.direct_io(path)


def readahead(path):
    content = pattern.data(24 * MIB, 5)
    path.write_bytes(content)
    forget(path)
    with open(path, "rb", buffering=0) as file:
        for at in range(0, len(content), 65_536):
            pattern.assert_same(file.read(65_536), content[at : at + 65_536], f"at {at}")


def backwards(path):
    """Nothing that readahead could guess."""
    content = pattern.data(4 * MIB, 6)
    path.write_bytes(content)
    forget(path)
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    for at in reversed(range(0, len(content), 28_672)):
        pattern.assert_same(os.pread(fd, 5000, at), content[at : at + 5000], f"at {at}")
    os.close(fd)


def mapped(path):
    content = pattern.mapped(path)
    forget(path)
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, len(content)) as mapping:
        pattern.assert_same(mapping[:], content, "mapped again")
    os.close(fd)


def appending(path):
    whole = b""
    for direct in (0, os.O_DIRECT):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | direct, 0o644)
        for step in range(20):
            memory = mmap.mmap(-1, 4096 * (step + 1))
            memory[:] = pattern.data(len(memory), step)
            assert os.pwrite(fd, memory, 0) == len(memory)  # at the end all the same
            whole += memory[:]
        os.close(fd)
    forget(path)
    pattern.assert_same(path.read_bytes(), whole, "appended")


def sparse(path):
    size = 16 * MIB + 123
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, size)
    whole = bytearray(size)
    for at in (0, 1_000_001, 5 * MIB, size - 7):
        whole[at : at + 7] = b"island " if at + 7 <= size else b""
        os.pwrite(fd, whole[at : at + 7], at)
    os.close(fd)
    forget(path)
    pattern.assert_same(path.read_bytes(), bytes(whole), "with holes")


def concurrent(path):
    pattern.concurrent_writers(path)
    forget(path)
    readers = [Child(Path.read_bytes, path) for _ in range(8)]
    assert len({reader.result() for reader in readers}) == 1


def ends_within_a_page(path):
    """Reads at the end of a file come out short, within a page and within many."""
    for size in (1, 511, 4095, 4097, 65_537, MIB - 1, MIB + 4097):
        content = pattern.data(size, size)
        path.write_bytes(content)
        forget(path)
        assert path.read_bytes() == content
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        memory = mmap.mmap(-1, 2 * MIB)
        assert os.preadv(fd, [memory], 0) == size
        assert memory[:size] == content
        assert not any(memory[size:]), "bytes behind the end of the file"
        os.close(fd)


USES = [
    buffered,
    direct,
    readahead,
    backwards,
    mapped,
    appending,
    sparse,
    concurrent,
    ends_within_a_page,
]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
@ZERO_COPIES
def test_nearly_all_is_zero_copied(work, transport, use):
    with Mount(work, transport) as mount:
        call(use, mount.path / "file")
        assert_same_file(mount.source / "file", mount.path / "file")
    assert_zero_copied(mount)


@pytest.mark.parametrize("use", [direct, readahead, mapped, ends_within_a_page])
@pytest.mark.transport("zero-copy", "ring-zero-copy")
def test_data_before_the_reply(work, transport, use):
    """io_uring_unlinked, which is there for comparing, does the same otherwise."""
    with Mount(work, transport, options=["io_uring_unlinked"]) as mount:
        call(use, mount.path / "file")
        assert_same_file(mount.source / "file", mount.path / "file")
    assert_zero_copied(mount)
    assert mount.stats()["linked"] == 0


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.transport("zero-copy", "ring-zero-copy")
def test_few_entries(work, transport, depth):
    with Mount(work, transport, options=[f"io_uring_q_depth={depth}"]) as mount:
        call(concurrent, mount.path / "file")
        call(direct, mount.path / "other")
    assert_zero_copied(mount)


@ZERO_COPIES
def test_seeds_command_line(work, transport):
    with Mount(work, transport, options=["io_uring_q_depth=8"]) as mount:
        call(readahead, mount.path / "file")
    assert_zero_copied(mount)


@ZERO_COPIES
def test_nosplice_declines(work, transport):
    """
    A filesystem that copies says so, and the kernel does not prepare what nobody uses; unless
    it is one that does not ask.
    """
    with Mount(work, transport, args=["--nopassthrough", "--nosplice"]) as mount:
        call(readahead, mount.path / "file")
        assert_same_file(mount.source / "file", mount.path / "file")
    stats = mount.stats()
    if mount.transport.may_decline:
        assert stats["zero_copied_requests"] == 0 == stats["copied"], stats
    else:
        assert stats["copied"] > 0, stats


@ZERO_COPIES
def test_passthrough_needs_none(work, transport):
    """What the kernel reads and writes itself makes no requests."""
    kernel.skip_if_locks_are_proved()
    with Mount(work, transport, args=[]) as mount:
        call(readahead, mount.path / "file")
    stats = mount.stats()
    assert stats["bytes_read"] == 0 == stats["bytes_written"], stats


def alternate(path):
    """O_APPEND comes and goes while the file is open, and while it is mapped."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    whole = bytearray()
    for step in range(50):
        content = pattern.data(5000, step)
        if step % 2:
            fcntl.fcntl(fd, fcntl.F_SETFL, 0)
            at = step * 1000
            os.pwrite(fd, content, at)
            whole.extend(bytes(max(0, at + 5000 - len(whole))))
            whole[at : at + 5000] = content
        else:
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
            os.pwrite(fd, content, 0)
            whole += content
        with mmap.mmap(fd, len(whole)) as mapping:
            mapping[step] = whole[step] = step
    os.fsync(fd)
    os.close(fd)
    return bytes(whole)


@pytest.mark.transport("dev-multi", "rings")
def test_append_by_turns(work, transport):
    with Mount(work, transport) as mount:
        whole = call(alternate, mount.path / "file")
        pattern.assert_same((mount.source / "file").read_bytes(), whole, "in the source")
    if mount.transport.is_zero_copy:
        data, _ = mount.zero_copied()
        assert data >= 0.99, mount.stats()


# Ways in which a filesystem can answer


def write_and_read(path, direct_io):
    """Writes of all sizes, and reads of other sizes, with what came of it."""
    content = bytearray(700_001)
    fd = os.open(path, os.O_RDWR)
    for seed, (at, size) in enumerate(
        [(0, 700_001), (1, 1), (4095, 2), (4096, 4096), (8191, 16_386), (65_535, 131_074)]
    ):
        content[at : at + size] = pattern.data(size, seed)
        pattern.pwrite_all(fd, bytes(content[at : at + size]), at)
    if not direct_io:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    for at, size in [(0, 1), (4095, 2), (16_383, 32_770), (65_536, 65_536), (0, 700_001)]:
        got = pattern.pread_all(fd, size, at)
        pattern.assert_same(got, bytes(content[at : at + size]), f"{size} at {at}")
    assert os.pread(fd, 4096, 700_001) == b""
    assert os.pread(fd, 4096, 700_000) == bytes(content[-1:])
    os.close(fd)
    return bytes(content)


# Whether reads and writes are copied, where the kernel had prepared them for zero-copy.
WAYS = {
    "fd": (False, False),
    "declined": (False, False),
    "data": (False, False),
    "closed": (False, False),
    "vector": (True, True),
    "parts": (False, False),
    "memory": (True, True),
    "pieces": (True, False),
    "payload": (True, True),
    "striped": (False, False),
    "thread": (False, False),
    "shuffled": (None, None),  # a part of each
}

# What moves in pieces, or at the bidding of fuse_buf_copy(), and is committed afterwards.
UNLINKED = {"parts", "pieces", "striped", "data", "closed", "thread", "shuffled"}


def in_folder(mount, name):
    """What the folder has for a file, its stripes put together."""
    if name != "striped":
        return (mount.folder / name).read_bytes()
    stripe = 16_384
    parts = [(mount.folder / f"striped.{index}").read_bytes() for index in range(4)]
    rounds = range(0, max(map(len, parts)), stripe)
    return b"".join(part[at : at + stripe] for at in rounds for part in parts)


@pytest.mark.parametrize("direct_io", [False, True], ids=["cached", "direct"])
@pytest.mark.parametrize("name", WAYS)
def test_ways(work, transport, name, direct_io):
    options = ["direct_io"] if direct_io else []
    with serve(work, transport, *options) as mount:
        content = call(write_and_read, mount.path / name, direct_io)
        pattern.assert_same(in_folder(mount, name), content, "in the folder")
        seen = call(report, mount)
    stats = mount.stats()
    assert seen["reads"] and seen["writes"], seen
    declined = name == "declined" and mount.transport.may_decline
    if not mount.transport.is_zero_copy or declined:
        assert seen["zero_copied_reads"] == 0 == seen["zero_copied_writes"], seen
        assert stats["zero_copied_requests"] == 0 == stats["copied"], stats
        return
    assert seen["zero_copied_reads"] == seen["reads"], seen
    assert seen["zero_copied_writes"] == seen["writes"], seen
    reads_copied, writes_copied = WAYS[name]
    copied = stats["copied"]
    if not mount.transport.may_decline:
        copied -= 1  # the report, which would have been declined
    if writes_copied is None:
        assert seen["writes"] / 2 < copied <= seen["reads"] + seen["writes"], stats
    else:
        # Not each: the end of a file has no bytes, and "vector" answers near it in another way.
        least = bool(reads_copied) + writes_copied * seen["writes"]
        most = reads_copied * seen["reads"] + writes_copied * seen["writes"]
        assert least <= copied <= most, stats
    assert (stats["unlinked"] > 0) == (name in UNLINKED), stats
    data, _ = mount.zero_copied()
    if not reads_copied and not writes_copied and reads_copied is not None:
        assert data >= 0.99, stats


@pytest.mark.parametrize("option, name", [("old_write", "fd"), ("no_capability", "memory")])
def test_filesystems_that_know_nothing(work, transport, option, name):
    """write(), and write_buf() that looks at the bytes, get them in memory."""
    with serve(work, transport, option) as mount:
        content = call(write_and_read, mount.path / name, False)
        pattern.assert_same(in_folder(mount, name), content, "in the folder")
        seen = call(report, mount)
    if mount.transport.is_zero_copy:
        assert seen["zero_copied_writes"] == seen["writes"], seen
        assert mount.stats()["copied"] >= seen["writes"], mount.stats()


def write_pages(path, count):
    fd = os.open(path, os.O_WRONLY)
    for number in range(count):
        assert os.pwrite(fd, bytes([number]) * 4096, 4096 * number) == 4096
    os.close(fd)


@ZERO_COPIES
@pytest.mark.parametrize("threads", ["one", "many"])
def test_old_handler_that_copies(work, transport, threads):
    """A write_buf() that has not said a word, but is seen to copy, gets its clients' pages."""
    way = TRANSPORTS[transport]
    way = way.in_one_thread if threads == "one" else way
    with serve(work, way, "no_capability", "direct_io") as mount:
        call(write_pages, mount.path / "data", 60)
        content = b"".join(bytes([number]) * 4096 for number in range(60))
        pattern.assert_same(in_folder(mount, "data"), content, "in the folder")
        seen = call(report, mount)
    stats = mount.stats()
    assert seen["zero_copied_writes"] == seen["writes"] == 60, seen
    # The first one is its trial. Those that run in other threads than the ring's own get memory:
    # the first three, and, on a machine that is slow now, any number.
    copied = stats["copy_reasons"]["handler"]
    assert 1 <= copied <= 1 + stats["handed_over"] * (threads == "many"), stats
    assert stats["copied"] == copied + (not mount.transport.may_decline), stats
    assert stats["unlinked"] == 60 - copied, stats


@ZERO_COPIES
def test_old_handler_that_looks(work, transport):
    """One that reads the descriptor itself finds the data there, and afterwards in memory."""
    with serve(work, transport, "no_capability") as mount:
        content = call(write_and_read, mount.path / "looking", False)
        pattern.assert_same(in_folder(mount, "looking"), content, "in the folder")
        seen = call(report, mount)
    stats = mount.stats()
    assert seen["zero_copied_writes"] == seen["writes"] > 3, seen
    assert stats["copy_reasons"]["handler"] == seen["writes"], stats
    assert stats["unlinked"] == 0, stats


def go_on(path, flags, operate, seconds=3):
    """How often operate() can be done, at one block of the file after the other."""
    fd = os.open(path, flags)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        operate(fd, 8192 * (count % 8))
        count += 1
    os.close(fd)
    return count


def write_block(fd, at):
    os.pwrite(fd, bytes(8192), at)


def read_block(fd, at):
    os.pread(fd, 8192, at)


@pytest.mark.transport("dev-multi", "rings")
def test_old_handlers_that_share_a_lock(work, transport):
    """
    Slow handlers run in other threads. If one waited, lock in hand, for the ring's own thread to
    move its data, and a handler in that thread for the lock, it would be for ever.
    """
    with serve(work, transport, "no_capability", "direct_io") as mount:
        (mount.folder / "locked").write_bytes(bytes(65_536))
        path = mount.path / "locked"
        clients = [Child(go_on, path, os.O_WRONLY, write_block) for _ in range(3)]
        clients += [Child(go_on, path, os.O_RDONLY, read_block) for _ in range(3)]
        counts = [client.result() for client in clients]
    stats = mount.stats()
    assert min(counts) > 3, counts
    if mount.transport.is_uring:
        assert stats["handed_over"] > sum(counts[:3]) / 2, (counts, stats)


@ZERO_COPIES
def test_handler_that_changes_its_mind(work, transport):
    """
    One that copied first, and reads the descriptor later, gets an error and no wrong bytes; and
    memory from then on.
    """
    way = TRANSPORTS[transport].in_one_thread  # lest it runs where it gets memory anyway
    with serve(work, way, "no_capability", "direct_io") as mount:

        def body():
            (mount.path / "data").write_bytes(b"copied")
            fd = os.open(mount.path / "looking", os.O_WRONLY)
            with pytest.raises(OSError) as caught:
                os.pwrite(fd, b"lost", 0)
            assert caught.value.errno == errno.EBADF
            assert os.pwrite(fd, b"looked at", 0) == 9
            os.close(fd)
            (mount.path / "data").write_bytes(b"copied again")

        call(body)
        assert (mount.folder / "looking").read_bytes() == b"looked at"
        assert (mount.folder / "data").read_bytes() == b"copied again"


@ZERO_COPIES
def test_memory_that_was_filled_is_given_back(work, transport):
    """What a handler fills in lies in the ring's memory: for as long as there is something to do."""
    content = pattern.data(4 * MIB, 11)
    with serve(work, transport, "direct_io") as mount:
        (mount.folder / "shuffled").write_bytes(content)
        call((mount.path / "report").read_bytes)
        before = mount.ring_memory()
        assert call((mount.path / "shuffled").read_bytes) == content
        assert mount.ring_memory() >= before + MIB // 4, "nothing was filled in"
        deadline = time.monotonic() + 20 * BUILD.slowdown
        while mount.ring_memory() > before + 64 * 1024:
            assert time.monotonic() < deadline, (before, mount.ring_memory())
            time.sleep(0.1)


@ZERO_COPIES
def test_bytes_that_nobody_filled_in(work, transport):
    """A reply of more than was moved would show the client what its pages held before."""
    with serve(work, transport, "direct_io") as mount:
        (mount.folder / "unfilled").write_bytes(bytes(5000))

        def body():
            fd = os.open(mount.path / "unfilled", os.O_RDONLY)
            with pytest.raises(OSError) as caught:
                os.pread(fd, 5000, 0)
            assert caught.value.errno == errno.EIO
            os.close(fd)

        call(body)
    assert "have not been filled in" in mount.log(), mount.log()


@pytest.mark.parametrize("name", ["fd", "striped"])
def test_writeback_cache(work, transport, name):
    """The kernel collects writes, and sends them when and as it likes."""
    with serve(work, transport, "writeback") as mount:
        content = call(write_and_read, mount.path / name, False)
        call(os.sync)
        pattern.assert_same(in_folder(mount, name), content, "in the folder")
        fsx = [BUILD.program("test/tools/fsx"), "-n", 3000, "-s", 4, mount.path / "data"]
        run(fsx, timeout=60 * BUILD.slowdown)
        seen = call(report, mount)
    if mount.transport.is_zero_copy:
        assert seen["zero_copied_reads"] >= 0.99 * seen["reads"] > 0, seen
        assert seen["zero_copied_writes"] >= 0.99 * seen["writes"] > 0, seen


@pytest.mark.transport("dev-multi", "rings")
def test_many_stripes_at_once(work, transport):
    """More pieces under way than a ring has room for."""
    content = pattern.data(8 * MIB, 9)

    def reader(path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        memory = mmap.mmap(-1, MIB)
        for at in range(0, len(content), MIB):
            assert os.preadv(fd, [memory], at) == MIB
            pattern.assert_same(memory[:], content[at : at + MIB], f"at {at}")
        os.close(fd)

    with serve(work, transport, "direct_io") as mount:
        call((mount.path / "striped").write_bytes, content)
        readers = [Child(reader, mount.path / "striped") for _ in range(12)]
        for each in readers:
            each.result()


def test_more_completions_than_the_ring_holds(work, transport):
    """A handler that waits for its data takes off the ring whatever completes meanwhile."""
    content = pattern.data(8 * MIB, 10)

    def reader(path):
        os.sched_setaffinity(0, {0})
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        memory = mmap.mmap(-1, MIB)
        for at in range(0, 4 * len(content), MIB):
            at %= len(content)
            assert os.preadv(fd, [memory], at) == MIB
            pattern.assert_same(memory[:], content[at : at + MIB], f"at {at}")
        os.close(fd)

    def writer(path, number):
        os.sched_setaffinity(0, {0})
        fd = os.open(path, os.O_WRONLY)
        for at in range(number * MIB, (number + 1) * MIB, 8192):
            assert os.pwrite(fd, content[at : at + 8192], at) == 8192
        os.close(fd)

    with serve(work, transport, "direct_io", "io_uring_q_depth=1") as mount:
        call((mount.path / "striped").write_bytes, content)
        clients = [Child(reader, mount.path / "striped") for _ in range(6)]
        clients += [Child(writer, mount.path / "data", number) for number in range(4)]
        for each in clients:
            each.result()
        written = (mount.folder / "data").read_bytes()
        pattern.assert_same(written, content[: 4 * MIB], "written")


# Which opens ask: learned from the answers


def read_often(path, times):
    for _ in range(times):
        with open(path, "rb", buffering=0) as file:
            assert file.read(100)


def figures(mount):
    """How many reads there were, and how many of them the kernel had made ready."""
    seen = report(mount)
    return seen["reads"], seen["zero_copied_reads"]


@ZERO_COPIES
def test_files_in_memory_are_left_alone(work, transport):
    with serve(work, transport, "direct_io", "says_nothing") as mount:
        for name in ("memory", "fd"):
            (mount.folder / name).write_bytes(bytes(4096))

        def body():
            read_often(mount.path / "memory", 100)
            reads, zero_copied = figures(mount)
            assert reads >= 100
            if not mount.transport.may_decline:
                assert zero_copied == reads
                return
            # Until it is known; and a try after 32 opens, and after 64 more.
            assert 4 <= zero_copied <= 16 + 3, zero_copied
            # Another file speaks for itself when it has been read, but not at once.
            read_often(mount.path / "fd", 100)
            later_reads, later = figures(mount)
            assert later_reads - reads >= 100
            assert later - zero_copied >= 90, (zero_copied, later)
            # And one that has been found to pay is not the others' excuse.
            read_often(mount.path / "memory", 20)
            assert figures(mount)[1] - later <= 2

        call(body)
    if mount.transport.may_decline:
        assert "opened without zero-copy" in mount.log()


@ZERO_COPIES
def test_files_that_are_written_in_memory(work, transport):
    with serve(work, transport, "old_write", "says_nothing") as mount:
        call(lambda: [(mount.path / "fd").write_bytes(b"x" * 5000) for _ in range(60)])
        assert (mount.folder / "fd").read_bytes() == b"x" * 5000
        seen = call(report, mount)
    assert seen["writes"] >= 60
    if mount.transport.may_decline:
        assert 4 <= seen["zero_copied_writes"] <= 30, seen
    else:
        assert seen["zero_copied_writes"] == seen["writes"], seen


@ZERO_COPIES
def test_hint_where_nobody_can_decline(work, transport):
    with serve(work, transport, "direct_io") as mount:
        (mount.folder / "memory").write_bytes(bytes(4096))
        call(read_often, mount.path / "memory", 1100)
    hint = "were copied in spite of io_uring_zero_copy"
    assert (hint in mount.log()) == (not mount.transport.may_decline), mount.log()


def test_stripe_that_ends_early(work, transport):
    """What follows a piece that came out short does not count."""
    with serve(work, transport, "direct_io") as mount:
        content = call(write_and_read, mount.path / "striped", True)
        os.truncate(mount.folder / "striped.2", 5000)
        fd = os.open(mount.path / "striped", os.O_RDONLY)
        got = os.pread(fd, 131_072, 0)
        pattern.assert_same(got, content[: 2 * 16_384 + 5000], "up to the end of the stripe")
        assert os.pread(fd, 16_384, 3 * 16_384) == content[3 * 16_384 : 4 * 16_384]
        os.close(fd)


def test_less_than_asked(work, transport):
    """A filesystem may answer a read with less of its own accord."""
    content = pattern.data(90_000)
    with serve(work, transport, "direct_io") as mount:
        (mount.folder / "less").write_bytes(content)

        def body():
            fd = os.open(mount.path / "less", os.O_RDWR)
            assert os.pread(fd, 30_000, 0) == content[:20_000]
            assert os.pwrite(fd, bytes(9000), 0) == 6000
            assert os.pread(fd, 9000, 0) == bytes(6000)
            os.close(fd)

        call(body)
        assert (mount.folder / "less").read_bytes() == bytes(6000) + content[6000:]
    if mount.transport.is_zero_copy:
        assert mount.stats()["broken"] == 0, mount.stats()


def read_to_end(path):
    fd = os.open(path, os.O_RDONLY)
    pieces = []
    while piece := os.read(fd, 300_000):
        pieces.append(piece)
    os.close(fd)
    return b"".join(pieces)


@pytest.mark.parametrize("name", ["pipe", "socket", "sent"])
def test_without_positions(work, transport, name):
    content = pattern.data(1_500_000, 8)
    with serve(work, transport) as mount:
        (mount.folder / name).write_bytes(content)
        pattern.assert_same(call(read_to_end, mount.path / name), content, "read")
        (mount.folder / name).write_bytes(b"")

        def write():
            fd = os.open(mount.path / name, os.O_WRONLY)
            for at in range(0, len(content), 70_000):
                pattern.pwrite_all(fd, content[at : at + 70_000], at)
            os.close(fd)

        call(write)
        deadline = time.monotonic() + 10 * BUILD.slowdown
        while (mount.folder / name).stat().st_size < len(content):
            assert time.monotonic() < deadline, "not all has arrived"
            time.sleep(0.01)
        pattern.assert_same((mount.folder / name).read_bytes(), content, "written")
    if mount.transport.is_zero_copy:
        data, copied = mount.zero_copied()
        assert data == 1 and copied == 0, mount.stats()


# Errors


def outcome(function, *arguments):
    """What it returned, or the name of its error."""
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def read_some(path, size=8192, at=0):
    fd = os.open(path, os.O_RDONLY)
    try:
        return outcome(os.pread, fd, size, at)
    finally:
        os.close(fd)


def write_some(path, content=bytes(8192), at=0, flags=os.O_WRONLY):
    fd = os.open(path, flags)
    try:
        return outcome(os.pwrite, fd, content, at)
    finally:
        os.close(fd)


ERRORS = {
    "eio": ("EIO", "EIO"),
    "badfd": ("EBADF", "EBADF"),
    "toolong": ("EIO", "EIO"),
    "readonly": (None, "EBADF"),
    "full": (bytes(8192), "ENOSPC"),
    "directory": ("EISDIR", "EPERM"),
    "broken": (b"", "EPIPE"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(work, transport, name):
    """A failed move is the request's failure, with the very errno; and nobody else's."""
    read, written = ERRORS[name]
    with serve(work, transport, "direct_io") as mount:
        (mount.folder / "fd").write_bytes(b"fine")
        for _ in range(3):
            if read is not None:
                assert call(read_some, mount.path / name) == read
            assert call(write_some, mount.path / name) == written
        assert call(read_some, mount.path / "fd", 4) == b"fine"
    if mount.transport.is_zero_copy and name in ("badfd", "broken"):
        stats = mount.stats()
        assert stats["broken"] > 0 and stats["broken"] + 1 == stats["linked"], stats


def test_errors_through_the_page_cache(work, transport):
    """There newer kernels make EIO of them; but of a write each keeps its own."""
    with serve(work, transport) as mount:
        for name in ("badfd", "eio"):
            (mount.folder / name).write_bytes(bytes(10_000))
        assert call(read_some, mount.path / "eio") == "EIO"
        assert call(read_some, mount.path / "badfd") in ("EIO", "EBADF")
        assert call(write_some, mount.path / "badfd") == "EBADF"


@pytest.mark.parametrize("read", [True, False], ids=["read", "write"])
def test_descriptor_closed_too_early(work, transport, read):
    """A filesystem's mistake may cost it the request, and nothing more."""
    content = pattern.data(8192)
    with serve(work, transport, "direct_io") as mount:
        (mount.folder / "early").write_bytes(content)
        for _ in range(20):
            if read:
                assert call(read_some, mount.path / "early") in (content, "EBADF")
            else:
                assert call(write_some, mount.path / "early") in (8192, "EBADF")


def test_file_that_reads_into_its_own_process_only(work, transport):
    """Such as some of /proc: the library copies, or every filesystem would have to know."""
    with serve(work, transport) as mount:
        wanted = Path(f"/proc/{mount.pid}/environ").read_bytes()
        assert len(wanted) > 10
        assert call(read_some, mount.path / "environ", len(wanted) + 10) == wanted


@pytest.mark.parametrize("before", [0, 400])
@pytest.mark.parametrize("name", ["environ_closed", "mixed_closed"])
def test_such_a_file_that_is_closed_at_once(work, transport, name, before):
    """
    After many others it may come too late, once; but nobody gets what has its number now, or only
    what came from an ordinary file before it.
    """

    def read_at_once(path, size):
        os.sched_setaffinity(0, {0})
        for _ in range(before):
            assert read_some(path / "closed", 4096) == bytes(4096)
        return [read_some(path / name, size + 10) for _ in range(20)]

    with serve(work, transport, "direct_io") as mount:
        (mount.folder / "closed").write_bytes(bytes(8192))
        environ = Path(f"/proc/{mount.pid}/environ").read_bytes()
        program = Path(f"/proc/{mount.pid}/exe").read_bytes()
        wanted = program[:4096] + environ if name == "mixed_closed" else environ
        found = call(read_at_once, mount.path, len(wanted))
        if before and mount.transport.is_zero_copy:
            assert found[0] in (wanted, "EIO")
            found = found[1:]
        assert set(found) == {wanted}
        assert call(read_some, mount.path / "environ", len(environ) + 10) == environ


@pytest.fixture
def small_source(work):
    path = work / "small"
    path.mkdir()
    libc.mount("none", path, "tmpfs", 0, "size=1m,mode=755")
    yield path
    run(["umount", path])


@pytest.mark.transport("dev-multi", "rings")
def test_full_source(work, transport, small_source):
    """The first write that does not fit is short, the next one fails: as on the source."""

    def fill(path):
        (path / "there").write_bytes(bytes(700_000 // 4096 * 4096))
        fd = os.open(path / "file", os.O_WRONLY | os.O_CREAT)
        found = [outcome(os.write, fd, pattern.data(300_000)) for _ in range(3)]
        os.close(fd)
        size = os.stat(path / "file").st_size
        os.unlink(path / "file")
        os.unlink(path / "there")
        return found, size

    wanted = fill(small_source)
    assert wanted[0][0] == 300_000 and 0 < wanted[0][1] < 300_000 and wanted[0][2] == "ENOSPC"
    with Mount(work, transport, source=small_source) as mount:
        assert call(fill, mount.path) == wanted
    if mount.transport.is_zero_copy:
        assert_moved(mount)
        assert mount.stats()["broken"] >= 2, mount.stats()


def assert_moved(mount):
    data, copied = mount.zero_copied()
    assert data == 1 and copied == 0, mount.stats()


@pytest.fixture
def failing_device(work):
    """A block device of 2 MiB whose second MiB cannot be read or written."""
    if not Path("/dev/mapper/control").exists():
        pytest.skip("this kernel has no device mapper")
    image = work / "image"
    image.write_bytes(pattern.data(2 * MIB, 1))
    loop = run(["losetup", "--find", "--show", image]).stdout.strip()
    name = f"fuse-test-{os.getpid()}"
    table = f"0 2048 linear {loop} 0\n2048 2048 error\n"
    create = ["dmsetup", "create", "--noudevsync", "--noudevrules", name]
    try:
        subprocess.run(create, input=table, text=True, check=True)
        # Its node below /dev/mapper would be made by a daemon that may not be there.
        info = ["dmsetup", "info", "--columns", "--noheadings", "-o", "blkdevname", name]
        yield Path("/dev") / run(info).stdout.strip()
        run(["dmsetup", "remove", "--noudevsync", "--noudevrules", name])
    finally:
        run(["losetup", "-d", loop])


@ZERO_COPIES
def test_failing_device(work, transport, failing_device):
    content = pattern.data(2 * MIB, 1)
    with serve(work, transport, "direct_io") as mount:
        (mount.folder / "fd").unlink()
        (mount.folder / "fd").symlink_to(failing_device)
        path = mount.path / "fd"
        assert call(read_some, path, MIB) == content[:MIB]
        assert call(read_some, path, 65_536, MIB) == "EIO"
        # Up to where it fails, as read(2) has it.
        assert call(read_some, path, 131_072, MIB - 65_536) == content[MIB - 65_536 : MIB]
        assert call(write_some, path, content[:8192], 4096) == 8192
        assert call(read_some, path, 8192, 4096) == content[:8192]
    stats = mount.stats()
    assert stats["copied"] == 0 and stats["broken"] >= 2, stats


# Clients in the kernel


@contextlib.contextmanager
def loop_device(path):
    """One that does direct I/O, so that its own clients' memory is what the mount gets."""
    if not Path("/dev/loop-control").exists():
        pytest.skip("this kernel has no loop devices")
    command = ["losetup", "--find", "--show", "--direct-io=on", path]
    device = Path(run(command).stdout.strip())
    try:
        assert Path(f"/sys/block/{device.name}/loop/dio").read_text() == "1\n"
        yield device
    finally:
        run(["losetup", "-d", device])


@contextlib.contextmanager
def mounted(device, path, *options):
    run(["mount", *options, device, path])
    try:
        yield
    finally:
        run(["umount", path])


@pytest.mark.parametrize("direct_io", [False, True], ids=["cached", "direct"])
@ZERO_COPIES
def test_loop_device(work, transport, direct_io):
    """Pages of a block device's cache are as good as any."""
    content = pattern.data(8 * MIB, 2)
    with serve(work, transport, *(["direct_io"] if direct_io else [])) as mount:
        (mount.folder / "fd").write_bytes(content)
        with loop_device(mount.path / "fd") as device:
            pattern.assert_same(call(device.read_bytes), content, "read")
            content = content[::-1]

            def write():
                fd = os.open(device, os.O_WRONLY)
                pattern.pwrite_all(fd, content, 0)
                os.fsync(fd)
                os.close(fd)

            call(write)
        pattern.assert_same((mount.folder / "fd").read_bytes(), content, "written")
        seen = call(report, mount)
    assert seen["zero_copied_reads"] == seen["reads"] > 0, seen
    assert seen["zero_copied_writes"] == seen["writes"] > 0, seen


@pytest.mark.parametrize("block_size", [1024, 4096])
@pytest.mark.transport("ring-zero-copy")
def test_memory_without_references(work, transport, block_size):
    """
    The kernel writes from slabs: when a block of a file begins as those of ext4's journal do, the
    journal gets a copy of it that does not, in memory from kmalloc(). Nobody may take references
    of that. It goes through a payload buffer, and the page cache of the same file system does not.
    """
    block = b"\xc0\x3b\x39\x98" + bytes(block_size - 4)
    content = bytearray(pattern.data(4 * MIB, 4))
    for at in range(0, len(content), 2 * block_size):
        content[at : at + len(block)] = block
    path = work / "ext4"
    path.mkdir()

    def write(name):
        fd = os.open(path / name, os.O_WRONLY | os.O_CREAT)
        pattern.pwrite_all(fd, bytes(content), 0)
        os.fsync(fd)
        os.close(fd)

    with serve(work, transport, "direct_io") as mount:
        (mount.folder / "fd").touch()
        os.truncate(mount.folder / "fd", 64 * MIB)
        with loop_device(mount.path / "fd") as device:
            run(["mkfs.ext4", "-q", "-b", block_size, "-J", "size=8", device])
            for turn in range(3):
                with mounted(device, path, "-o", "data=journal"):
                    call(write, f"file-{turn}")
                with mounted(device, path, "-o", "ro"):
                    found = call((path / f"file-{turn}").read_bytes)
                    pattern.assert_same(found, bytes(content), "through the journal")
            run(["e2fsck", "-f", "-n", device])
        seen = call(report, mount)
    assert 0 < seen["zero_copied_writes"] < seen["writes"], seen
    assert seen["zero_copied_reads"] == seen["reads"] > 0, seen


@pytest.mark.parametrize("direct_io", [False, True], ids=["cached", "direct"])
@ZERO_COPIES
def test_registered_buffers(work, transport, direct_io):
    """Those of a client's io_uring come as the kernel's own memory does, and are zero-copied."""
    if not shutil.which("fio"):
        pytest.skip("there is no fio")
    with serve(work, transport, *(["direct_io"] if direct_io else [])) as mount:
        # As large as it gets, or fio would want to have it unlinked first.
        (mount.folder / "fd").touch()
        os.truncate(mount.folder / "fd", 8 * MIB)
        command = ["fio", "--name=job", f"--filename={mount.path / 'fd'}", "--size=8m"]
        command += ["--ioengine=io_uring", "--fixedbufs=1", "--direct=1", "--iodepth=8"]
        command += ["--rw=randwrite", "--bsrange=4k-256k", "--verify=crc32c", "--thread"]
        run(command, cwd=work, timeout=60 * BUILD.slowdown)
        seen = call(report, mount)
    assert seen["zero_copied_reads"] == seen["reads"] > 0, seen
    assert seen["zero_copied_writes"] == seen["writes"] > 0, seen
    data, _ = mount.zero_copied()
    assert data >= 0.99, mount.stats()


@pytest.mark.transport("dev-multi", "rings")
def test_revoked_descriptor(work, transport):
    """The source is a FUSE mount too, and its connection ends while its files are open."""
    with serve(work, "dev-multi", exit_status=None, expect=None) as inner:
        (inner.folder / "fd").write_bytes(pattern.data(8 * MIB))
        (inner.folder / "eio").write_bytes(bytes(100_000))
        with Mount(work, transport, source=inner.path) as mount:

            def body():
                fd = os.open(mount.path / "fd", os.O_RDWR | os.O_DIRECT)
                memory = mmap.mmap(-1, 8192)
                assert os.preadv(fd, [memory], 0) == 8192
                assert memory[:] == pattern.data(8 * MIB)[:8192]
                bad = os.open(mount.path / "eio", os.O_RDWR | os.O_DIRECT)
                found = [outcome(os.preadv, bad, [memory], 0), outcome(os.pwrite, bad, memory, 0)]
                inner.abort()
                found += [outcome(os.preadv, fd, [memory], 7 * MIB)]
                found += [outcome(os.pwrite, fd, memory, 0)]
                for each in (fd, bad):
                    outcome(os.close, each)
                return found

            found = call(body)
            assert found[:2] == ["EIO", "EIO"]
            assert found[2] in ("EIO", "ENOTCONN", "ECONNABORTED"), found
            assert found[3] in ("ENOTCONN", "ECONNABORTED"), found


# Files that change behind the mount's back


@pytest.mark.transport("dev-multi", "rings")
def test_file_that_shrinks_while_it_is_read(work, transport):
    """Every byte read is the file's, or zero where it was cut off and grew again."""
    size = MIB
    content = pattern.data(size, 3)
    end = time.monotonic() + 4
    readers_are_done = mmap.mmap(-1, 1)  # shared with the clients

    def shrink(path):
        fd = os.open(path, os.O_RDWR)
        step = 0
        while not readers_are_done[0]:
            step += 1
            os.ftruncate(fd, step * 7919 % size)
            os.ftruncate(fd, size)
            os.pwrite(fd, content, 0)

    def reader(path, flags):
        memory = mmap.mmap(-1, size)
        reads = 0
        while reads < 4 or time.monotonic() < end:
            fd = os.open(path, os.O_RDONLY | flags)
            got = os.preadv(fd, [memory], 0)
            os.close(fd)
            found = memory[:got]
            if found != content[:got]:
                for at in range(0, got, 4096):
                    page, wanted = found[at : at + 4096], content[at : at + 4096]
                    if page == wanted[: len(page)]:
                        continue
                    assert all(a == b or a == 0 for a, b in zip(page, wanted)), f"at {at}"
            reads += 1

    with Mount(work, transport, args=["--nopassthrough", "--nocache"]) as mount:
        (mount.source / "file").write_bytes(content)
        shrinker = Child(shrink, mount.source / "file")
        readers = [
            Child(reader, mount.path / "file", flags) for flags in (0, 0, os.O_DIRECT, os.O_DIRECT)
        ]
        for each in readers:
            each.result(60)
        readers_are_done[0] = 1
        shrinker.result()
    if mount.transport.is_zero_copy:
        assert mount.zero_copied()[0] >= 0.99 and mount.stats()["broken"] > 0, mount.stats()


# Who may, and with how much


def unprivileged(work, transport, *options, **kwargs):
    """passthrough_hp without CAP_SYS_ADMIN, on a mount that somebody else made."""
    return without_privilege(Mount(work, transport, options=options, **kwargs))


@ZERO_COPIES
def test_without_privilege(work, transport):
    """The pool is used, and one line says why there is no more."""
    expect = {**TRANSPORTS[transport].stats, "zero_copy": False}
    if "io_uring_strict" in TRANSPORTS[transport].options:
        pytest.skip("this transport is strict: test_without_privilege_and_strict")
    with unprivileged(work, transport, expect=expect) as mount:
        call(readahead, mount.path / "file")
        lines = [line for line in mount.log().splitlines() if "zero-copy" in line]
        assert len(lines) == 1 and "CAP_SYS_ADMIN" in lines[0], mount.log()
    assert mount.stats()["zero_copied_requests"] == 0 == mount.stats()["copied"]


@ZERO_COPIES
def test_without_privilege_and_strict(work, transport):
    mount = unprivileged(work, transport, "io_uring_strict")
    result = run(mount.command, timeout=20 * BUILD.slowdown, check=False)
    while mount.entry() is not None:
        run(["umount", "-l", mount.path])
    assert result.returncode == 1, result.stdout
    lines = [line for line in result.stdout.splitlines() if "zero-copy" in line]
    assert len(lines) == 1, result.stdout
    assert "io_uring_strict" in lines[0] and "CAP_SYS_ADMIN" in lines[0], result.stdout


@pytest.mark.parametrize("buffers", [1, 2])
@pytest.mark.transport(
    "pool",
    "pool-registered",
    "zero-copy",
    "zero-copy-registered",
    "ring",
    "ring-headers",
    "ring-pinned",
    "ring-zero-copy",
)
def test_fewer_buffers_than_requests(work, transport, buffers):
    """Sixteen clients, eight entries and two buffers: they wait for each other, not for ever."""
    options = ["io_uring_q_depth=8", f"io_uring_bufs={buffers}"]
    with Mount(work, transport, options=options) as mount:
        command = [BUILD.program("test/tools/churn"), "-k", 16, "-s", 4, mount.path]
        run(command, timeout=60 * BUILD.slowdown)
        call(concurrent, mount.path / "file")
        copier = Child(run, ["cp", "-r", "/usr/include/linux", mount.path / "copy"])
        call(pattern.sizes_at_odd_offsets, mount.path / "odd")
        copier.result(60)
        run(["diff", "-r", "/usr/include/linux", mount.path / "copy"])


@ZERO_COPIES
def test_writes_of_other_users(work, transport):
    """They are made as their user, and so go through memory: set-id bits are lost by them."""
    with Mount(work, transport) as mount:
        path, source = mount.path / "file", mount.source / "file"
        call(path.write_bytes, bytes(10))
        os.chmod(source, 0o6777)

        def write():
            fd = os.open(path, os.O_WRONLY)
            os.write(fd, pattern.data(200_000))
            os.close(fd)

        call(write, credentials=Credentials(0, 0))
        assert source.stat().st_mode & 0o7777 == 0o6777
        call(write, credentials=Credentials(1000, 1000))
        assert source.stat().st_mode & 0o7777 == 0o777
        assert source.read_bytes() == pattern.data(200_000)
    stats = mount.stats()
    assert stats["copied"] >= 1, stats
    assert stats["zero_copied_bytes"] >= 200_000, stats
