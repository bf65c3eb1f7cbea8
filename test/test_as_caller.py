# SPDX-License-Identifier: GPL-2.0-only
"""
Through passthrough_hp, each user gets what the source's own file system would give.

Every scenario runs twice: in a folder of the source's file system, and in one seen through
the mount. What each call returned, errno included, and what the folder looks like
afterwards has to be the same.
"""

import errno
import os
import resource
import signal
import socket
import stat

import pytest

from fusetest import libc
from fusetest.child import Credentials, call, run
from fusetest.mount import Mount

ROOT = Credentials()
ALICE = Credentials(20001, 20001, [20010, 20011], umask=0o022)
BOB = Credentials(20002, 20002, [], umask=0o022)
STRICT = Credentials(20001, 20001, [20010], umask=0o077)


class Notes:
    """What each call of a scenario returned."""

    def __init__(self):
        self.lines = []

    def __call__(self, label, function, *args, **kwargs):
        try:
            value = function(*args, **kwargs)
            if label.startswith("open "):
                os.close(value)
                value = "opened"
        except OSError as error:
            value = errno.errorcode[error.errno]
        self.lines.append((label, value))
        return value


def tree(folder):
    """Everything below a folder, as its owner would compare it."""
    found = []
    for base, folders, files in os.walk(folder):
        for name in sorted(folders + files):
            path = os.path.join(base, name)
            status = os.lstat(path)
            found.append(
                (
                    os.path.relpath(path, folder),
                    oct(status.st_mode),
                    status.st_uid,
                    status.st_gid,
                    status.st_nlink,
                    None if stat.S_ISDIR(status.st_mode) else status.st_size,
                )
            )
    return sorted(found)


SCENARIOS = []


def scenario(*users):
    """Marks a generator: up to its first yield it prepares as root, the rest is the user's."""

    def mark(function):
        for user in users:
            name = f"{function.__name__}-{user.uid}-{user.umask or 0:03o}"
            SCENARIOS.append(pytest.param(function, user, id=name))
        return function

    return mark


def file(path, mode=0o644, uid=0, gid=0, content=b"content"):
    with open(path, "wb") as stream:
        stream.write(content)
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def folder(path, mode=0o755, uid=0, gid=0):
    os.mkdir(path)
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def write_to(path, content=b"changed", flags=0):
    fd = os.open(path, os.O_WRONLY | flags)
    try:
        return os.write(fd, content)
    finally:
        os.close(fd)


def mode_of(path):
    return oct(os.lstat(path).st_mode)


@scenario(ROOT, ALICE, BOB, STRICT)
def creating(d, note):
    folder(d / "open", 0o1777)
    folder(d / "group", 0o2775, 0, 20010)
    folder(d / "foreign-group", 0o2777, 0, 20099)
    folder(d / "closed", 0o755)
    yield
    for place in ("open", "group", "foreign-group", "closed"):
        base = d / place
        note("open file", os.open, base / "file", os.O_CREAT | os.O_WRONLY, 0o6777)
        note("open excl", os.open, base / "file", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        note("mkdir", os.mkdir, base / "folder", 0o7777)
        note("mkfifo", os.mkfifo, base / "fifo", 0o666)
        note("symlink", os.symlink, "file", base / "link")
        note("mknod", os.mknod, base / "node", 0o666 | stat.S_IFREG)
        note("device", os.mknod, base / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        note("open unnamed", os.open, base, os.O_TMPFILE | os.O_RDWR, 0o666)
        note("link", os.link, base / "file", base / "second")


@scenario(ROOT, ALICE, BOB)
def opening(d, note):
    for mode in (0o000, 0o400, 0o200, 0o600, 0o640, 0o060, 0o604, 0o004, 0o644, 0o755, 0o111):
        for name, uid, gid in (("root", 0, 0), ("alice", 20001, 20001), ("group", 0, 20010)):
            file(d / f"{name}-{mode:o}", mode, uid, gid)
    os.chmod(d, 0o777)
    yield
    for name in sorted(os.listdir(d)):
        for kind, flags in (
            ("r", os.O_RDONLY),
            ("w", os.O_WRONLY),
            ("rw", os.O_RDWR),
            ("trunc", os.O_WRONLY | os.O_TRUNC),
            ("creat", os.O_WRONLY | os.O_CREAT),
            ("noatime", os.O_RDONLY | os.O_NOATIME),
            ("path", os.O_PATH),
        ):
            note(f"open {kind} {name}", os.open, d / name, flags)
        for mode in range(8):
            note(f"access {mode} {name}", os.access, d / name, mode)
        note(f"truncate {name}", os.truncate, d / name, 3)


@scenario(ROOT, ALICE, BOB)
def folders(d, note):
    for mode in (0o700, 0o711, 0o744, 0o755, 0o733, 0o750, 0o770):
        for name, uid, gid in (("root", 0, 0), ("alice", 20001, 20001), ("group", 0, 20010)):
            folder(d / f"{name}-{mode:o}", mode, uid, gid)
            file(d / f"{name}-{mode:o}" / "known", 0o644)
            folder(d / f"{name}-{mode:o}" / "below", 0o777)
    yield
    for name in sorted(os.listdir(d)):
        base = d / name
        note(f"list {name}", lambda base=base: sorted(os.listdir(base)))
        note(f"stat {name}", lambda base=base: mode_of(base / "known"))
        note(f"open {name}", os.open, base / "known", os.O_RDONLY)
        note(f"open creat {name}", os.open, base / "new", os.O_CREAT | os.O_WRONLY)
        note(f"open below {name}", os.open, base / "below" / "new", os.O_CREAT | os.O_WRONLY)
        note(f"chdir {name}", os.chdir, base)
        note(f"rename {name}", os.rename, base / "known", base / "other")
        note(f"unlink {name}", os.unlink, base / "other")
        note(f"rmdir {name}", os.rmdir, base / "below")
        note(f"missing {name}", os.stat, base / "missing")


@scenario(ROOT, ALICE, BOB)
def sticky(d, note):
    folder(d / "tmp", 0o1777)
    for name, uid in (("root", 0), ("alice", 20001), ("bob", 20002)):
        file(d / "tmp" / name, 0o666, uid, uid)
        folder(d / "tmp" / f"{name}-folder", 0o777, uid, uid)
    yield
    for name in ("root", "alice", "bob"):
        note(f"rename {name}", os.rename, d / "tmp" / name, d / "tmp" / f"{name}-2")
        note(f"replace {name}", os.rename, d / "tmp" / f"{name}-2", d / "tmp" / "root")
        note(f"unlink {name}", os.unlink, d / "tmp" / name)
        note(f"rmdir {name}", os.rmdir, d / "tmp" / f"{name}-folder")
        note(f"link {name}", os.link, d / "tmp" / name, d / "tmp" / f"{name}-linked")


@scenario(ROOT, ALICE, BOB)
def ownership(d, note):
    for name, uid, gid in (("root", 0, 0), ("alice", 20001, 20001), ("bob", 20002, 20002)):
        file(d / name, 0o6755, uid, gid)
        folder(d / f"{name}-folder", 0o2755, uid, gid)
        os.symlink("target", d / f"{name}-link")
        os.lchown(d / f"{name}-link", uid, gid)
    yield
    for name in ("root", "alice", "bob", "root-folder", "alice-folder"):
        note(f"chmod {name}", os.chmod, d / name, 0o6750)
        note(f"chown uid {name}", os.chown, d / name, 20002, -1)
        note(f"mode {name}", mode_of, d / name)
        note(f"chmod again {name}", os.chmod, d / name, 0o6755)
        note(f"chgrp supplementary {name}", os.chown, d / name, -1, 20010)
        note(f"mode {name}", mode_of, d / name)
        note(f"chmod setgid {name}", os.chmod, d / name, 0o2775)
        note(f"chgrp foreign {name}", os.chown, d / name, -1, 20099)
        note(f"chown nothing {name}", os.chown, d / name, -1, -1)
        note(f"mode {name}", mode_of, d / name)
    for name in ("root", "alice", "bob"):
        note(f"lchown {name}", os.lchown, d / f"{name}-link", -1, 20010)


@scenario(ROOT, ALICE, BOB)
def set_id_bits(d, note):
    """Writing takes set-id bits away, unless root writes."""
    for name in ("write", "truncate", "open-truncate", "fallocate", "copy", "append", "chown"):
        for mode in (0o6777, 0o4777, 0o2777, 0o2767):
            file(d / f"{name}-{mode:o}", mode, 20001, 20001, b"some content")
    file(d / "source", 0o644, content=b"source")
    yield

    def fallocate(path):
        fd = os.open(path, os.O_RDWR)
        libc.fallocate(fd, 0, 0, 10_000)
        os.close(fd)

    def copy(path):
        source, target = os.open(d / "source", os.O_RDONLY), os.open(path, os.O_RDWR)
        os.copy_file_range(source, target, 6, 0, 0)
        os.close(source)
        os.close(target)

    for mode in (0o6777, 0o4777, 0o2777, 0o2767):
        suffix = f"{mode:o}"
        note("write", write_to, d / f"write-{suffix}")
        note("append", write_to, d / f"append-{suffix}", b"more", os.O_APPEND)
        note("truncate", os.truncate, d / f"truncate-{suffix}", 3)
        note("open truncating", os.open, d / f"open-truncate-{suffix}", os.O_WRONLY | os.O_TRUNC)
        note("fallocate", fallocate, d / f"fallocate-{suffix}")
        note("copy", copy, d / f"copy-{suffix}")
        note("chown", os.chown, d / f"chown-{suffix}", -1, os.getgid())
        for name in ("write", "append", "truncate", "open-truncate", "fallocate", "copy", "chown"):
            note(f"mode after {name}-{suffix}", mode_of, d / f"{name}-{suffix}")


@scenario(ROOT, ALICE, BOB)
def times(d, note):
    for name, uid, mode in (("mine", 20001, 0o644), ("writable", 0, 0o666), ("other", 0, 0o644)):
        file(d / name, mode, uid, uid)
    yield
    now, omit = (0, libc.UTIME_NOW), (0, libc.UTIME_OMIT)
    for name in ("mine", "writable", "other"):
        note(f"set {name}", libc.utimensat, d / name, (1, 2), (3, 4))
        note(f"now {name}", libc.utimensat, d / name, now, now)
        note(f"half {name}", libc.utimensat, d / name, now, omit)
        note(f"other half {name}", libc.utimensat, d / name, omit, now)
        note(f"nothing {name}", libc.utimensat, d / name, omit, omit)


@scenario(ROOT, ALICE, BOB)
def attributes(d, note):
    for name, uid, mode in (("mine", 20001, 0o644), ("writable", 0, 0o666), ("other", 0, 0o600)):
        file(d / name, mode, uid, uid)
        os.setxattr(d / name, "user.there", b"yes")
        os.setxattr(d / name, "trusted.there", b"secret")
    folder(d / "sticky", 0o1777)
    yield
    for name in ("mine", "writable", "other", "sticky"):
        path = d / name
        for key in ("user.there", "trusted.there", "user.new", "security.nonsense", "bad.name"):
            note(f"get {key} {name}", os.getxattr, path, key)
            note(f"set {key} {name}", os.setxattr, path, key, b"value")
            note(f"remove {key} {name}", os.removexattr, path, key)
        note(f"list {name}", lambda path=path: sorted(os.listxattr(path)))


@scenario(ROOT, ALICE)
def capabilities(d, note):
    """A write takes file capabilities away."""
    file(d / "program", 0o777)
    os.setxattr(d / "program", "security.capability", bytes.fromhex("01000002" + "00" * 16))
    yield
    note("get", os.getxattr, d / "program", "security.capability")
    note("write", write_to, d / "program")
    note("get", os.getxattr, d / "program", "security.capability")
    note("set", os.setxattr, d / "program", "security.capability", bytes(20))


@scenario(ROOT, ALICE, BOB)
def limits(d, note):
    os.chmod(d, 0o777)
    file(d / "file", 0o666, content=b"x" * 5000)
    yield
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    fd = os.open(d / "file", os.O_RDWR)
    note("below", os.pwrite, fd, b"y" * 1000, 8000)
    note("across", os.pwrite, fd, b"y" * 4096, 9000)
    note("beyond", os.pwrite, fd, b"y", 10_000)
    note("ftruncate", os.ftruncate, fd, 10_001)
    note("fallocate", libc.fallocate, fd, 0, 0, 20_000)
    note("smaller", os.ftruncate, fd, 9_999)
    os.close(fd)


@scenario(ROOT, ALICE)
def descriptors_outlive_permissions(d, note):
    file(d / "file", 0o666)
    os.chmod(d, 0o777)
    yield
    fd = os.open(d / "file", os.O_RDWR)
    note("chmod", os.chmod, d / "file", 0)
    note("write", os.pwrite, fd, b"through the descriptor", 0)
    note("read", os.pread, fd, 100, 0)
    note("ftruncate", os.ftruncate, fd, 4)
    os.unlink(d / "file")
    note("fstat", lambda: os.fstat(fd).st_size)
    os.close(fd)
    mine = os.open(d / "mine", os.O_CREAT | os.O_RDWR, 0o000)
    note("write mine", os.write, mine, b"created without permissions")
    note("fchmod", os.fchmod, mine, 0o400)
    note("ftruncate mine", os.ftruncate, mine, 7)
    os.close(mine)
    note("open again", os.open, d / "mine", os.O_WRONLY)
    note("open copy", os.open, d / "mine", os.O_RDONLY)


@scenario(ROOT, ALICE, BOB)
def links(d, note):
    os.chmod(d, 0o777)
    file(d / "root-private", 0o600)
    file(d / "root-readable", 0o644)
    file(d / "root-set-id", 0o4777)
    file(d / "mine", 0o600, 20001, 20001)
    yield
    for name in ("root-private", "root-readable", "root-set-id", "mine"):
        note(f"link {name}", os.link, d / name, d / f"{name}-2")
        note(f"symlink {name}", os.symlink, name, d / f"{name}-3")
        note(f"open {name}", os.open, d / f"{name}-3", os.O_RDONLY)


@scenario(ALICE)
def sockets(d, note):
    os.chmod(d, 0o777)
    yield
    os.chdir(d)
    note("bind", lambda: socket.socket(socket.AF_UNIX).bind("socket"))
    note("mode", mode_of, d / "socket")


def perform(function, user, d):
    """Prepares as root, goes on as the user; what was noted, and the folder at the end."""

    def body():
        os.umask(0)
        note = Notes()
        steps = function(d, note)
        next(steps)
        user.assume()
        next(steps, None)
        os.chdir("/")
        return note.lines

    lines = call(body)
    return lines, call(tree, d)


@pytest.fixture(scope="module")
def mount(session_work, transport):
    with Mount(session_work, transport) as mount:
        yield mount


@pytest.mark.transport("dev-multi", "rings")
@pytest.mark.parametrize("function, user", SCENARIOS)
def test_same_as_the_source(mount, function, user, request):
    name = f"{function.__name__}-{user.uid}-{user.umask or 0:03o}"
    plain = mount.base / f"plain-{name}"
    plain.mkdir()
    wanted, wanted_tree = perform(function, user, plain)
    there = mount.path / name
    call(there.mkdir)
    found, found_tree = perform(function, user, there)
    different = [f"{w} became {f[1]!r}" for w, f in zip(wanted, found) if w != f]
    assert not different, "\n" + "\n".join(different)
    assert len(found) == len(wanted)
    assert found_tree == wanted_tree
    assert tree(mount.source / name) == wanted_tree


# What takes a source of its own


@pytest.fixture
def small_source(work):
    """A file system of 1 MiB with few inodes."""
    path = work / "small"
    path.mkdir()
    libc.mount("none", path, "tmpfs", 0, "size=1m,nr_inodes=20,mode=755")
    yield path
    run(["umount", path])


@pytest.mark.transport("dev-multi", "rings")
def test_full_source(work, transport, small_source):
    def fill(d):
        fd = os.open(d / "file", os.O_CREAT | os.O_WRONLY)
        results = set()
        for _ in range(64):
            try:
                os.write(fd, bytes(65_536))
                os.fsync(fd)
            except OSError as error:
                results.add(errno.errorcode[error.errno])
        try:
            os.close(fd)
        except OSError as error:
            results.add(errno.errorcode[error.errno])
        os.unlink(d / "file")
        for index in range(30):
            try:
                os.mkdir(d / f"{index}")
            except OSError as error:
                results.add(f"mkdir: {errno.errorcode[error.errno]}")
        return results

    with Mount(work, transport, source=small_source) as mount:
        assert call(fill, mount.path) == {"ENOSPC", "mkdir: ENOSPC"}


@pytest.mark.transport("dev-multi", "rings")
def test_read_only_source(work, transport, small_source):
    (small_source / "file").write_text("x")
    run(["mount", "-o", "remount,ro", small_source])

    def attempts(d):
        note = Notes()
        note("read", (d / "file").read_text)
        note("open w", os.open, d / "file", os.O_WRONLY)
        note("open creat", os.open, d / "new", os.O_WRONLY | os.O_CREAT)
        note("mkdir", os.mkdir, d / "new")
        note("chmod", os.chmod, d / "file", 0o600)
        note("unlink", os.unlink, d / "file")
        note("rename", os.rename, d / "file", d / "other")
        note("access", os.access, d / "file", os.W_OK)
        note("setxattr", os.setxattr, d / "file", "user.x", b"")
        note("utime", os.utime, d / "file")
        return note.lines

    with Mount(work, transport, source=small_source) as mount:
        assert call(attempts, mount.path) == attempts(small_source)


@pytest.mark.transport("dev-multi", "rings")
def test_file_systems_within_the_source(work, transport):
    """The same inode number on two devices is two files; renames between them fail."""
    source = work / "source"
    for name in ("one", "two"):
        (source / name).mkdir(parents=True)
        libc.mount("none", source / name, "tmpfs", 0, "size=1m")
        for index in range(5):
            (source / name / f"file-{index}").write_text(f"{name} {index}")
    try:
        with Mount(work, transport, source=source) as mount:

            def check():
                numbers = [(source / name / "file-0").stat().st_ino for name in ("one", "two")]
                assert numbers[0] == numbers[1]
                for index in range(5):
                    for name in ("one", "two"):
                        path = mount.path / name / f"file-{index}"
                        assert path.read_text() == f"{name} {index}"
                with pytest.raises(OSError) as caught:
                    os.rename(mount.path / "one/file-0", mount.path / "two/new")
                assert caught.value.errno == errno.EXDEV
                with pytest.raises(OSError) as caught:
                    os.link(mount.path / "one/file-0", mount.path / "new")
                assert caught.value.errno == errno.EXDEV

            call(check)
    finally:
        run(["umount", source / "one", source / "two"])
