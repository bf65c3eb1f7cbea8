# SPDX-License-Identifier: GPL-2.0-only
"""
example/shared_memory_ll, a store that checks every byte, and its client. What comes back, and
what is in the store, is the same on every kernel and for every kind of memory; where the kernel
takes shared memory, the statistics have to say that all data were there.
"""

import ctypes
import errno
import os
import struct

import pytest

from fusetest import kernel, pattern
from fusetest.build import BUILD
from fusetest.child import call, run
from fusetest.mount import Mount

KIB, MIB = 1 << 10, 1 << 20
BLOCK = 4 * KIB
SUM = 8  # bytes, of a block
LIMIT = 60 * BUILD.slowdown

pytestmark = [pytest.mark.transport("dev-multi", "rings"), pytest.mark.sanitize]


class Store(Mount):
    def __init__(self, work, transport, **kwargs):
        self.store = work / "store"
        args = [f"--store={self.store}"]
        program = "example/shared_memory_ll"
        super().__init__(work, transport, program=program, program_args=args, **kwargs)

    def assert_stored(self, name, content):
        """As a file, and with the checksums that Python comes to, too."""
        pattern.assert_same((self.store / "data" / name).read_bytes(), content, name)
        sums = (self.store / "sums" / name).read_bytes()
        for number in {0, len(content) // BLOCK}:
            block = content[number * BLOCK :][:BLOCK]
            if block:
                (found,) = struct.unpack_from("=Q", sums, SUM * number)
                assert found == sum_of(block), f"block {number}"

    def assert_way(self, shared):
        """Once it is closed: all data were in shared memory, or none."""
        stats = self.stats()
        moved = stats["bytes_read"] + stats["bytes_written"]
        assert moved, stats
        is_taken = self.transport.is_uring and kernel.takes_shared_memory()
        assert stats["shared_bytes"] == (moved if shared and is_taken else 0), stats
        if self.transport.is_uring:
            # What is read is put in place; what is written is looked at where it is.
            assert stats["copied_bytes"] == 0, stats


xxh3 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
xxh3.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
xxh3.restype = ctypes.c_uint64


def sum_of(block):
    return xxh3(block.ljust(BLOCK, b"\0"), BLOCK) ^ xxh3(bytes(BLOCK), BLOCK)


def client(*arguments, **kwargs):
    command = [BUILD.program("example/shared_memory_client"), *arguments]
    return run(command, timeout=LIMIT, **kwargs).stdout


SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, MIB, 5 * MIB + 12_345]


@pytest.mark.parametrize("kind", ["shared", "private"])
def test_store_and_load(work, transport, kind):
    options = ["--private"] if kind == "private" else []
    source, back = work / "source", work / "back"
    with Store(work, transport) as mount:
        for size in SIZES:
            content = pattern.data(size, size)
            source.write_bytes(content)
            said = client("store", mount.path / f"o{size}", source, "--verify", *options)
            assert said == f"{size} bytes stored from {kind} memory\n"
            mount.assert_stored(f"o{size}", content)
            said = client("load", mount.path / f"o{size}", back, *options)
            assert said == f"{size} bytes loaded to {kind} memory\n"
            pattern.assert_same(back.read_bytes(), content, f"{size} bytes")
        assert sorted(call(os.listdir, mount.path)) == sorted(f"o{size}" for size in SIZES)
    mount.assert_way(kind == "shared")


@pytest.mark.parametrize("size", [1000, BLOCK, 100_001, 4 * MIB])
def test_sizes_of_requests(work, transport, size):
    """The same object, in pieces of any size."""
    content = pattern.data(3 * MIB // 2 + 77 if size > BLOCK else 70_007)
    source, back = work / "source", work / "back"
    source.write_bytes(content)
    with Store(work, transport) as mount:
        client("store", mount.path / "object", source, "--verify", f"--size={size}")
        mount.assert_stored("object", content)
        client("load", mount.path / "object", back, f"--size={size}")
        pattern.assert_same(back.read_bytes(), content, "object")
    mount.assert_way(True)


def test_overwritten(work, transport):
    """A shorter one leaves nothing of the longer one before."""
    source, back = work / "source", work / "back"
    with Store(work, transport) as mount:
        for size in (3 * MIB, 10_000, 20_000):
            content = pattern.data(size, size)
            source.write_bytes(content)
            client("store", mount.path / "object", source)
            client("load", mount.path / "object", back)
            pattern.assert_same(back.read_bytes(), content, f"{size} bytes")
            mount.assert_stored("object", content)


def test_served_again(work, transport):
    content = pattern.data(MIB + 1)
    source, back = work / "source", work / "back"
    source.write_bytes(content)
    with Store(work, transport) as mount:
        client("store", mount.path / "object", source)
    with Store(work, transport) as mount:
        client("load", mount.path / "object", back)
        pattern.assert_same(back.read_bytes(), content, "object")


@pytest.mark.parametrize("damaged", ["data", "sums"])
def test_damage_is_found(work, transport, damaged):
    """One wrong bit: that block cannot be read, its neighbours can, and it can be written anew."""
    content = pattern.data(5 * BLOCK)
    source, back = work / "source", work / "back"
    source.write_bytes(content)

    def look(path, number):
        fd = os.open(path, os.O_RDONLY)
        try:
            return os.pread(fd, BLOCK, number * BLOCK)
        finally:
            os.close(fd)

    with Store(work, transport) as mount:
        object_ = mount.path / "object"
        client("store", object_, source)
        with open(mount.store / damaged / "object", "r+b") as file:
            at = 3 * BLOCK + 100 if damaged == "data" else 3 * SUM
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 16]))
        for number in (0, 1, 2, 4):
            assert call(look, object_, number) == content[number * BLOCK :][:BLOCK]
        with pytest.raises(OSError) as caught:
            call(look, object_, 3)
        assert caught.value.errno == errno.EIO
        result = client("load", object_, back, check=False)
        assert result == "cannot load: Input/output error\n"
        client("store", object_, source)
        client("load", object_, back)
        pattern.assert_same(back.read_bytes(), content, "written anew")


def _write_behind(path):
    with open(path, "xb") as file:
        file.seek(4 * BLOCK)
        file.write(b"the end")
    return path.read_bytes()


def test_sums_of_a_file_before(work, transport):
    """Somebody has removed the data, and left the checksums: they are not the new file's."""
    content = pattern.data(5 * BLOCK)
    with Store(work, transport) as mount:
        call((mount.path / "object").write_bytes, content)
    (mount.store / "data" / "object").unlink()
    with Store(work, transport) as mount:
        assert call(_write_behind, mount.path / "object") == bytes(4 * BLOCK) + b"the end"


def _change_size(path):
    content = pattern.data(3 * BLOCK + 1000)
    path.write_bytes(content)
    sizes = (2 * BLOCK, 2 * BLOCK - 1, BLOCK, 5 * BLOCK + 77, 7 * BLOCK, BLOCK + 1, 0, 3)
    for size in sizes:
        os.truncate(path, size)
        content = content[:size].ljust(size, b"\0")
        assert path.stat().st_size == size
        pattern.assert_same(path.read_bytes(), content, f"cut to {size}")
    # A write far behind the end: what is between is a hole.
    with open(path, "r+b") as file:
        file.seek(900 * BLOCK + 5)
        file.write(b"the end")
    content += bytes(900 * BLOCK + 5 - len(content)) + b"the end"
    pattern.assert_same(path.read_bytes(), content, "with a hole")
    return content


def test_sizes(work, transport):
    with Store(work, transport) as mount:
        content = call(_change_size, mount.path / "object")
        mount.assert_stored("object", content)
        blocks = (mount.store / "data" / "object").stat().st_blocks
        assert blocks * 512 < 100 * BLOCK


def test_files_like_any_other(work, transport):
    with Store(work, transport) as mount:
        path = mount.path / "object"
        content = call(pattern.sizes_at_odd_offsets, path, timeout=LIMIT)
        mount.assert_stored("object", content)
        assert call(pattern.direct_io, mount.path / "direct", timeout=LIMIT)
        call(pattern.concurrent_writers, mount.path / "stripes", timeout=LIMIT)


@pytest.mark.transport("dev-multi", "io_uring")
def test_random_operations(work, transport):
    """fsx. There is no fallocate() here, and mappings are only to be read."""
    with Store(work, transport) as mount:
        command = [BUILD.program("test/tools/fsx"), "-n", 3000, "-s", 7, mount.path / "object"]
        output = run(command, timeout=100 * BUILD.slowdown, check=False).stdout
        assert "3000 operations, seed 7: 0 differences" in output, output
        mount.assert_stored("object", call((mount.path / "object").read_bytes))


def _names(folder):
    (folder / "a").write_bytes(b"1")
    (folder / "b").write_bytes(b"2")
    fd = os.open(folder / "a", os.O_RDWR)
    os.unlink(folder / "a")
    assert os.listdir(folder) == ["b"]
    (folder / "a").write_bytes(b"another one")
    assert os.pread(fd, 10, 0) == b"1"
    assert os.pwrite(fd, b"xyz", 0) == 3
    assert os.pread(fd, 10, 0) == b"xyz"
    os.close(fd)
    assert (folder / "a").read_bytes() == b"another one"
    errors = []
    for attempt in (
        lambda: os.open(folder / "a", os.O_CREAT | os.O_EXCL | os.O_WRONLY),
        lambda: os.unlink(folder / "none"),
        lambda: os.mkdir(folder / "d"),
        lambda: os.chmod(folder / "a", 0o600),
    ):
        try:
            attempt()
            errors.append(0)
        except OSError as error:
            errors.append(error.errno)
    return errors


def test_names(work, transport):
    with Store(work, transport) as mount:
        wanted = [errno.EEXIST, errno.ENOENT, errno.ENOSYS, errno.EPERM]
        assert call(_names, mount.path) == wanted
        for name in ("data", "sums"):
            assert sorted(os.listdir(mount.store / name)) == ["a", "b"]


@pytest.mark.transport("dev-multi")
def test_command_lines(work, transport):
    program = BUILD.program("example/shared_memory_ll")
    for arguments, word in (
        ([], "--store"),
        ([f"--store={work}/missing/store", work], "missing/store"),
        ([f"--store={work}/store"], "MOUNTPOINT"),
    ):
        result = run([program, *arguments], check=False)
        assert result.returncode == 1 and word in result.stdout, result
        assert len(result.stdout.splitlines()) == 1, result.stdout
    assert "--store=FOLDER" in run([program, "--help"]).stdout
    for arguments in ([], ["store"], ["move", "a", "b"], ["store", "a", "b", "--size=0"],
                      ["store", "a", "b", "--size=x"], ["load", "a", "b", "c"]):
        assert "usage: " in client(*arguments, check=False), arguments
    nowhere = client("load", work / "object", work / "file", check=False)
    assert nowhere == "cannot connect to the server's memory channel: Operation not supported\n"
