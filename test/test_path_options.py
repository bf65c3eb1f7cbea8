# SPDX-License-Identifier: GPL-2.0-only
"""What the path-based interface makes of options, callers, open files and modules."""

import ctypes
import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import time

import pytest

from fusetest import libc
from fusetest.build import BUILD
from fusetest.child import Child, Credentials, call, run
from fusetest.mount import Mount
from fusetest.waiting import eventually
from test_fs_path import serve

pytestmark = pytest.mark.sanitize


def expect(number, function, *args, **kwargs):
    with pytest.raises(OSError) as caught:
        function(*args, **kwargs)
    assert errno.errorcode[caught.value.errno] == errno.errorcode[number]


def pathops(work, transport, *options, args=(), **kwargs):
    return Mount(work, transport, program="test/fs/pathops", options=options,
                 program_args=args, **kwargs)


class Call:
    """A line of the report."""

    def __init__(self, line):
        name, path, uid, gid, pid, umask, *more = line.split()
        self.name, self.path, self.more = name, None if path == "-" else path, more
        self.uid, self.gid, self.pid, self.umask = int(uid), int(gid), int(pid), int(umask, 8)


def report(path, name=None):
    """The calls since the last time; of one operation, or of all but getattr."""
    calls = list(map(Call, (path / "report").read_text().splitlines()))
    return [c for c in calls if (c.name == name if name else c.name != "getattr")]


# Callers


def _read_as(path):
    report(path)
    (path / "file").read_bytes()
    return os.getpid(), report(path, "open")


def _create_as(path):
    os.umask(0o027)
    report(path)
    os.close(os.open(path / "made", os.O_CREAT | os.O_WRONLY, 0o666))
    return report(path, "create")


def test_context(work, transport):
    who = Credentials(uid=1234, gid=4321, groups=[5, 6, 7])
    with pathops(work, transport) as mount:
        assert call((mount.path / "groups").read_text, credentials=who) == "5\n6\n7\n"
        pid, calls = call(_read_as, mount.path, credentials=who)
        assert [(c.path, c.uid, c.gid, c.pid) for c in calls] == [("/file", 1234, 4321, pid)]
        calls = call(_create_as, mount.path, credentials=who)
        assert [(c.path, c.umask, *c.more) for c in calls] == [("/made", 0o027, "100640")]


def test_first_private_data_arrives_at_the_end(work, transport):
    with pathops(work, transport) as mount:
        call(os.stat, mount.path)
    assert "destroy private\n" in mount.log()


# Attributes


def _attributes(path):
    file, folder = os.stat(path / "file"), os.stat(path / "folder")
    return file.st_uid, file.st_gid, oct(file.st_mode), oct(folder.st_mode)


@pytest.mark.transport("dev-multi", "io_uring")
@pytest.mark.parametrize(
    "options, wanted",
    [
        ([], (11, 22, "0o100644", "0o40755")),
        (["uid=33", "gid=44"], (33, 44, "0o100644", "0o40755")),
        (["uid=4294967294", "gid=3000000000"], (2**32 - 2, 3 * 10**9, "0o100644", "0o40755")),
        (["umask=027"], (11, 22, "0o100750", "0o40750")),
        (["umask=027", "dmask=077"], (11, 22, "0o100750", "0o40700")),
        (["fmask=0137", "dmask=022"], (11, 22, "0o100640", "0o40755")),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else "",
)
def test_owner_and_mode_by_option(work, transport, options, wanted):
    with pathops(work, transport, *options) as mount:
        assert call(_attributes, mount.path) == wanted


def _numbers(path):
    with os.scandir(path) as entries:
        listed = {entry.name: entry.inode() for entry in entries}
    return os.stat(path / "file").st_ino, os.stat(path / "sleep").st_ino, listed


@pytest.mark.transport("dev-multi", "io_uring")
def test_inode_numbers(work, transport):
    unknown = 0xFFFFFFFF
    with pathops(work, transport) as mount:
        file, other, listed = call(_numbers, mount.path)
        assert file != other and 1 < min(file, other) and max(file, other) < 1000
        assert listed == {"file": unknown, "sleep": unknown}
    with pathops(work, transport, "use_ino") as mount:
        file, other, listed = call(_numbers, mount.path)
        assert file == other == 4711
        assert listed == {"file": 4711, "sleep": 4711}
    with pathops(work, transport, "readdir_ino", "noforget") as mount:
        file, other, listed = call(_numbers, mount.path)
        assert listed == {"file": unknown, "sleep": unknown}
        # Now that they have been looked up they are known.
        _, _, listed = call(_numbers, mount.path)
        assert listed == {"file": file, "sleep": other}


@pytest.mark.transport("dev-multi")
@pytest.mark.parametrize("options", [[], ["modules=subdir", "subdir=/"]])
def test_poll_without_an_operation(work, transport, options):
    """The handle that comes with a poll() that waits has nobody who would free it then."""

    def use():
        with open(mount.path / "file", "rb", buffering=0) as file:
            poll = select.poll()
            poll.register(file, select.POLLIN)
            return [event for _, event in poll.poll(1000)]

    with pathops(work, transport, *options) as mount:
        assert call(use) == [select.POLLIN]


@pytest.mark.transport("dev-multi")
def test_setting_attributes(work, transport):
    def use():
        path = mount.path / "file"
        report(mount.path)
        os.chown(path, 5, -1)
        os.chown(path, -1, 6)
        os.truncate(path, 77)
        os.utime(path, ns=(1, 2))
        os.utime(path)
        return [(c.name, *c.more) for c in report(mount.path)]

    with pathops(work, transport) as mount:
        calls = call(use)
    now = (1 << 30) - 1
    assert calls == [
        ("chown", "5", "-1"),
        ("chown", "-1", "6"),
        ("truncate", "77"),
        ("utimens", "1", "2"),
        ("utimens", str(now), str(now)),
    ]


# Open files


@pytest.mark.transport("dev-multi", "io_uring")
@pytest.mark.parametrize("nullpath", [False, True], ids=["with-paths", "nullpath_ok"])
def test_paths_of_open_files(work, transport, nullpath):
    def use():
        report(mount.path)
        with open(mount.path / "file", "r+b", buffering=0) as file:
            file.read(10)
            file.write(b"x")
        time.sleep(0.2)
        return report(mount.path)

    args = ["--nullpath-ok"] if nullpath else []
    with pathops(work, transport, args=args) as mount:
        paths = {c.name: c.path for c in call(use)}
    wanted = None if nullpath else "/file"
    assert paths.pop("open") == "/file"
    assert paths == dict.fromkeys(["read", "write", "flush", "lock", "release"], wanted)


@pytest.mark.transport("dev-multi")
def test_no_flush_of_files_open_for_reading(work, transport):
    def use(flags):
        report(mount.path)
        os.close(os.open(mount.path / "file", flags))
        return [c.name for c in report(mount.path)].count("flush")

    with pathops(work, transport, "no_rofd_flush") as mount:
        assert call(use, os.O_RDONLY) == 0
        assert call(use, os.O_WRONLY) == 1
    with pathops(work, transport) as mount:
        assert call(use, os.O_RDONLY) == 1


def _change_below(mount, path, source):
    """What is read after the source changed in size, and after it did not."""
    (source / "file").write_bytes(b"old contents")
    os.utime(source / "file", ns=(1, 1))
    assert (path / "file").read_bytes() == b"old contents"
    assert (path / "file").read_bytes() == b"old contents"
    (source / "file").write_bytes(b"NEW CONTENTS")
    os.utime(source / "file", ns=(1, 1))
    same = (path / "file").read_bytes()
    (source / "file").write_bytes(b"newer")
    return same, (path / "file").read_bytes()


@pytest.mark.transport("dev-multi", "io_uring")
@pytest.mark.parametrize(
    "option, same, changed",
    [
        ("noauto_cache", b"NEW CONTENTS", b"newer"),
        ("auto_cache", b"old contents", b"newer"),
        ("direct_io", b"NEW CONTENTS", b"newer"),
    ],
)
def test_caching(work, transport, option, same, changed):
    options = [option, "ac_attr_timeout=0"]
    with serve(work, transport, "passthrough", *options) as mount:
        assert call(_change_below, mount, mount.path, mount.source) == (same, changed)


# Removed while open


def _remove_open(path, source):
    (path / "file").write_bytes(b"contents")
    file = os.open(path / "file", os.O_RDWR)
    os.unlink(path / "file")
    names = os.listdir(source)
    kept = os.pread(file, 100, 0)
    os.pwrite(file, b"C", 0)
    size, links = os.fstat(file).st_size, os.fstat(file).st_nlink
    os.close(file)
    deadline = time.monotonic() + 10
    while os.listdir(source) and time.monotonic() < deadline:
        time.sleep(0.01)
    return names, kept, size, links, os.listdir(source)


def test_hidden_files(work, transport):
    with serve(work, transport, "passthrough") as mount:
        names, kept, size, links, left = call(_remove_open, mount.path, mount.source)
    assert len(names) == 1 and names[0].startswith(".fuse_hidden") and len(names[0]) == 28
    assert (kept, size, links, left) == (b"contents", 8, 0, [])


@pytest.mark.transport("dev-multi", "io_uring")
def test_hard_remove(work, transport):
    def use():
        (mount.path / "file").write_bytes(b"contents")
        file = os.open(mount.path / "file", os.O_RDWR)
        os.unlink(mount.path / "file")
        assert os.listdir(mount.source) == []
        expect(errno.ENOENT, os.fstat, file)
        expect(errno.ENOENT, os.pwrite, file, b"x" * 10, 100_000)
        os.close(file)

    with serve(work, transport, "passthrough", "hard_remove", "direct_io") as mount:
        call(use)


@pytest.mark.transport("dev-multi", "io_uring")
@pytest.mark.parametrize("args", [[], ["--nullpath-ok"]])
@pytest.mark.parametrize("closed_after", [0.5, 1.5], ids=["while hiding", "while renaming"])
def test_closed_while_a_rename_over_it_fails(work, transport, args, closed_after):
    """Hidden for a moment, the file is nobody's to be removed."""
    def hold(path):
        fd = os.open(path, os.O_RDONLY)
        time.sleep(0.2 + closed_after)
        os.close(fd)

    with pathops(work, transport, args=args) as mount:
        holder = Child(hold, mount.path / "refused")
        time.sleep(0.2)
        call(expect, errno.EXDEV, os.rename, mount.path / "file", mount.path / "refused")
        holder.result()
        time.sleep(0.3)  # for its release
        done = [(one.name, one.path) for one in call(report, mount.path)]
    names = [path for name, path in done if name == "rename"]
    assert len(names) == 3 and names[:2] == ["/refused", "/file"], done
    assert names[2].startswith("/.fuse_hidden"), done
    assert ("release", None if args else "/refused") in done, done
    assert "unlink" not in [name for name, _ in done], done


@pytest.mark.transport("dev-multi", "io_uring")
def test_rename_that_can_neither_be_done_nor_undone(work, transport):
    """Then the file has lost its name, but no more than that."""
    def use():
        fd = os.open(mount.path / "stuck", os.O_RDONLY)
        expect(errno.EIO, os.rename, mount.path / "file", mount.path / "stuck")
        os.close(fd)

    with pathops(work, transport) as mount:
        call(use)
        time.sleep(0.3)  # for its release
        done = [one.name for one in call(report, mount.path)]
    assert done.count("rename") == 3 and "release" in done, done
    assert "unlink" not in done, done


@pytest.mark.transport("dev-multi", "io_uring")
@pytest.mark.parametrize("hidden_first", [False, True])
def test_exchange_with_a_removed_file(work, transport, hidden_first):
    """It has a name again, which its last close does not take away."""
    def use():
        (mount.path / "a").write_bytes(b"a")
        (mount.path / "removed").write_bytes(b"removed")
        fd = os.open(mount.path / "removed", os.O_RDONLY)
        os.unlink(mount.path / "removed")
        (hidden,) = set(os.listdir(mount.path)) - {"a"}
        pair = (mount.path / hidden, mount.path / "a")
        libc.renameat2(*(pair if hidden_first else pair[::-1]), libc.RENAME_EXCHANGE)
        os.close(fd)
        return hidden

    with serve(work, transport, "passthrough") as mount:
        source = mount.source
        hidden = call(use)
        time.sleep(0.3)  # for its release
    found = {path.name: path.read_bytes() for path in source.iterdir()}
    assert found == {"a": b"removed", hidden: b"a"}


def pinned(function, *args):
    """How long it takes on the first CPU, in seconds."""
    os.sched_setaffinity(0, {0})
    started = time.monotonic()
    function(*args)
    return time.monotonic() - started


def longest_wait_beside(mount):
    """Of those on that CPU who have nothing to do with what waits there, in seconds."""
    time.sleep(0.3)
    return max(call(pinned, os.stat, mount.path / "file") for _ in range(20))


@pytest.mark.transport("dev-multi", "rings")
def test_rename_that_has_to_wait(work, transport):
    """Of a file that somebody is reading: it holds up nobody else of its CPU."""
    def rename_often(path):
        for _ in range(20):  # until it is known to be quick
            os.rename(path / "file", path / "other")
            os.stat(path / "file")

    with pathops(work, transport) as mount:
        call(pinned, rename_often, mount.path)
        reader = Child((mount.path / "sleep").read_bytes)
        # Not by the report: to read that is quick, and reads would be known to be.
        eventually(lambda: call(os.stat, mount.path / "sleep").st_size)
        renamer = Child(pinned, os.rename, mount.path / "sleep", mount.path / "other")
        assert longest_wait_beside(mount) < 3
        assert reader.result(30) == b""
        assert renamer.result(30) > 3


@pytest.mark.transport("dev-multi", "rings")
def test_link_that_has_to_wait(work, transport):
    """To a file whose folder is being renamed: it holds up nobody else of its CPU."""
    def link_often(path):
        file = os.open(path / "folder/inner/file", os.O_PATH)
        for _ in range(20):  # until it is known to be quick
            libc.link_descriptor(file, path / "made")
            os.unlink(path / "made")
            os.stat(path / "file")

    def link_beside_rename(path, ready, go):
        # Not by name: the kernel would ask for that, and the question would wait.
        file = os.open(path / "folder/inner/file", os.O_PATH)
        os.write(ready, b"x")
        os.read(go, 1)
        return pinned(libc.link_descriptor, file, path / "made")

    ready, go = os.pipe(), os.pipe()
    with pathops(work, transport) as mount:
        folder = mount.path / "folder"
        call(pinned, link_often, mount.path)
        linker = Child(link_beside_rename, mount.path, ready[1], go[0])
        os.read(ready[0], 1)
        renamer = Child(pinned, os.rename, folder / "inner", folder / "other")
        eventually(lambda: call(report, mount.path, "rename"))
        os.write(go[1], b"x")
        assert longest_wait_beside(mount) < 2
        assert linker.result(30) > 2
        assert renamer.result(30) > 4
    for end in ready + go:
        os.close(end)


@pytest.mark.transport("dev-multi", "io_uring")
def test_hidden_files_are_removed_at_the_end(work, transport):
    def hold(ready, go):
        (mount.path / "file").write_bytes(b"contents")
        file = os.open(mount.path / "file", os.O_RDWR)
        os.unlink(mount.path / "file")
        os.write(ready, b"r")
        os.read(go, 1)
        return file

    ready, go = os.pipe(), os.pipe()
    with serve(work, transport, "passthrough", exit_status=None) as mount:
        client = Child(hold, ready[1], go[0])
        os.read(ready[0], 1)
        assert len(os.listdir(mount.source)) == 1
        mount.signal(signal.SIGTERM)
        mount.wait()
        assert os.listdir(mount.source) == []
        os.write(go[1], b"g")
        client.result()
    for end in ready + go:
        os.close(end)


# Interrupts


LIBC = ctypes.CDLL(None, use_errno=True)


def _interrupted_read(path):
    """What a read comes to that would take ten seconds, and is interrupted by a signal."""
    file = os.open(path, os.O_RDONLY)
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, True)
    # More than once: the first may come too early, on a busy machine.
    signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
    # Not os.read(), which tries again.
    failed = LIBC.read(file, ctypes.create_string_buffer(10), 10) < 0
    result = errno.errorcode[ctypes.get_errno()] if failed else "read"
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.close(file)
    return result


@pytest.mark.transport("dev-multi", "io_uring")
def test_interrupts(work, transport):
    with pathops(work, transport, "intr") as mount:
        assert call(_interrupted_read, mount.path / "sleep") == "EINTR"
        assert call(_interrupted_read, mount.path / "ask") == "EINTR"
    with pathops(work, transport) as mount:
        assert call(_interrupted_read, mount.path / "ask") == "EINTR"
        assert call(_interrupted_read, mount.path / "sleep") == "read"


# Locks

FLOCK = "hhqqi4x"


def _get_lock(file, kind, start, length):
    wanted = struct.pack(FLOCK, kind, os.SEEK_SET, start, length, 0)
    kind, _, start, length, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, wanted))
    return kind, start, length, pid


def _set_lock(file, kind, start, length):
    fcntl.fcntl(file, fcntl.F_SETLK, struct.pack(FLOCK, kind, os.SEEK_SET, start, length, 0))


@pytest.mark.transport("dev-multi", "io_uring")
def test_who_has_a_lock(work, transport):
    def hold(ready, go):
        file = os.open(mount.path / "locks", os.O_RDWR)
        _set_lock(file, fcntl.F_WRLCK, 10, 20)
        _set_lock(file, fcntl.F_UNLCK, 15, 5)
        _set_lock(file, fcntl.F_RDLCK, 50, 10)
        _set_lock(file, fcntl.F_RDLCK, 60, 10)
        os.write(ready, b"r")
        os.read(go, 1)
        os.close(file)

    def ask():
        file = os.open(mount.path / "locks", os.O_RDWR)
        return [
            _get_lock(file, kind, start, length)
            for kind, start, length in (
                (fcntl.F_RDLCK, 0, 12),
                (fcntl.F_RDLCK, 15, 5),
                (fcntl.F_WRLCK, 20, 1),
                (fcntl.F_RDLCK, 55, 1),
                (fcntl.F_WRLCK, 65, 10),
                (fcntl.F_WRLCK, 90, 0),
            )
        ]

    ready, go = os.pipe(), os.pipe()
    none = (fcntl.F_UNLCK, 15, 5, 0)
    with pathops(work, transport) as mount:
        client = Child(hold, ready[1], go[0])
        os.read(ready[0], 1)
        found = call(ask)
        assert found[0] == (fcntl.F_WRLCK, 10, 5, client.pid)
        assert found[1] == none
        assert found[2] == (fcntl.F_WRLCK, 20, 10, client.pid)
        assert found[3][0] == fcntl.F_UNLCK
        assert found[4] == (fcntl.F_RDLCK, 50, 20, client.pid)
        # and one that only the filesystem knows of
        assert found[5][:3] == (fcntl.F_WRLCK, 100, 1)
        os.write(go[1], b"g")
        client.result()
        assert call(ask)[0][0] == fcntl.F_UNLCK
    for end in ready + go:
        os.close(end)


# Control, and places on a device


ALL_BYTES = (1 << 14) - 1


def _number(direction, number, size):
    return direction << 30 | size << 16 | ord("P") << 8 | number


NEGATE = _number(3, 1, ALL_BYTES)
NOTHING = _number(2, 2, ALL_BYTES)
SUM = _number(1, 3, ALL_BYTES)
NUMBER = _number(0, 4, 0)
REFUSE = _number(3, 5, 4)


def _control(path):
    """Data go in, out, both ways, or not at all; and the result may be any number."""
    contents = bytes(i % 251 for i in range(ALL_BYTES))
    file = os.open(path, os.O_RDONLY)
    data = bytearray(contents)
    assert fcntl.ioctl(file, NEGATE, data) == 0
    assert bytes(data) == bytes(255 - byte for byte in contents)
    # There was something else in the server's memory a moment ago.
    assert fcntl.ioctl(file, NOTHING, data) == 0
    assert bytes(data) == bytes(ALL_BYTES)
    data[:] = contents
    assert fcntl.ioctl(file, SUM, data) == sum(contents)
    assert bytes(data) == contents
    assert fcntl.ioctl(file, NUMBER, 123_456) == 123_456
    expect(errno.ERANGE, fcntl.ioctl, file, REFUSE, bytearray(4))
    expect(errno.ENOTTY, fcntl.ioctl, file, _number(0, 6, 0), 0)
    os.close(file)


def test_control(work, transport):
    def body(path):
        for name in ("file", "folder"):
            report(path)
            _control(path / name)
            calls = report(path, "ioctl")
            assert {c.path for c in calls} == {f"/{name}"}
            is_folder = str(int(name == "folder"))
            assert [c.more for c in calls] == [[str(i), is_folder] for i in range(1, 7)]

    with pathops(work, transport) as mount:
        call(body, mount.path)


@pytest.fixture
def device(work):
    image = work / "image"
    with image.open("wb") as file:
        file.truncate(1 << 20)
    path = run(["losetup", "--find", "--show", image]).stdout.strip()
    yield path
    run(["losetup", "--detach", path])


@pytest.mark.transport("dev-multi", "io_uring")
def test_places_on_a_device(work, transport, device):
    FIBMAP = 1

    def body(path):
        report(path)
        file = os.open(path / "file", os.O_RDONLY)
        found = [
            struct.unpack("i", fcntl.ioctl(file, FIBMAP, struct.pack("i", block)))[0]
            for block in (0, 3, 7)
        ]
        os.close(file)
        return found, report(path, "bmap")

    options = ["blkdev", f"fsname={device}", "blksize=1024"]
    with pathops(work, transport, *options) as mount:
        found, calls = call(body, mount.path)
        assert found == [0, 300, 700]
        assert [(c.path, c.more[1]) for c in calls] == [("/file", block) for block in "037"]
        # Newer kernels make it as large as a page, whatever is asked for.
        (size,) = {c.more[0] for c in calls}
        assert size in ("1024", str(os.sysconf("SC_PAGESIZE")))
        assert f"blksize={size}" in mount.entry()["super_options"]


# Remembering


def _number_after_forgetting(path):
    before = os.stat(path / "file").st_ino
    run(["sh", "-c", "echo 2 > /proc/sys/vm/drop_caches"])
    return before == os.stat(path / "file").st_ino


@pytest.mark.transport("dev-multi")
def test_remembered_numbers(work, transport):
    with pathops(work, transport, "noforget") as mount:
        assert call(_number_after_forgetting, mount.path)
    with pathops(work, transport, "remember=100") as mount:
        assert call(_number_after_forgetting, mount.path)
    with pathops(work, transport) as mount:
        # The kernel forgets when it likes, and the next look-up may overtake that.
        assert not all(call(_number_after_forgetting, mount.path) for _ in range(20))


# Modules


@pytest.mark.transport("dev-multi")
def test_subdir_with_relative_links(work, transport):
    with serve(work, transport, "passthrough", "rellinks") as mount:
        source = mount.source
        (source / "a" / "b").mkdir(parents=True)
        (source / "a" / "file").write_text("file")
        os.symlink(source / "a" / "file", source / "a" / "b" / "link")
        os.symlink(source, source / "a" / "top")
        os.symlink("/etc", source / "elsewhere")
        os.symlink("a", source / "relative")
        assert call(os.readlink, mount.path / "a" / "b" / "link") == "../file"
        assert call((mount.path / "a" / "b" / "link").read_text) == "file"
        assert sorted(call(os.listdir, mount.path / "a" / "top")) == ["a", "elsewhere", "relative"]
        assert call(os.readlink, mount.path / "elsewhere") == "/etc"
        assert call(os.readlink, mount.path / "relative") == "a"


@pytest.mark.transport("dev-multi", "io_uring")
def test_iconv(work, transport):
    options = ["from_code=ISO-8859-1", "to_code=UTF-8"]
    source = work / "latin"
    source.mkdir()
    # Names that are empty stand for no module.
    options = ["modules=subdir::iconv:", f"subdir={source}", *options]

    def use():
        path = mount.path
        (path / "Größe").mkdir()
        (path / "Größe" / "Maß").write_text("1,80 m")
        os.symlink("Größe/Maß", path / "kürzer")
        os.rename(path / "Größe" / "Maß", path / "Größe" / "größer")
        assert os.listdir(path / "Größe") == ["größer"]
        assert os.readlink(path / "kürzer") == "Größe/Maß"
        expect(errno.EILSEQ, os.mkdir, path / "漢字")

    with Mount(work, transport, program="example/passthrough", options=options) as mount:
        call(use)
    folder = os.fsencode(source) + "/Größe".encode("latin-1")
    assert os.listdir(folder) == ["größer".encode("latin-1")]
    link = os.fsencode(source) + "/kürzer".encode("latin-1")
    assert os.readlink(link) == "Größe/Maß".encode("latin-1")


@pytest.mark.transport("dev-multi", "io_uring")
def test_somebody_elses_module(work, transport):
    env = {"LD_LIBRARY_PATH": str(BUILD.dir / "test" / "fs")}
    options = ["modules=upper", "prefix=x-"]
    with Mount(work, transport, program="example/hello", options=options, env=env) as mount:
        assert sorted(call(os.listdir, mount.path)) == ["X-HELLO"]
        assert call(os.stat, mount.path / "hello").st_size == 13


@pytest.mark.parametrize(
    "options, words",
    [
        ("modules=nonsense", ["nonsense", "libfusemod_nonsense.so", "fuse3"]),
        ("modules=../../evil", ["no module's name"]),
        ("modules=subdir", ["subdir= is missing"]),
        ("modules=iconv,from_code=nonsense", ["nonsense"]),
    ],
)
def test_modules_that_cannot_be_had(work, options, words):
    command = [BUILD.program("example/hello"), "-f", str(work), "-o", options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 3
    for word in words:
        assert word in result.stderr
