# SPDX-License-Identifier: GPL-2.0-only
"""
Every operation of the low-level interface, called by a system call that has to lead to it:
its effect is seen, and its count has moved. One test per operation, named after it.

test/fs/allops serves all of it out of memory, and lets the kernel remember nothing.
"""

import errno
import fcntl
import os
import select
import signal
import stat
import struct
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from fusetest import libc, pattern
from fusetest.allops import AllOps, Servers
from fusetest.child import Child, Credentials, call, run, state_of
from fusetest.files import fails
from fusetest.waiting import eventually

pytestmark = [pytest.mark.client, pytest.mark.sanitize]

RANGE = struct.Struct("hhqqi4x")  # struct flock on 64-bit Linux

# test/fs/allops/ioctl.h
SUM = 0x4500
GET_SIZE = 0x80084501
SET_SIZE = 0x40084502
REVERSE = 0xC0104503
RETRY = 0x4504
FIBMAP = 1


@pytest.fixture(scope="module")
def servers(session_work):
    made = Servers(session_work)
    try:
        yield made
        made.close()
    finally:
        made.kill()


@pytest.fixture
def m(servers, transport):
    """The mount."""
    return servers.get(transport)


@pytest.fixture
def d(m, servers):
    """A fresh folder in it."""
    path = m.path / servers.folder()
    call(path.mkdir)
    return path


@contextmanager
def opened(path, flags=os.O_RDWR | os.O_CREAT, mode=0o644):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def test_every_operation_has_a_test(m):
    for name in m.calls():
        assert name == "mishaps" or f"test_{name}" in globals(), name


# The connection


def test_init(m):
    assert m.calls()["init"] == 1
    assert m.calls()["destroy"] == 0


@pytest.mark.parametrize("how", ["unmount", "signal"])
def test_destroy(work, transport, how):
    with AllOps(work, transport) as m:
        (m.path / "file").write_text("text")
        eventually(lambda: not any(opens for _, _, opens in m.nodes().values()))
        if how == "signal":
            m.signal(signal.SIGTERM)
            m.wait()
    # Leaving has looked for exactly one call in the server's report.
    assert m.report()[0]["destroy"] == 1


# Lookup counts


def test_lookup(m, d):
    with m.moved("lookup"), fails("ENOENT"):
        os.stat(d / "missing")
    (d / "file").touch()
    before = m.nodes()
    ino = os.stat(d / "file").st_ino
    assert m.nodes()[ino][0] > before[ino][0]
    with fails("ENAMETOOLONG"):
        os.stat(d / ("x" * 201))


def forgotten(m, numbers, timeout=10):
    """Waits until the server has nothing left to be forgotten of these inodes."""
    deadline = time.monotonic() + timeout
    while True:
        nodes = m.nodes()
        left = {ino: nodes[ino] for ino in numbers if ino in nodes and nodes[ino][0]}
        if not left or time.monotonic() > deadline:
            return not left
        time.sleep(0.02)


def test_forget(m, d):
    (d / "file").touch()
    ino = os.stat(d / "file").st_ino
    with m.moved("forget"):
        os.unlink(d / "file")
        assert forgotten(m, [ino])
    assert ino not in m.nodes(), "nobody knows it, and still it is there"


def states(pid):
    return [state_of(pid, task) for task in os.listdir(f"/proc/{pid}/task")]


def make_and_forget(m, d, count):
    """Many inodes at once: the server cannot read the first one before the last is there."""
    numbers = []
    for i in range(count):
        (d / f"{i}").touch()
        numbers.append(os.stat(d / f"{i}").st_ino)
    os.listdir(d)
    assert all(m.nodes()[ino][0] for ino in numbers)
    os.kill(m.pid, signal.SIGSTOP)
    try:
        eventually(lambda: set(states(m.pid)) == {"T"})
        Path("/proc/sys/vm/drop_caches").write_text("2")
    finally:
        os.kill(m.pid, signal.SIGCONT)
    assert forgotten(m, numbers), "lookups and what was forgotten of them differ"
    assert all(m.nodes()[ino][1] == 1 for ino in numbers), "they have their names still"


def test_forget_multi(m, d):
    with m.moved("forget_multi"):
        make_and_forget(m, d, 300)


def test_forget_without_forget_multi(work, transport):
    """A filesystem that knows single ones only gets a call for each."""
    with AllOps(work, transport, ["without=forget_multi"]) as m:
        make_and_forget(m, m.path, 300)
        assert m.calls()["forget"] >= 300


# Attributes


def test_getattr(m, d):
    (d / "file").write_bytes(bytes(1234))
    with m.moved("getattr"):
        found = os.stat(d / "file")
    assert (found.st_size, stat.S_ISREG(found.st_mode), found.st_nlink) == (1234, True, 1)
    with opened(d / "file") as fd, m.moved("getattr"):
        assert os.fstat(fd).st_size == 1234


def test_setattr(m, d):
    path = d / "file"
    path.write_bytes(b"x" * 100)
    with m.moved("setattr"):
        os.chmod(path, 0o4751)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o4751
    with m.moved("setattr"):
        os.chown(path, 12, 34)
    found = os.stat(path)
    assert (found.st_uid, found.st_gid) == (12, 34)
    assert stat.S_IMODE(found.st_mode) == 0o751, "the set-user-ID bit has to go"
    with m.moved("setattr"):
        os.truncate(path, 50)
    with m.moved("setattr"):
        os.truncate(path, 80)
    assert path.read_bytes() == b"x" * 50 + bytes(30)
    with opened(path) as fd, m.moved("setattr"):
        os.ftruncate(fd, 7)
        assert os.fstat(fd).st_size == 7
    with m.moved("setattr"):
        os.utime(path, ns=(1_000_000_001, 2_000_000_002))
    found = os.stat(path)
    assert (found.st_atime_ns, found.st_mtime_ns) == (1_000_000_001, 2_000_000_002)
    libc.utimensat(path, (0, libc.UTIME_NOW), (0, libc.UTIME_OMIT))
    found = os.stat(path)
    assert abs(found.st_atime - time.time()) < 10
    assert found.st_mtime_ns == 2_000_000_002


def test_statx(m, d):
    before = time.time_ns() - 10**9
    (d / "file").write_bytes(bytes(999))
    os.chmod(d / "file", 0o640)
    os.utime(d / "file", ns=(10**9, 3 * 10**9 + 5))
    with m.moved("statx"):
        found = libc.statx(d / "file")
    assert found.mask & libc.STATX_BTIME
    assert before <= found.btime_ns <= time.time_ns()
    assert (found.size, found.nlink, found.mtime_ns) == (999, 1, 3 * 10**9 + 5)
    assert (found.ino, found.mode) == (os.stat(d / "file").st_ino, stat.S_IFREG | 0o640)


def test_access(m, d):
    (d / "file").touch()
    os.chmod(d / "file", 0o640)
    os.chown(d / "file", 1001, 1002)
    os.chmod(d, 0o755)

    def allowed(uid, gid, groups, mode):
        who = Credentials(uid, gid, groups)
        return call(os.access, d / "file", mode, credentials=who)

    with m.moved("access"):
        assert allowed(1001, 9, (), os.R_OK | os.W_OK)
    assert not allowed(1001, 9, (), os.X_OK)
    assert allowed(9, 1002, (), os.R_OK)
    assert allowed(9, 9, (7, 1002), os.R_OK), "supplementary groups count"
    assert not allowed(9, 1002, (), os.W_OK)
    assert not allowed(9, 9, (), os.R_OK)


def test_statfs(m, d):
    with m.moved("statfs"):
        found = os.statvfs(d)
    assert (found.f_bsize, found.f_frsize, found.f_blocks) == (4096, 1024, 1000000)
    assert (found.f_bfree, found.f_bavail, found.f_ffree) == (700000, 600000, 5000)
    assert (found.f_files, found.f_namemax) == (len(m.nodes()), 200)


# Names


def test_mknod(m, d):
    with m.moved("mknod"):
        os.mkfifo(d / "fifo", 0o600)
    assert stat.S_ISFIFO(os.stat(d / "fifo").st_mode)
    os.mknod(d / "device", stat.S_IFCHR | 0o600, os.makedev(259, 70000))
    found = os.stat(d / "device")
    assert stat.S_ISCHR(found.st_mode)
    assert (os.major(found.st_rdev), os.minor(found.st_rdev)) == (259, 70000)
    with fails("EEXIST"):
        os.mkfifo(d / "fifo")


def test_mkdir(m, d):
    links = os.stat(d).st_nlink
    with m.moved("mkdir"):
        os.mkdir(d / "sub", 0o750)
    found = os.stat(d / "sub")
    assert found.st_mode == stat.S_IFDIR | 0o750
    assert os.stat(d).st_nlink == links + 1


def test_rmdir(m, d):
    os.makedirs(d / "sub" / "inner")
    with fails("ENOTEMPTY"):
        os.rmdir(d / "sub")
    with m.moved("rmdir"):
        os.rmdir(d / "sub" / "inner")
    os.rmdir(d / "sub")
    assert os.listdir(d) == []


def test_unlink(m, d):
    (d / "file").write_text("text")
    with opened(d / "file") as fd:
        with m.moved("unlink"):
            os.unlink(d / "file")
        assert os.listdir(d) == []
        assert os.pread(fd, 9, 0) == b"text", "it lives as long as it is open"
        assert os.fstat(fd).st_nlink == 0
    with fails("ENOENT"):
        os.unlink(d / "file")


def test_symlink(m, d):
    with m.moved("symlink"):
        os.symlink("some/where", d / "link")
    assert stat.S_ISLNK(os.lstat(d / "link").st_mode)


def test_readlink(m, d):
    target = "x/" * 2000 + "y"
    os.symlink(target, d / "link")
    with m.moved("readlink"):
        assert os.readlink(d / "link") == target


def test_link(m, d):
    (d / "file").write_text("text")
    with m.moved("link"):
        os.link(d / "file", d / "other")
    found = os.stat(d / "other")
    assert (found.st_ino, found.st_nlink) == (os.stat(d / "file").st_ino, 2)
    os.unlink(d / "file")
    assert (d / "other").read_text() == "text"


def test_rename(m, d):
    (d / "a").write_text("a")
    (d / "b").write_text("b")
    (d / "sub").mkdir()
    with m.moved("rename"):
        os.rename(d / "a", d / "sub" / "c")
    assert (d / "sub" / "c").read_text() == "a"
    with fails("EEXIST"):
        libc.renameat2(d / "b", d / "sub" / "c", libc.RENAME_NOREPLACE)
    with m.moved("rename"):
        libc.renameat2(d / "b", d / "sub" / "c", libc.RENAME_EXCHANGE)
    assert (d / "b").read_text() == "a" and (d / "sub" / "c").read_text() == "b"
    os.rename(d / "b", d / "sub" / "c")
    assert (d / "sub" / "c").read_text() == "a"
    assert os.listdir(d) == ["sub"]
    with fails("EINVAL"):
        libc.renameat2(d / "sub" / "c", d / "w", 4)  # RENAME_WHITEOUT


def test_create(m, d):
    mask = os.umask(0o027)
    with m.moved("create"), opened(d / "file", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666) as fd:
        os.write(fd, b"text")
    os.umask(mask)
    assert stat.S_IMODE(os.stat(d / "file").st_mode) == 0o640
    with fails("EEXIST"), opened(d / "file", os.O_CREAT | os.O_EXCL | os.O_RDWR):
        pass


def test_tmpfile(m, d):
    with m.moved("tmpfile"):
        fd = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"text")
    found = os.fstat(fd)
    assert (found.st_nlink, stat.S_IMODE(found.st_mode)) == (0, 0o600)
    assert os.listdir(d) == []
    libc.link_descriptor(fd, d / "named")
    os.close(fd)
    assert (d / "named").read_text() == "text"
    fd = os.open(d, os.O_TMPFILE | os.O_RDWR)
    ino = os.fstat(fd).st_ino
    os.close(fd)
    assert forgotten(m, [ino])


# Directories


def test_opendir(m, d):
    with m.moved("opendir"):
        fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    ino = os.fstat(fd).st_ino
    assert m.nodes()[ino][2] == 1
    os.close(fd)


def test_releasedir(m, d):
    fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    ino = os.fstat(fd).st_ino
    before = m.calls()["releasedir"]
    os.close(fd)
    eventually(lambda: m.calls()["releasedir"] == before + 1)
    assert m.nodes()[ino][2] == 0


def fill(d, count):
    names = {f"name-{i:04}-{'x' * (i % 100)}" for i in range(count)}
    for name in names:
        (d / name).touch()
    return names


def test_readdirplus(m, d):
    names = fill(d, 20)
    os.mkdir(d / "sub")
    before = m.nodes()
    with m.moved("readdirplus"):
        listed = {entry.name: entry for entry in os.scandir(d)}
    assert set(listed) == names | {"sub"}
    assert listed["sub"].is_dir(follow_symlinks=False)
    after = m.nodes()
    for entry in listed.values():
        assert after[entry.inode()][0] == before[entry.inode()][0] + 1, entry.name


def test_readdir(m, d):
    """The first part of a listing comes with attributes, the others without."""
    names = fill(d, 600)
    with m.moved("readdir"):
        listed = os.listdir(d)
    assert len(listed) == 600 and set(listed) == names
    with libc.Directory(d) as directory:
        first = [directory.read() for _ in range(300)]
        position = directory.tell()
        rest = directory.read_all()
        assert {name for name, _, _ in first + rest} == names | {".", ".."}
        assert len(first + rest) == 602
        directory.seek(position)
        assert directory.read_all() == rest
        directory.rewind()
        assert directory.read() == first[0]


def test_fsyncdir(m, d):
    fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    with m.moved("fsyncdir"):
        os.fsync(fd)
    os.close(fd)


# Open files


def test_open(m, d):
    (d / "file").write_text("text")
    with m.moved("open"), opened(d / "file", os.O_RDONLY) as fd:
        assert m.nodes()[os.fstat(fd).st_ino][2] == 1
    with opened(d / "file", os.O_WRONLY | os.O_TRUNC) as fd:
        assert os.fstat(fd).st_size == 0


def test_flush(m, d):
    fd = os.open(d / "file", os.O_RDWR | os.O_CREAT)
    copy = os.dup(fd)
    for descriptor in (copy, fd):
        with m.moved("flush"):
            os.close(descriptor)


def test_release(m, d):
    fd = os.open(d / "file", os.O_RDWR | os.O_CREAT)
    ino = os.fstat(fd).st_ino
    copy = os.dup(fd)
    before = m.calls()["release"]
    os.close(fd)
    time.sleep(0.05)
    assert m.calls()["release"] == before
    os.close(copy)
    eventually(lambda: m.calls()["release"] == before + 1)
    assert m.nodes()[ino][2] == 0


@pytest.mark.parametrize("how", ["buf", "iov", "data", "payload"])
def test_read(work, transport, how):
    """However the filesystem hands its data over, it is the same data."""
    with AllOps(work, transport, [f"reply={how}"]) as m:
        for size in (0, 1, 100, 4096, 131072, 1_000_003):
            content = pattern.data(size, size)
            (m.path / "file").write_bytes(content)
            with m.moved(*["read"] * bool(size)):
                pattern.assert_same((m.path / "file").read_bytes(), content, f"{size} bytes")
            with opened(m.path / "file") as fd:
                assert os.pread(fd, 10, size) == b""
                assert os.pread(fd, 1000, max(0, size - 7)) == content[max(0, size - 7) :]
    assert m.stats()["bytes_read"] >= 1_000_003 + 131072


@pytest.mark.parametrize("size", [1, 4095, 4097, 1_000_003])
def test_write_buf(m, d, size):
    content = pattern.data(size)
    with m.moved("write_buf"), m.unmoved("write"):
        (d / "file").write_bytes(content)
    pattern.assert_same((d / "file").read_bytes(), content)
    with opened(d / "file") as fd:
        assert os.pwrite(fd, b"there", size + 100) == 5
    assert (d / "file").read_bytes() == content + bytes(100) + b"there"
    os.chmod(d / "file", 0o4755)
    os.truncate(d / "file", 0)
    with fails("EFBIG"), opened(d / "file") as fd:
        os.pwrite(fd, b"x", 1 << 30)


def test_write(work, transport):
    with AllOps(work, transport, ["without=write_buf"]) as m:
        for size in (1, 4095, 4097, 1_000_003):
            content = pattern.data(size, size)
            with m.moved("write"):
                (m.path / "file").write_bytes(content)
            pattern.assert_same((m.path / "file").read_bytes(), content)
        assert m.calls()["write_buf"] == 0
    assert m.stats()["bytes_written"] >= 1_000_003 + 4095 + 4097 + 1


def test_fsync(m, d):
    with opened(d / "file") as fd:
        os.write(fd, b"x")
        with m.moved("fsync"):
            os.fsync(fd)
        with m.moved("fsync"):
            os.fdatasync(fd)


def test_fallocate(m, d):
    with opened(d / "file") as fd:
        os.write(fd, b"x" * 10000)
        with m.moved("fallocate"):
            libc.fallocate(fd, 0, 0, 20000)
        assert os.fstat(fd).st_size == 20000
        libc.fallocate(fd, libc.FALLOC_KEEP_SIZE, 0, 50000)
        assert os.fstat(fd).st_size == 20000
        libc.fallocate(fd, libc.FALLOC_PUNCH_HOLE | libc.FALLOC_KEEP_SIZE, 100, 200)
        libc.fallocate(fd, libc.FALLOC_ZERO_RANGE, 5000, 1000)
        wanted = b"x" * 100 + bytes(200) + b"x" * 4700 + bytes(1000) + b"x" * 4000 + bytes(10000)
        pattern.assert_same(os.pread(fd, 30000, 0), wanted)
        with fails("EOPNOTSUPP"):
            libc.fallocate(fd, libc.FALLOC_COLLAPSE_RANGE, 0, 4096)


def test_lseek(m, d):
    with opened(d / "file") as fd:
        os.pwrite(fd, b"x" * 4096, 8192)
        os.ftruncate(fd, 20000)
        with m.moved("lseek"):
            assert os.lseek(fd, 0, os.SEEK_DATA) == 8192
        assert os.lseek(fd, 8192, os.SEEK_HOLE) == 12288
        assert os.lseek(fd, 100, os.SEEK_HOLE) == 100
        with fails("ENXIO"):
            os.lseek(fd, 12288, os.SEEK_DATA)
        assert os.lseek(fd, -1, os.SEEK_END) == 19999


def test_copy_file_range(m, d):
    content = pattern.data(300_000)
    (d / "from").write_bytes(content)
    with opened(d / "from") as source, opened(d / "to") as target:
        with m.moved("copy_file_range"), m.unmoved("write_buf", "read"):
            assert os.copy_file_range(source, target, 250_000, 11, 100) == 250_000
        assert os.copy_file_range(source, target, 1000, 299_500, 0) == 500
    wanted = bytearray(bytes(100) + content[11:250_011])
    wanted[:500] = content[299_500:]
    pattern.assert_same((d / "to").read_bytes(), bytes(wanted))


def test_bmap(work, transport):
    """Only who is mounted from a block device is asked."""
    image = work / "image"
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    found = run(["losetup", "-f", "--show", image], check=False)
    if found.returncode:
        pytest.skip(f"no loop device: {found.stderr}")
    device = found.stdout.strip()
    try:
        with AllOps(work, transport, ["blkdev", f"fsname={device}"]) as m:
            assert m.entry()["type"].startswith("fuseblk")
            (m.path / "file").write_bytes(bytes(10000))
            with opened(m.path / "file") as fd, m.moved("bmap"):
                answers = [
                    struct.unpack("i", fcntl.ioctl(fd, FIBMAP, struct.pack("i", block)))[0]
                    for block in (0, 3, 7)
                ]
            blocksize = answers[0]
            assert blocksize in (512, 1024, 2048, 4096)
            assert answers == [blocksize, blocksize + 3000, blocksize + 7000]
    finally:
        run(["losetup", "-d", device], check=False)


# Extended attributes


def test_setxattr(m, d):
    (d / "file").touch()
    with m.moved("setxattr"):
        os.setxattr(d / "file", "user.one", b"1")
    with fails("EEXIST"):
        os.setxattr(d / "file", "user.one", b"2", os.XATTR_CREATE)
    with fails("ENODATA"):
        os.setxattr(d / "file", "user.two", b"2", os.XATTR_REPLACE)
    os.setxattr(d / "file", "user.one", b"", os.XATTR_REPLACE)
    assert os.getxattr(d / "file", "user.one") == b""


def test_getxattr(m, d):
    value = pattern.data(60_000)
    (d / "file").touch()
    os.setxattr(d / "file", "user.large", value)
    with m.moved("getxattr"):
        assert os.getxattr(d / "file", "user.large") == value
    with fails("ENODATA"):
        os.getxattr(d / "file", "user.none")


def test_listxattr(m, d):
    (d / "file").touch()
    assert os.listxattr(d / "file") == []
    names = {f"user.{'n' * 100}{i}" for i in range(50)}
    for name in names:
        os.setxattr(d / "file", name, b"value")
    with m.moved("listxattr"):
        assert set(os.listxattr(d / "file")) == names


def test_removexattr(m, d):
    (d / "file").touch()
    os.setxattr(d / "file", "user.one", b"1")
    with m.moved("removexattr"):
        os.removexattr(d / "file", "user.one")
    assert os.listxattr(d / "file") == []
    with fails("ENODATA"):
        os.removexattr(d / "file", "user.one")


# Locks. Those that wait are test_blocking.py's.


def posix_lock(fd, kind, start, length, command=fcntl.F_SETLK):
    fcntl.fcntl(fd, command, RANGE.pack(kind, os.SEEK_SET, start, length, 0))


def get_lock(path, kind, start, length):
    """As another process sees it: (type, start, length, pid)."""

    def ask():
        with opened(path) as fd:
            question = RANGE.pack(kind, os.SEEK_SET, start, length, 0)
            kind_, _, start_, length_, pid = RANGE.unpack(
                fcntl.fcntl(fd, fcntl.F_GETLK, question)
            )
            return kind_, start_, length_, pid

    return call(ask)


def test_getlk(m, d):
    with opened(d / "file") as fd:
        posix_lock(fd, fcntl.F_WRLCK, 100, 50)
        posix_lock(fd, fcntl.F_RDLCK, 1000, 0)
        with m.moved("getlk"):
            assert get_lock(d / "file", fcntl.F_RDLCK, 120, 1) == (
                fcntl.F_WRLCK,
                100,
                50,
                os.getpid(),
            )
        assert get_lock(d / "file", fcntl.F_WRLCK, 500, 0)[:3] == (fcntl.F_RDLCK, 1000, 0)
        assert get_lock(d / "file", fcntl.F_RDLCK, 500, 0)[0] == fcntl.F_UNLCK
        assert get_lock(d / "file", fcntl.F_WRLCK, 150, 850)[0] == fcntl.F_UNLCK


def try_lock(path, kind, start, length):
    def attempt():
        with opened(path) as fd:
            try:
                posix_lock(fd, kind, start, length)
                return True
            except OSError as error:
                assert error.errno == errno.EAGAIN
                return False

    return call(attempt)


def test_setlk(m, d):
    path = d / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    with m.moved("setlk"):
        posix_lock(fd, fcntl.F_WRLCK, 0, 300)
    with m.moved("setlk"):
        posix_lock(fd, fcntl.F_UNLCK, 100, 100)
    assert try_lock(path, fcntl.F_WRLCK, 100, 100)
    assert not try_lock(path, fcntl.F_RDLCK, 99, 1)
    assert not try_lock(path, fcntl.F_RDLCK, 200, 1)
    posix_lock(fd, fcntl.F_RDLCK, 0, 50)
    assert try_lock(path, fcntl.F_RDLCK, 0, 50)
    assert not try_lock(path, fcntl.F_RDLCK, 0, 51)
    os.close(fd)
    assert try_lock(path, fcntl.F_WRLCK, 0, 0), "closing has to drop them"


def test_flock(m, d):
    first = os.open(d / "file", os.O_RDWR | os.O_CREAT)
    second = os.open(d / "file", os.O_RDWR)
    with m.moved("flock"):
        fcntl.flock(first, fcntl.LOCK_SH)
    fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with fails("EAGAIN"):
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(second, fcntl.LOCK_UN)
    fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with fails("EAGAIN"):
        fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(first)

    def free():
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False

    eventually(free)
    os.close(second)


# Control and waiting


def test_ioctl(m, d):
    (d / "file").write_bytes(bytes(4711))
    with opened(d / "file") as fd:
        with m.moved("ioctl"):
            assert fcntl.ioctl(fd, SUM, 41) == 42
        assert struct.unpack("Q", fcntl.ioctl(fd, GET_SIZE, bytes(8)))[0] == 4711
        fcntl.ioctl(fd, SET_SIZE, struct.pack("Q", 815))
        assert os.fstat(fd).st_size == 815
        buffer = bytearray(b"0123456789abcdef")
        assert fcntl.ioctl(fd, REVERSE, buffer) == 3
        assert buffer == b"fedcba9876543210"
        with fails("ENOTTY"):
            fcntl.ioctl(fd, 0x4599, 0)
        # The kernel lets nobody but character devices ask for memory of the caller's.
        with fails("EIO"):
            fcntl.ioctl(fd, RETRY, bytearray(8))
        assert fcntl.ioctl(fd, SUM, 1) == 2
    folder = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    assert struct.unpack("Q", fcntl.ioctl(folder, GET_SIZE, bytes(8)))[0] == 1
    os.close(folder)


def test_poll(m, d):
    with opened(d / "file") as fd:
        poll = select.poll()
        poll.register(fd, select.POLLIN | select.POLLOUT)
        with m.moved("poll"):
            assert poll.poll(0) == [(fd, select.POLLIN | select.POLLOUT)]
        m.control(f"events {d.name}/file {select.POLLOUT}")
        assert poll.poll(0) == [(fd, select.POLLOUT)]
        m.control(f"events {d.name}/file 0")
        assert poll.poll(100) == []


def test_retrieve_reply(m, d):
    """The rest of it is test_notify.py's."""
    content = pattern.data(8192)
    (d / "file").write_bytes(content)
    with opened(d / "file") as fd:
        os.pread(fd, 8192, 0)
        with m.moved("retrieve_reply"):
            m.control(f"retrieve {d.name}/file 0 8192")
            eventually(m.retrieved)
        assert m.retrieved()[2] == content


# What happens without an operation


def test_without_what_has_a_default(work, transport):
    """Operations that a filesystem need not have."""
    missing = "flush fsync fsyncdir access statfs create statx readdirplus getlk setlk flock"
    missing += " lseek copy_file_range poll"
    names = missing.split()
    with AllOps(work, transport, [f"without={':'.join(names)}"]) as m:
        with m.moved("mknod"):
            (m.path / "file").write_bytes(b"x" * 5000)
        assert (m.path / "file").read_bytes() == b"x" * 5000
        os.mkdir(m.path / "sub")
        with m.moved("readdir"):
            assert sorted(os.listdir(m.path)) == ["file", "sub"]
        assert os.access(m.path / "file", os.R_OK)
        assert os.statvfs(m.path).f_namemax == 255
        assert not libc.statx(m.path / "file").mask & libc.STATX_BTIME
        with opened(m.path / "file") as fd, opened(m.path / "copy") as copy:
            os.fsync(fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
            posix_lock(fd, fcntl.F_WRLCK, 0, 10)
            assert not try_lock(m.path / "file", fcntl.F_WRLCK, 0, 10)
            assert os.lseek(fd, 0, os.SEEK_HOLE) == 5000
            os.copy_file_range(fd, copy, 5000, 0, 0)
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            assert poll.poll(0) == [(fd, select.POLLIN)]
        assert (m.path / "copy").read_bytes() == b"x" * 5000
        folder = os.open(m.path, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)
        calls = m.calls()
        assert not {name: calls[name] for name in names if calls[name]}


def test_without_handles(work, transport):
    """Whoever needs no handles need not open."""
    names = ["open", "release", "opendir", "releasedir", "create"]
    with AllOps(work, transport, [f"without={':'.join(names)}"]) as m:
        (m.path / "file").write_bytes(b"x" * 5000)
        assert (m.path / "file").read_bytes() == b"x" * 5000
        os.mkdir(m.path / "sub")
        assert sorted(os.listdir(m.path)) == ["file", "sub"]
    calls = m.report()[0]
    assert calls["mknod"] == 1 and not any(calls[name] for name in names), calls


def test_without_what_has_none(work, transport):
    missing = "mkdir symlink link rename unlink fallocate tmpfile ioctl readlink"
    missing += " setxattr getxattr listxattr removexattr"
    names = missing.split()
    with AllOps(work, transport, [f"without={':'.join(names)}"]) as m:
        (m.path / "file").write_bytes(b"x")
        refused = ("ENOSYS", "EPERM", "EOPNOTSUPP")
        with fails(*refused):
            os.mkdir(m.path / "sub")
        with fails(*refused):
            os.symlink("a", m.path / "link")
        with fails(*refused):
            os.link(m.path / "file", m.path / "other")
        with fails(*refused):
            os.rename(m.path / "file", m.path / "other")
        with fails(*refused):
            os.unlink(m.path / "file")
        with fails(*refused):
            os.setxattr(m.path / "file", "user.a", b"x")
        with fails(*refused):
            os.getxattr(m.path / "file", "user.a")
        with fails(*refused):
            os.removexattr(m.path / "file", "user.a")
        with fails(*refused):
            os.open(m.path, os.O_TMPFILE | os.O_RDWR)
        with opened(m.path / "file") as fd:
            with fails("EOPNOTSUPP"):
                libc.fallocate(fd, 0, 0, 100)
            with fails("ENOTTY", "ENOSYS"):
                fcntl.ioctl(fd, SUM, 1)
        assert (m.path / "file").read_bytes() == b"x"


def test_many_clients(m, d):
    """All of it at once: every operation again and again, from several processes."""

    def work_on(name):
        path = d / name
        for step in range(60):
            path.write_bytes(pattern.data(20_000, step))
            os.setxattr(path, "user.step", str(step).encode())
            os.rename(path, d / f"{name}-moved")
            os.link(d / f"{name}-moved", path)
            os.unlink(d / f"{name}-moved")
            assert path.read_bytes() == pattern.data(20_000, step)
            assert os.getxattr(path, "user.step") == str(step).encode()
            os.mkdir(d / f"{name}-dir")
            assert f"{name}-dir" in os.listdir(d)
            os.rmdir(d / f"{name}-dir")
            with opened(path) as fd:
                fcntl.flock(fd, fcntl.LOCK_EX)
                posix_lock(fd, fcntl.F_WRLCK, step, 10)
                assert fcntl.ioctl(fd, SUM, step) == step + 1

    clients = [Child(work_on, f"c{i}") for i in range(6)]
    for client in clients:
        client.result(240)  # user-mode Linux with more CPUs than the host has takes a minute
    assert m.calls()["mishaps"] == 0
