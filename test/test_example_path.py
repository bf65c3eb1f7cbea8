# SPDX-License-Identifier: GPL-2.0-only
"""The examples on the path-based interface do what their comments say, over every transport."""

import errno
import os
import stat
import subprocess
import time

import pytest

from fusetest import pattern
from fusetest.build import BUILD
from fusetest.child import Child, call, run
from fusetest.mount import Mount

pytestmark = pytest.mark.sanitize


def expect(number, function, *args, **kwargs):
    with pytest.raises(OSError) as caught:
        function(*args, **kwargs)
    assert errno.errorcode[caught.value.errno] == errno.errorcode[number]


def example(work, transport, name, *options, program_args=(), **kwargs):
    return Mount(work, transport, program=f"example/{name}", options=options,
                 program_args=program_args, **kwargs)


# hello


def _use_hello(path, name, contents):
    assert sorted(os.listdir(path)) == [name]
    assert (path / name).read_text() == contents
    assert stat.filemode(os.stat(path / name).st_mode) == "-r--r--r--"
    expect(errno.EACCES, os.open, path / name, os.O_WRONLY)
    expect(errno.ENOENT, os.open, path / "other", os.O_RDONLY)
    expect(errno.ENOSYS, os.mkdir, path / "folder")
    file = os.open(path / name, os.O_RDONLY)
    assert os.pread(file, 5, 6) == contents.encode()[6:11]
    assert os.pread(file, 5, 1000) == b""
    os.close(file)


def test_hello(work, transport):
    with example(work, transport, "hello") as mount:
        call(_use_hello, mount.path, "hello", "Hello World!\n")


def test_hello_with_other_words(work, transport):
    words = ["--name=greeting", "--contents=Good morning"]
    with example(work, transport, "hello", program_args=words) as mount:
        call(_use_hello, mount.path, "greeting", "Good morning")


# null


def _use_null(path):
    assert stat.S_ISREG(os.stat(path).st_mode)
    file = os.open(path, os.O_RDWR)
    assert os.pwrite(file, b"x" * 300_000, 12345) == 300_000
    os.fsync(file)
    os.close(file)
    file = os.open(path, os.O_RDWR)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    assert os.pread(file, 300_000, 5 << 20) == bytes(300_000)
    os.ftruncate(file, 7)
    os.close(file)


def test_null(work, transport):
    point = work / "file"
    point.touch()
    with example(work, transport, "null", mountpoint=point) as mount:
        call(_use_null, mount.path)


# ioctl


def _use_ioctl(path):
    client = BUILD.program("example/ioctl_client")
    file = path / "fioc"

    def size(*new):
        return run([client, file, *new]).stdout

    assert size() == "0\n"
    assert size(70_000) == ""
    assert size() == "70000\n"
    assert os.stat(file).st_size == 70_000
    assert file.read_bytes() == bytes(70_000)
    with open(file, "r+b", buffering=0) as data:
        assert data.write(b"abc") == 3
    assert size(2) == ""
    assert file.read_bytes() == b"ab"
    os.truncate(file, 5)
    assert size() == "5\n"
    assert run([client, path], check=False).returncode != 0


def test_ioctl(work, transport):
    with example(work, transport, "ioctl", "attr_timeout=0") as mount:
        call(_use_ioctl, mount.path)


# poll


@pytest.mark.transport("dev-multi", "rings")
def test_poll(work, transport):
    with example(work, transport, "poll") as mount:
        client = BUILD.program("example/poll_client")
        before = mount.cpu_ticks()  # a queue with pinned memory takes some to begin with
        # The producer goes round in four seconds: all of that must have been seen.
        output = run([client, mount.path, "20"], timeout=40 * BUILD.slowdown).stdout
        lines = output.split()
        assert len(lines) == 20
        assert {line[0] for line in lines} == set("0123456789ABCDEF")
        assert all(set(line) == {line[0]} for line in lines)
        # Nobody was polling all the time: waiting took none of it.
        assert mount.cpu_ticks() - before < 200


# invalidate_path


def _follow(path, seconds):
    """What is seen of the two files, each time that it is something new."""
    times, sizes = [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = (path / "current_time").read_text()
        size = os.stat(path / "growing").st_size
        if not times or now != times[-1]:
            times.append(now)
        if not sizes or size != sizes[-1]:
            sizes.append(size)
        time.sleep(0.01)
    return times, sizes


def test_invalidate_path(work, transport):
    words = ["--interval-ms=50"]
    with example(work, transport, "invalidate_path", program_args=words) as mount:
        times, sizes = call(_follow, mount.path, 2 * BUILD.slowdown)
        assert len(times) >= 5 and len(sizes) >= 5
        assert times == sorted(times) and sizes == sorted(sizes)


def test_without_invalidation_nothing_is_noticed(work, transport):
    """Which shows that it is by the notifications that the other test sees what it sees."""
    words = ["--interval-ms=50", "--no-notify"]
    with example(work, transport, "invalidate_path", program_args=words) as mount:
        times, sizes = call(_follow, mount.path, 1)
        assert len(times) == 1 and len(sizes) == 1


# memfs


def _use_memfs(path):
    content = pattern.data(500_000)
    (path / "folder" / "below").mkdir(parents=True)
    (path / "folder" / "file").write_bytes(content)
    os.link(path / "folder" / "file", path / "folder" / "below" / "link")
    os.symlink("below/link", path / "folder" / "symlink")
    assert (path / "folder" / "symlink").read_bytes() == content
    assert os.stat(path / "folder" / "file").st_nlink == 2
    assert os.stat(path / "folder").st_nlink == 3
    os.setxattr(path / "folder" / "file", "user.name", b"value")
    assert os.listxattr(path / "folder" / "file") == ["user.name"]
    os.rename(path / "folder", path / "renamed")
    assert sorted(os.listdir(path / "renamed")) == ["below", "file", "symlink"]
    expect(errno.ENOTEMPTY, os.rmdir, path / "renamed")
    expect(errno.EEXIST, os.mkdir, path / "renamed")
    expect(errno.ENAMETOOLONG, os.mkdir, path / ("n" * 300))
    expect(errno.ENAMETOOLONG, os.link, path / "renamed" / "file", path / ("n" * 300))
    # sparse files
    with open(path / "holes", "w+b", buffering=0) as holes:
        holes.truncate(10 << 30)
        os.pwrite(holes.fileno(), b"data", 5 << 30)
        assert os.lseek(holes.fileno(), 0, os.SEEK_DATA) == 5 << 30
        assert os.fstat(holes.fileno()).st_blocks * 512 < 1 << 20
        # removed while it is open
        os.unlink(path / "holes")
        assert os.fstat(holes.fileno()).st_nlink == 0
        assert os.pread(holes.fileno(), 4, 5 << 30) == b"data"
    assert os.listdir(path) == ["renamed"]


def test_memfs(work, transport):
    with example(work, transport, "memfs") as mount:
        call(_use_memfs, mount.path)


def _fill(folder, count):
    folder.mkdir()
    for index in range(count):
        (folder / f"file{index}").write_text(str(index))


def _compare(folder, count):
    entries = {entry.name: entry.stat().st_size for entry in os.scandir(folder)}
    assert entries == {f"file{index}": len(str(index)) for index in range(count)}


def test_memfs_with_many_files_of_several_clients(work, transport):
    count = 400
    with example(work, transport, "memfs") as mount:
        clients = [Child(_fill, mount.path / f"folder{index}", count) for index in range(4)]
        for client in clients:
            client.result()
        for index in range(4):
            call(_compare, mount.path / f"folder{index}", count)
        # Entries that are removed while the directory is read do not hide others.
        call(_remove_while_reading, mount.path / "folder0")


def _remove_while_reading(folder):
    seen = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            os.unlink(entry.path)
            seen += 1
    assert seen == 400
    assert os.listdir(folder) == []


# All of them


@pytest.mark.parametrize(
    "name",
    ["hello", "invalidate_path", "ioctl", "memfs", "null", "passthrough", "passthrough_fh", "poll"],
)
def test_help_version_and_no_mount_point(name):
    program = BUILD.program(f"example/{name}")

    def output(*args):
        result = subprocess.run([program, *args], capture_output=True, text=True, timeout=30)
        return result.returncode, result.stdout, result.stderr

    status, text, _ = output("--help")
    assert status == 0
    for words in ("usage:", "-o kernel_cache", "-o io_uring", "-o allow_other", "subdir=DIR"):
        assert words in text
    status, text, _ = output("--version")
    assert status == 0
    assert text.startswith("FUSE library version 3.18.3\nusing FUSE kernel interface version 7.")
    status, _, errors = output()
    assert status == 2 and "no mountpoint" in errors
    status, _, errors = output("/nonexistent/folder")
    assert status == 1 and "/nonexistent/folder" in errors
    status, _, errors = output("/tmp", "-o", "no_such_option")
    assert status == 3 and "no_such_option" in errors
