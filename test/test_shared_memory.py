# SPDX-License-Identifier: GPL-2.0-only
"""
Reads and writes in memory that a client shares with the server. Contents have to be right on every
kernel; where that takes shared memory, the statistics have to say that it was used for all that
lies in it, and for nothing else.
"""

import ctypes
import errno
import mmap
import os
import random
import select
import signal

import pytest

from fusetest import kernel, pattern, shared
from fusetest.build import BUILD
from fusetest.child import Child, call, reap
from fusetest.mount import TRANSPORTS, without_privilege
from fusetest.shared import FUTURE_WRITE, GROW, SHRINK, SIZE, WAYS, WRITE, Memory, is_shared, serve
from fusetest.waiting import eventually

MIB = 1 << 20
LIMIT = 20 * BUILD.slowdown

pytestmark = [pytest.mark.transport("dev-multi", "rings"), pytest.mark.sanitize]


def assert_all_shared(mount, reads=True, writes=True):
    """Once it is closed: so it went with every byte that was read or written, or with none."""
    stats = mount.stats()
    if not is_shared(mount):
        assert stats["shared_requests"] == stats["shared_bytes"] == 0, stats
        return
    expected = reads * stats["bytes_read"] + writes * stats["bytes_written"]
    assert expected, stats
    assert stats["shared_bytes"] == expected and stats["shared_requests"], stats
    if reads and writes:
        assert stats["zero_copied_bytes"] == stats["pool_bytes"] == stats["copied_bytes"] == 0


def assert_none_shared(mount):
    stats = mount.stats()
    assert stats["bytes_read"] + stats["bytes_written"], stats
    assert stats["shared_requests"] == stats["shared_bytes"] == 0, stats


def place(rng, size):
    """A piece of the memory and of the file, at any alignment."""
    lengths = [1, 7, 511, 4096, 4097, 65536, MIB - 1, MIB, MIB + 3, rng.randrange(1, 4 * MIB)]
    length = min(rng.choice(lengths), size // 2)
    at = rng.randrange(size - length)
    off = rng.randrange(SIZE - length)
    if rng.random() < 0.5:
        at, off = at & ~4095, off & ~4095
    return at, off, length


def mix(path, memory, seed, rounds=40):
    """Reads and writes at random; what the file and the memory should be is kept beside."""
    rng = random.Random(seed)
    fd = shared.opened(path)
    content, mirror = bytearray(SIZE), bytearray(memory.size)
    for number in range(rounds):
        at, off, length = place(rng, memory.size)
        view = memory.bytes[at : at + length]
        if rng.random() < 0.5:
            view[:] = mirror[at : at + length] = rng.randbytes(length)
            assert os.pwritev(fd, [view], off) == length
            content[off : off + length] = view
        else:
            assert os.preadv(fd, [view], off) == length
            mirror[at : at + length] = content[off : off + length]
            pattern.assert_same(bytes(view), bytes(content[off : off + length]), f"round {number}")
    pattern.assert_same(memory.bytes.tobytes(), bytes(mirror), "memory that was not read into")
    # The file as a whole, through the memory, too.
    for off in range(0, SIZE, memory.size):
        length = min(memory.size, SIZE - off)
        assert os.preadv(fd, [memory.bytes[:length]], off) == length
        pattern.assert_same(
            memory.bytes[:length].tobytes(), bytes(content[off : off + length]), f"at {off}"
        )
    os.close(fd)


@pytest.mark.parametrize("handler", ["write", "write_buf"])
@pytest.mark.parametrize("way", WAYS)
def test_contents(work, transport, way, handler):
    args = ["--write-buf"] if handler == "write_buf" else []
    with Memory() as memory, serve(work, transport, program_args=args) as mount:
        call(shared.add, mount.path, memory.path)
        call(mix, mount.path / way, memory, way + handler, timeout=LIMIT * 4)
        reads, writes, wrong = call(shared.seen, mount.path)
    assert_all_shared(mount)
    stats = mount.stats()
    assert wrong == 0 and reads + writes == stats["shared_requests"], stats


def test_removed_when_nobody_asks_any_more(work, transport):
    """An idle mount lets go of the memory by itself, as soon as the request is answered."""
    options = ["io_uring_poll_us=0"] if TRANSPORTS[transport].is_uring else []

    def read_and_stay(path, memory, done):
        fd = shared.opened(path / "held")
        assert os.preadv(fd, [memory.bytes[4096:12288]], 5) == 8192
        os.write(done, b"x")
        signal.pause()

    with Memory(MIB) as memory, serve(work, transport, *options) as mount:
        number = call(shared.add, mount.path, memory.path)
        told, done = os.pipe()
        reader = Child(read_and_stay, mount.path, memory, done)
        eventually(lambda: call(shared.held, mount.path) == 1, "no read is held")
        call(shared.remove, mount.path, number)
        call(shared.go, mount.path)
        assert os.read(told, 1) == b"x"
        eventually(
            lambda: not any("memfd:shared" in link for link in mount.fds().values()),
            "the memory is kept",
        )
        reader.signal(signal.SIGKILL)
        assert reap(reader.pid, LIMIT) is not None
        os.close(told)
        os.close(done)


def test_added_before_and_after(work, transport):
    """Only what has been added, and as long as it is."""
    with Memory(MIB) as first, Memory(MIB) as second, serve(work, transport) as mount:
        def write(memory):
            fd = shared.opened(mount.path / "payload")
            assert os.pwritev(fd, [memory.bytes], 0) == MIB
            os.close(fd)
            return shared.seen(mount.path)[1]

        takes = is_shared(mount)
        assert call(write, first) == 0
        number = call(shared.add, mount.path, first.path)
        again = call(shared.add, mount.path, first.path)
        assert number != again
        assert call(write, first) == 1 * takes
        assert call(write, second) == 1 * takes
        call(shared.remove, mount.path, number)
        assert call(write, first) == 2 * takes
        call(shared.remove, mount.path, again)
        assert call(write, first) == 2 * takes
        with pytest.raises(OSError) as caught:
            call(shared.remove, mount.path, again)
        assert caught.value.errno == errno.ENOENT
        assert not [link for link in mount.fds().values() if "memfd:shared" in link]


def end_of_file(path, memory):
    """What is behind the bytes that were read stays what it was."""
    fd = shared.opened(path)
    memory.bytes[:] = b"\xee" * memory.size
    assert os.preadv(fd, [memory.bytes[100 : 100 + 65536]], SIZE - 5000) == 5000
    assert memory.bytes[100:5100].tobytes() == bytes(5000)
    assert memory.bytes[:100].tobytes() == b"\xee" * 100
    behind = memory.bytes[5100:].tobytes()
    assert os.preadv(fd, [memory.bytes[:4096]], SIZE) == 0
    os.close(fd)
    return behind.strip(b"\xee")


@pytest.mark.parametrize("way", WAYS)
def test_short_reads(work, transport, way):
    with Memory(MIB) as memory, serve(work, transport) as mount:
        call(shared.add, mount.path, memory.path)
        assert call(end_of_file, mount.path / way, memory).strip(b"\0") == b""
    assert_all_shared(mount)


# Where the data lie


def scatter(path, kind, one, two):
    """Writes from, and reads into, pieces of memory; compared with the same by plain memory."""
    page = 4096
    anonymous = memoryview(mmap.mmap(-1, 2 * page))
    a, b = one.bytes, two.bytes
    pieces = {
        "with anonymous": [a[:page], anonymous[:page]],
        "two memories": [a[:page], b[page : 2 * page]],
        "a gap": [a[:page], a[2 * page : 3 * page]],
        "backwards": [a[page : 2 * page], a[:page]],
        "the same twice": [a[:page], a[:page]],
        "in order": [a[:page], a[page : 3 * page]],
        "in order, not at pages": [a[page + 3 : 2 * page], a[2 * page : 3 * page + 9]],
    }[kind]
    total = sum(map(len, pieces))
    fd = shared.opened(path)
    for piece in pieces:
        piece[:] = random.Random(len(piece)).randbytes(len(piece))
    assert os.pwritev(fd, pieces, 777) == total
    wanted = b"".join(piece.tobytes() for piece in pieces)
    pattern.assert_same(pattern.pread_all(fd, total, 777), wanted, "written")
    content = random.Random(1).randbytes(total)
    pattern.pwrite_all(fd, content, 777)
    assert os.preadv(fd, pieces, 777) == total
    if kind == "the same twice":
        assert pieces[0].tobytes() in (content[:page], content[page:])
    else:
        pattern.assert_same(b"".join(piece.tobytes() for piece in pieces), content, "read")
    os.close(fd)


@pytest.mark.parametrize(
    "kind, counted",
    [
        ("with anonymous", 0),
        ("two memories", 0),
        ("a gap", 0),
        ("backwards", 0),
        ("the same twice", 0),
        ("in order", 1),
        ("in order, not at pages", 1),
    ],
)
def test_pieces(work, transport, kind, counted):
    with Memory(MIB) as one, Memory(MIB) as two, serve(work, transport) as mount:
        call(shared.add, mount.path, one.path)
        call(shared.add, mount.path, two.path)
        call(scatter, mount.path / "payload", kind, one, two)
        counted *= is_shared(mount)
        assert call(shared.seen, mount.path) == (counted, counted, 0)


def through_private(path, memory):
    """Pages of its own are nobody's but the client's."""
    fd = shared.opened(path)
    memory.bytes[:] = b"\x11" * memory.size
    view = memoryview(memory.private())
    view[:4096] = b"\x22" * 4096  # a copy from now on
    before = shared.seen(path.parent)[1]
    assert os.pwritev(fd, [view[:4096]], 0) == 4096
    assert shared.seen(path.parent)[1] == before
    assert pattern.pread_all(fd, 4096, 0) == b"\x22" * 4096
    # This one is the file's page still, and may go either way.
    assert os.pwritev(fd, [view[4096:12288]], 0) == 8192
    assert pattern.pread_all(fd, 8192, 0) == b"\x11" * 8192
    reads = shared.seen(path.parent)[0]
    pattern.pwrite_all(fd, b"\x33" * 65536, 0)
    assert os.preadv(fd, [view[65536 : 2 * 65536]], 0) == 65536
    assert view[65536 : 2 * 65536].tobytes() == b"\x33" * 65536
    assert memory.bytes[65536 : 2 * 65536].tobytes() == b"\x11" * 65536, "the shared pages changed"
    assert shared.seen(path.parent)[0] == reads
    os.close(fd)


def test_private_mappings(work, transport):
    with Memory(MIB) as memory, serve(work, transport) as mount:
        call(shared.add, mount.path, memory.path)
        call(through_private, mount.path / "payload", memory)


LIBC = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE = 1, 2


def punch(fd, off, length):
    libc_off = ctypes.c_int64
    if LIBC.fallocate64(fd, PUNCH_HOLE | KEEP_SIZE, libc_off(off), libc_off(length)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def through_holes(path, memory):
    fd = shared.opened(path)
    content = random.Random(4).randbytes(MIB)
    for off in range(0, MIB, 4 * 4096):
        memory.bytes[:] = content
        punch(memory.fd, off, 3 * 4096)
        wanted = bytearray(content)
        wanted[off : off + 3 * 4096] = bytes(len(wanted[off : off + 3 * 4096]))
        assert os.pwritev(fd, [memory.bytes], 0) == MIB
        pattern.assert_same(pattern.pread_all(fd, MIB, 0), bytes(wanted), f"hole at {off}")
        punch(memory.fd, 0, MIB)
        assert os.preadv(fd, [memory.bytes], 0) == MIB
        pattern.assert_same(memory.bytes.tobytes(), bytes(wanted), f"read over a hole at {off}")
    os.close(fd)


def test_holes(work, transport):
    with Memory(MIB) as memory, serve(work, transport) as mount:
        call(shared.add, mount.path, memory.path)
        call(through_holes, mount.path / "payload", memory, timeout=LIMIT * 3)
        reads, writes, wrong = call(shared.seen, mount.path)
        assert wrong == 0
        assert not is_shared(mount) or (reads >= 64 and writes == 64), (reads, writes)


def huge_pages():
    path = "/proc/sys/vm/nr_hugepages"
    return os.path.exists(path) and int(open(path).read())


@pytest.mark.skipif(not os.path.exists("/proc/sys/vm/nr_hugepages"), reason="no huge pages in this kernel")
def test_huge_pages(work, transport):
    before = huge_pages()
    with open("/proc/sys/vm/nr_hugepages", "w") as out:
        out.write(str(before + 8))
    try:
        if huge_pages() < 4:
            pytest.skip("no memory for huge pages")
        with Memory(8 << 20, flags=shared.MFD_HUGETLB) as memory:
            with serve(work, transport) as mount:
                call(shared.add, mount.path, memory.path)
                call(mix, mount.path / "payload", memory, "huge", timeout=LIMIT * 3)
            assert_all_shared(mount)
    finally:
        with open("/proc/sys/vm/nr_hugepages", "w") as out:
            out.write(str(before))


# Which memory


@pytest.mark.parametrize(
    "seals, error",
    [
        (SHRINK, errno.EPERM),
        (GROW, errno.EPERM),
        (0, errno.EPERM),
        (SHRINK | GROW | FUTURE_WRITE, 0),
        (SHRINK | GROW | WRITE, 0),
    ],
)
def test_seals(work, transport, seals, error):
    with Memory(MIB, seals) as memory, serve(work, transport) as mount:
        if not error:
            assert call(shared.add, mount.path, memory.path) > 0
            return
        with pytest.raises(OSError) as caught:
            call(shared.add, mount.path, memory.path)
        assert caught.value.errno == error


def test_other_files(work, transport):
    """A file of tmpfs is memory, but nobody can seal it."""
    plain = work / "plain"
    plain.write_bytes(b"plain")
    with serve(work, transport) as mount:
        for path in (plain, "/", "/dev/zero", "/proc/self/status"):
            with pytest.raises(OSError) as caught:
                call(shared.add, mount.path, str(path), "user.look")
            wanted = errno.EPERM if path == plain and shared.has_seals(plain) else errno.EOPNOTSUPP
            assert caught.value.errno == wanted, path


def test_memory_to_look_at(work, transport):
    """The server may not write it: so no read goes there."""
    with Memory(MIB) as memory, serve(work, transport) as mount:
        call(shared.add, mount.path, memory.path, "user.look")
        call(mix, mount.path / "payload", memory, "look", rounds=10, timeout=LIMIT)
        reads, writes, wrong = call(shared.seen, mount.path)
        assert reads == 0 and wrong == 0
        assert (writes > 0) == is_shared(mount)
    assert_all_shared(mount, reads=False)


# Requests under way


def read_held(path, memory):
    fd = shared.opened(path / "held")
    assert os.preadv(fd, [memory.bytes[4096:12288]], 5) == 8192
    os.close(fd)
    return memory.bytes[4096:12288].tobytes()


def write_content(path, content):
    fd = shared.opened(path / "payload")
    pattern.pwrite_all(fd, content, 0)
    os.close(fd)


def test_removed_meanwhile(work, transport):
    """It stays until the request is answered, and no longer."""
    content = random.Random(8).randbytes(MIB)
    with Memory(MIB) as memory, serve(work, transport) as mount:
        call(write_content, mount.path, content)
        number = call(shared.add, mount.path, memory.path)
        reader = Child(read_held, mount.path, memory)
        eventually(lambda: call(shared.held, mount.path) == 1, "no read is held")
        call(shared.remove, mount.path, number)
        is_kept = any("memfd:shared" in link for link in mount.fds().values())
        assert is_kept == is_shared(mount)
        other = call(shared.add, mount.path, memory.path)
        assert other != number
        call(shared.go, mount.path)
        assert reader.result(LIMIT) == content[5 : 5 + 8192]
        assert call(shared.seen, mount.path) == (is_shared(mount), 0, 0)
        call(shared.remove, mount.path, other)
        eventually(
            lambda: not any("memfd:shared" in link for link in mount.fds().values()),
            "the memory is kept",
        )
    assert mount.stats()["shared_requests"] == is_shared(mount)


@pytest.mark.parametrize("removed", [False, True])
def test_client_killed(work, transport, removed):
    with Memory(MIB) as memory, serve(work, transport) as mount:
        number = call(shared.add, mount.path, memory.path)
        reader = Child(read_held, mount.path, memory)
        eventually(lambda: call(shared.held, mount.path) == 1, "no read is held")
        os.kill(reader.pid, signal.SIGKILL)
        if removed:
            call(shared.remove, mount.path, number)
        call(shared.go, mount.path)
        assert reap(reader.pid, LIMIT) is not None
        if not removed:
            call(mix, mount.path / "payload", memory, 3, rounds=4, timeout=LIMIT)


@pytest.mark.parametrize("end", ["kill", "abort"])
def test_server_gone(work, transport, end):
    """Clients get an error, and keep their memory."""
    with Memory(MIB) as memory:
        exit_status = -signal.SIGKILL if end == "kill" else None
        with serve(work, transport, exit_status=exit_status, expect=None) as mount:
            call(shared.add, mount.path, memory.path)
            readers = [Child(read_held, mount.path, memory) for _ in range(4)]
            eventually(lambda: call(shared.held, mount.path) == 4, "not all are held")
            if end == "kill":
                mount.signal(signal.SIGKILL)
            else:
                mount.abort()
            for reader in readers:
                with pytest.raises(OSError) as caught:
                    reader.result(LIMIT)
                assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
        memory.bytes[:] = b"\x77" * MIB
        assert memory.bytes.tobytes() == b"\x77" * MIB


def churn(path, memory_path, end):
    """Adds and removes, over and over, until there is a byte to be read."""
    rounds = 0
    while not select.select([end], [], [], 0)[0]:
        shared.remove(path, shared.add(path, memory_path))
        rounds += 1
    return rounds


def write_and_read(path, memory, seed, rounds):
    """At a place of its own in the file, and through a memory of its own."""
    rng = random.Random(seed)
    fd = shared.opened(path)
    base, room = seed * 2 * MIB, MIB
    for number in range(rounds):
        length = rng.randrange(1, room)
        at = rng.randrange(memory.size - length)
        content = rng.randbytes(length)
        memory.bytes[at : at + length] = content
        assert os.pwritev(fd, [memory.bytes[at : at + length]], base) == length
        memory.bytes[:] = bytes(memory.size)
        assert os.preadv(fd, [memory.bytes[at : at + length]], base) == length
        pattern.assert_same(memory.bytes[at : at + length].tobytes(), content, f"round {number}")
    os.close(fd)


def test_eight_clients(work, transport):
    """Each with its own memory, one of which comes and goes all the time."""
    memories = [Memory(2 * MIB) for _ in range(7)]
    reader, writer = os.pipe()
    try:
        with serve(work, transport) as mount:
            for memory in memories[1:]:
                call(shared.add, mount.path, memory.path)
            turns = Child(churn, mount.path, memories[0].path, reader)
            clients = [
                Child(write_and_read, mount.path / "payload", memory, index, 12)
                for index, memory in enumerate(memories)
            ]
            for client in clients:
                client.result(LIMIT * 3)
            os.write(writer, b"e")
            assert turns.result(LIMIT) > 5
            assert call(shared.seen, mount.path)[2] == 0
        stats = mount.stats()
        if is_shared(mount):
            assert stats["shared_bytes"] >= 0.8 * (stats["bytes_read"] + stats["bytes_written"])
    finally:
        os.close(reader)
        os.close(writer)
        for memory in memories:
            memory.close()


@pytest.mark.long
def test_ten_thousand(work, transport):
    """Memories at once: each is found, and none stays."""
    count = 10_000
    memory = Memory(4096)

    def work_through(path):
        memories = [Memory(8192) for _ in range(64)]
        numbers = []
        fd = shared.opened(path / "payload")
        for index in range(count):
            each = memories[index] if index < 64 else Memory(8192)
            numbers.append(shared.add(path, each.path))
            if index >= 64:
                each.close()
        for index, each in enumerate(memories):
            each.bytes[:] = bytes([index]) * 8192
            assert os.pwritev(fd, [each.bytes], 0) == 8192
            assert pattern.pread_all(fd, 8192, 0) == bytes([index]) * 8192
        for number in numbers:
            shared.remove(path, number)
        os.close(fd)
        return shared.seen(path)

    with serve(work, transport, prefix=["prlimit", "--nofile=40000:40000"]) as mount:
        reads, writes, wrong = call(work_through, mount.path, timeout=LIMIT * 20)
        assert (reads, wrong) == (0, 0) and writes == 64 * is_shared(mount)
        assert not [link for link in mount.fds().values() if "memfd:shared" in link]
    memory.close()


def test_without_privilege(work, transport):
    """It takes none: there is nothing in it that the server has not been given."""
    mount = without_privilege(serve(work, transport, expect=None))
    with Memory(MIB) as memory, mount:
        call(shared.add, mount.path, memory.path)
        call(mix, mount.path / "payload", memory, 5, rounds=10, timeout=LIMIT)
    assert_all_shared(mount)


@pytest.mark.dialect("shared_memory")
@pytest.mark.transport("io_uring", "pool-registered", "zero-copy")
def test_it_is_the_kernels(work, transport):
    """No test of this file is worth anything where the kernel takes it and is not asked."""
    assert kernel.takes_shared_memory()
    with Memory(MIB) as memory, serve(work, transport) as mount:
        call(shared.add, mount.path, memory.path)
        call(mix, mount.path / "payload", memory, 9, rounds=6, timeout=LIMIT)
    stats = mount.stats()
    assert stats["shared_requests"] > 5 and stats["shared_bytes"] > SIZE, stats
