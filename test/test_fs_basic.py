# SPDX-License-Identifier: GPL-2.0-only
"""A program that uses passthrough_hp's mount sees an ordinary file system."""

import errno
import mmap
import os
import socket
import stat
import subprocess
import time

import pytest

from fusetest import libc, pattern
from fusetest.child import Child

pytestmark = [pytest.mark.client, pytest.mark.sanitize]


def expect(number, function, *args, **kwargs):
    """The call fails, and with this errno."""
    with pytest.raises(OSError) as caught:
        function(*args, **kwargs)
    assert errno.errorcode[caught.value.errno] == errno.errorcode[number]


def make(path, content=b""):
    with open(path, "xb") as file:
        file.write(content)
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


# Files and their contents


def test_create_write_read(place):
    content = pattern.data(100_000)
    make(place.path / "file", content)
    assert read(place.path / "file") == content
    assert read(place.source / "file") == content
    assert os.stat(place.path / "file").st_size == len(content)


def test_open_errors(d):
    make(d / "file")
    (d / "folder").mkdir()
    expect(errno.ENOENT, os.open, d / "missing", os.O_RDONLY)
    expect(errno.ENOENT, os.open, d / "missing" / "file", os.O_RDONLY)
    expect(errno.ENOTDIR, os.open, d / "file" / "below", os.O_RDONLY)
    expect(errno.EEXIST, os.open, d / "file", os.O_CREAT | os.O_EXCL)
    expect(errno.EISDIR, os.open, d / "folder", os.O_WRONLY)
    expect(errno.ENOTDIR, os.open, d / "file", os.O_RDONLY | os.O_DIRECTORY)
    fd = os.open(d / "file", os.O_RDONLY)
    expect(errno.EBADF, os.write, fd, b"x")
    os.close(fd)


def test_truncating_open(d):
    make(d / "file", b"contents")
    os.close(os.open(d / "file", os.O_WRONLY | os.O_TRUNC))
    assert os.stat(d / "file").st_size == 0
    assert read(d / "file") == b""


def test_truncate(place):
    path = make(place.path / "file", pattern.data(10_000))
    os.truncate(path, 4097)
    assert read(path) == pattern.data(10_000)[:4097]
    os.truncate(path, 20_000)
    assert read(path) == pattern.data(10_000)[:4097] + bytes(20_000 - 4097)
    fd = os.open(path, os.O_RDWR)
    os.ftruncate(fd, 5)
    os.pwrite(fd, b"!", 9)
    os.fsync(fd)
    os.close(fd)
    wanted = pattern.data(10_000)[:5] + bytes(4) + b"!"
    assert read(path) == wanted
    assert read(place.source / "file") == wanted
    expect(errno.ENOENT, os.truncate, place.path / "missing", 0)
    expect(errno.EINVAL, os.truncate, path, -1)


def _append(path, index, count):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    for step in range(count):
        os.write(fd, f"{index:03}:{step:06}\n".encode())
    os.close(fd)


def test_append(d):
    path = make(d / "log")
    with open(path, "ab") as file:
        file.write(b"one\n")
    with open(path, "ab") as file:
        file.write(b"two\n")
    assert read(path) == b"one\ntwo\n"


def test_appending_through_two_descriptors(d):
    path = make(d / "log")
    first = os.open(path, os.O_WRONLY | os.O_APPEND)
    second = os.open(path, os.O_WRONLY | os.O_APPEND)
    for step in range(200):
        os.write(first if step % 2 else second, f"{step}\n".encode())
    os.close(first)
    os.close(second)
    assert read(path) == "".join(f"{step}\n" for step in range(200)).encode()


def test_appending_from_several_processes(d):
    path = make(d / "log")
    writers = [Child(_append, path, index, 300) for index in range(4)]
    for writer in writers:
        writer.result()
    lines = read(path).decode().splitlines()
    wanted = {f"{index:03}:{step:06}" for index in range(4) for step in range(300)}
    assert len(lines) == 1200 and set(lines) == wanted


def test_sizes_at_odd_offsets(place):
    content = pattern.sizes_at_odd_offsets(place.path / "file")
    pattern.assert_same(read(place.source / "file"), content, "source")


def test_vectors(d):
    fd = os.open(d / "file", os.O_RDWR | os.O_CREAT, 0o644)
    pieces = [pattern.data(size, size) for size in (1, 4096, 77, 70_000, 3)]
    assert os.writev(fd, pieces) == sum(map(len, pieces))
    buffers = [bytearray(size) for size in (3, 70_000, 4096, 78)]
    assert os.preadv(fd, buffers, 0) == sum(map(len, buffers))
    assert b"".join(buffers) == b"".join(pieces)
    os.close(fd)


def test_direct_io(place):
    if not pattern.direct_io(place.path / "file"):
        pytest.skip("the source's file system has no O_DIRECT")
    assert read(place.source / "file") == read(place.path / "file")


def test_beyond_four_gigabytes(place):
    offsets = [(4 << 30) - 3, 4 << 30, (5 << 30) + 123, (1 << 40) + 1]
    fd = os.open(place.path / "file", os.O_RDWR | os.O_CREAT, 0o644)
    for seed, offset in enumerate(offsets):
        pattern.pwrite_all(fd, pattern.data(10_000, seed), offset)
    os.fsync(fd)
    assert os.fstat(fd).st_size == offsets[-1] + 10_000
    other = os.open(place.source / "file", os.O_RDONLY)
    for seed, offset in enumerate(offsets[1:], 1):
        wanted = pattern.data(10_000, seed)
        pattern.assert_same(pattern.pread_all(fd, 10_000, offset), wanted, f"at {offset}")
        pattern.assert_same(pattern.pread_all(other, 10_000, offset), wanted, "source")
    assert os.pread(fd, 4096, 3 << 30) == bytes(4096)
    assert os.fstat(fd).st_blocks < 2000
    os.close(fd)
    os.close(other)


def test_concurrent_writers(d):
    pattern.concurrent_writers(d / "file")


def _own_file(path, seed):
    content = pattern.data(700_001, seed)
    for _ in range(3):
        with open(path, "wb") as file:
            file.write(content)
        assert read(path) == content
    os.unlink(path)


def test_many_processes_many_files(d):
    workers = [Child(_own_file, d / f"{seed}", seed) for seed in range(8)]
    for worker in workers:
        worker.result()
    assert os.listdir(d) == []


def test_sync(d):
    fd = os.open(d / "file", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"abc")
    os.fsync(fd)
    os.fdatasync(fd)
    libc.syncfs(fd)
    os.close(fd)
    fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def test_sendfile(d):
    content = pattern.data(500_000)
    source = os.open(make(d / "a", content), os.O_RDONLY)
    target = os.open(d / "b", os.O_WRONLY | os.O_CREAT, 0o644)
    left = len(content)
    while left:
        left -= os.sendfile(target, source, None, left)
    os.close(source)
    os.close(target)
    assert read(d / "b") == content


def test_splice(d):
    content = pattern.data(300_001)
    make(d / "a", content)
    source = os.open(d / "a", os.O_RDONLY)
    target = os.open(d / "b", os.O_WRONLY | os.O_CREAT, 0o644)
    reader, writer = os.pipe()
    left = len(content)
    while left:
        moved = os.splice(source, writer, min(left, 65536))
        left -= moved
        while moved:
            moved -= os.splice(reader, target, moved)
    for fd in (source, target, reader, writer):
        os.close(fd)
    assert read(d / "b") == content


# Memory mappings


def test_shared_mapping(place):
    content = pattern.mapped(place.path / "file")
    pattern.assert_same(read(place.source / "file"), content, "source")


def _write_through_mapping(path, length):
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, length) as mapping:
        mapping[length // 2 :] = pattern.data(length - length // 2, 5)
    os.close(fd)


def test_shared_mapping_between_processes(d):
    length = 200_000
    path = make(d / "file", bytes(length))
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, length) as mapping:
        mapping[0:5] = b"first"
        Child(_write_through_mapping, path, length).result()
        assert mapping[0:5] == b"first"
        assert mapping[length // 2 :] == pattern.data(length - length // 2, 5)
    os.close(fd)


def test_private_mapping(d):
    path = make(d / "file", pattern.data(10_000))
    fd = os.open(path, os.O_RDONLY)
    with mmap.mmap(fd, 10_000, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapping:
        mapping[0:5000] = bytes(5000)
        assert mapping[5000:] == pattern.data(10_000)[5000:]
    os.close(fd)
    assert read(path) == pattern.data(10_000)


def test_mapping_and_truncate(d):
    path = make(d / "file", b"x" * 8192)
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, 8192) as mapping:
        mapping[4096:8192] = b"y" * 4096
        os.ftruncate(fd, 5000)
        os.ftruncate(fd, 8192)
        assert mapping[4096:5000] == b"y" * 904
        assert mapping[5000:8192] == bytes(3192)
    os.close(fd)
    assert read(path) == b"x" * 4096 + b"y" * 904 + bytes(3192)


# Names


def test_rename(d):
    make(d / "a", b"a")
    os.rename(d / "a", d / "b")
    expect(errno.ENOENT, os.stat, d / "a")
    assert read(d / "b") == b"a"
    make(d / "c", b"c")
    number = os.stat(d / "b").st_ino
    os.rename(d / "b", d / "c")
    assert read(d / "c") == b"a"
    assert os.stat(d / "c").st_ino == number
    assert os.listdir(d) == ["c"]
    expect(errno.ENOENT, os.rename, d / "missing", d / "x")


def test_rename_of_folders(d):
    os.makedirs(d / "one" / "deep")
    make(d / "one" / "deep" / "file", b"here")
    (d / "two").mkdir()
    os.rename(d / "one", d / "two" / "one")
    assert read(d / "two" / "one" / "deep" / "file") == b"here"
    (d / "empty").mkdir()
    os.rename(d / "two" / "one", d / "empty")
    assert os.listdir(d / "two") == []
    expect(errno.ENOTEMPTY, os.rename, d / "two", d / "empty")
    expect(errno.EINVAL, os.rename, d / "empty", d / "empty" / "deep" / "below")
    make(d / "file")
    expect(errno.EISDIR, os.rename, d / "file", d / "two")
    expect(errno.ENOTDIR, os.rename, d / "two", d / "file")


def test_rename_flags(d):
    make(d / "a", b"a")
    make(d / "b", b"b")
    expect(errno.EEXIST, libc.renameat2, d / "a", d / "b", libc.RENAME_NOREPLACE)
    libc.renameat2(d / "a", d / "b", libc.RENAME_EXCHANGE)
    assert (read(d / "a"), read(d / "b")) == (b"b", b"a")
    libc.renameat2(d / "a", d / "c", libc.RENAME_NOREPLACE)
    assert sorted(os.listdir(d)) == ["b", "c"]
    expect(errno.ENOENT, libc.renameat2, d / "c", d / "missing", libc.RENAME_EXCHANGE)


def test_rename_of_what_is_open(d):
    (d / "folder").mkdir()
    file = open(make(d / "folder" / "a"), "r+b", buffering=0)
    os.rename(d / "folder", d / "moved")
    file.write(b"still here")
    os.rename(d / "moved" / "a", d / "b")
    file.write(b", and here")
    assert os.fstat(file.fileno()).st_size == 20
    file.close()
    assert read(d / "b") == b"still here, and here"


def test_rename_of_the_working_folder(d):
    (d / "here").mkdir()
    make(d / "here" / "file", b"content")
    os.chdir(d / "here")
    os.rename(d / "here", d / "there")
    assert read("file") == b"content"
    assert os.getcwd() == str(d / "there")


def test_hard_links(d):
    make(d / "a", b"a")
    (d / "folder").mkdir()
    os.link(d / "a", d / "b")
    os.link(d / "b", d / "folder" / "c")
    stats = [os.stat(d / name) for name in ("a", "b", "folder/c")]
    assert len({status.st_ino for status in stats}) == 1
    assert os.stat(d / "a").st_nlink == 3
    with open(d / "folder" / "c", "ab") as file:
        file.write(b"more")
    assert read(d / "a") == b"amore"
    os.unlink(d / "a")
    assert os.stat(d / "b").st_nlink == 2
    expect(errno.EEXIST, os.link, d / "b", d / "folder" / "c")
    expect(errno.EPERM, os.link, d / "folder", d / "other")
    expect(errno.ENOENT, os.link, d / "a", d / "other")


def test_symbolic_links(d):
    make(d / "file", b"found")
    os.symlink("file", d / "link")
    os.symlink("y" * 1000, d / "long")
    os.symlink("missing", d / "dangling")
    os.symlink("circle", d / "circle")
    assert read(d / "link") == b"found"
    assert os.readlink(d / "link") == "file"
    assert os.readlink(d / "long") == "y" * 1000
    assert os.lstat(d / "long").st_size == 1000
    assert stat.S_ISLNK(os.lstat(d / "link").st_mode)
    expect(errno.ENOENT, os.stat, d / "dangling")
    expect(errno.ELOOP, os.stat, d / "circle")
    expect(errno.ELOOP, os.open, d / "link", os.O_RDONLY | os.O_NOFOLLOW)
    expect(errno.EEXIST, os.symlink, "other", d / "link")
    expect(errno.EINVAL, os.readlink, d / "file")
    os.symlink(d / "file", d / "absolute")
    assert read(d / "absolute") == b"found"


def test_folders(d):
    (d / "a").mkdir(mode=0o750)
    assert stat.S_IMODE(os.stat(d / "a").st_mode) == 0o750
    assert os.stat(d / "a").st_nlink == 2
    expect(errno.EEXIST, os.mkdir, d / "a")
    make(d / "a" / "file")
    expect(errno.ENOTEMPTY, os.rmdir, d / "a")
    expect(errno.ENOTDIR, os.rmdir, d / "a" / "file")
    expect(errno.EISDIR, os.unlink, d / "a")
    os.unlink(d / "a" / "file")
    os.rmdir(d / "a")
    expect(errno.ENOENT, os.rmdir, d / "a")
    expect(errno.ENOENT, os.mkdir, d / "missing" / "a")


def test_removed_folder_that_is_open(d):
    (d / "gone").mkdir()
    fd = os.open(d / "gone", os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir(d / "gone")
    assert os.listdir(fd) == []
    expect(errno.ENOENT, os.open, "file", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.close(fd)


def test_unlinked_file_that_is_open(d):
    file = open(make(d / "file", b"12345"), "r+b", buffering=0)
    os.unlink(d / "file")
    assert os.fstat(file.fileno()).st_nlink == 0
    file.seek(3)
    file.write(b"abcdef")
    assert os.pread(file.fileno(), 100, 0) == b"123abcdef"
    os.ftruncate(file.fileno(), 4)
    os.fchmod(file.fileno(), 0o600)
    assert os.fstat(file.fileno()).st_size == 4
    make(d / "file", b"another")
    assert os.pread(file.fileno(), 100, 0) == b"123a"
    assert read(d / "file") == b"another"
    with open(f"/proc/self/fd/{file.fileno()}", "rb") as again:
        assert again.read() == b"123a"
    file.close()
    assert os.listdir(d) == ["file"]


def test_replaced_file_that_is_open(d):
    old = open(make(d / "file", b"old"), "rb", buffering=0)
    os.rename(make(d / "new", b"new"), d / "file")
    assert old.read() == b"old"
    assert os.fstat(old.fileno()).st_nlink == 0
    assert read(d / "file") == b"new"
    old.close()


def test_inode_numbers_used_again(d):
    """A new file never shows what a deleted one with its inode number was."""
    for step in range(500):
        content = f"content {step}".encode()
        make(d / "file", content)
        assert read(d / "file") == content
        assert os.stat(d / "file").st_size == len(content)
        os.unlink(d / "file")
        if step % 3 == 0:
            os.mkdir(d / "file")
            assert stat.S_ISDIR(os.stat(d / "file").st_mode)
            os.rmdir(d / "file")


def test_long_and_odd_names(place):
    names = ["n" * 255, "with space", "new\nline", "back\\slash", "ünï", b"\xff\xfe\x80", "-rf"]
    for name in names:
        full = os.path.join(os.fsencode(place.path), os.fsencode(name))
        make(full, b"x")
        assert read(full) == b"x"
    listed = os.listdir(os.fsencode(place.path))
    assert sorted(listed) == sorted(os.fsencode(name) for name in names)
    assert sorted(os.listdir(os.fsencode(place.source))) == sorted(listed)
    expect(errno.ENAMETOOLONG, make, place.path / ("n" * 256))
    expect(errno.ENAMETOOLONG, os.mkdir, place.path / ("n" * 256))
    expect(errno.ENAMETOOLONG, os.stat, place.path / ("n" * 256))


def test_deep_trees(d):
    name, depth = "a-rather-long-name-of-a-folder", 200
    fd = os.open(d, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open("file", os.O_CREAT | os.O_RDWR, dir_fd=fd)
    os.write(file, b"deep")
    os.close(file)
    os.close(fd)
    found = subprocess.run(
        ["find", ".", "-name", "file", "-size", "4c"], cwd=d, capture_output=True, check=True
    )
    assert found.stdout.count(b"/") == depth + 1
    subprocess.run(["rm", "-r", name], cwd=d, check=True)
    assert os.listdir(d) == []


# Reading folders


def test_ten_thousand_entries(d):
    os.mkdir(d / "big")
    fd = os.open(d / "big", os.O_RDONLY)
    for index in range(10_000):
        os.close(os.open(f"entry-{index:05}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    wanted = {f"entry-{index:05}" for index in range(10_000)} | {".", ".."}
    with libc.Directory(d / "big") as directory:
        positions, names = [], []
        while True:
            position = directory.tell()
            entry = directory.read()
            if entry is None:
                break
            positions.append(position)
            names.append(entry[0])
        assert len(names) == len(wanted) and set(names) == wanted
        for index in (5000, 9999, 1, 0, 7777, 10_001, 3, 4321):
            directory.seek(positions[index])
            assert directory.read()[0] == names[index]
            if index + 1 < len(names):
                assert directory.read()[0] == names[index + 1]
        directory.seek(positions[6000])
        assert [entry[0] for entry in directory.read_all()] == names[6000:]
        directory.rewind()
        assert [entry[0] for entry in directory.read_all()] == names
    listed = subprocess.run(["ls", "-l", d / "big"], capture_output=True, check=True)
    assert listed.stdout.count(b"\n") == 10_001


def test_entries_tell_type_and_inode(d):
    make(d / "file")
    os.mkdir(d / "folder")
    os.symlink("file", d / "link")
    os.mkfifo(d / "fifo")
    for _ in range(2):  # with and without what a look-up left behind
        with libc.Directory(d) as directory:
            entries = {name: (inode, kind) for name, inode, kind in directory.read_all()}
        assert set(entries) == {".", "..", "file", "folder", "link", "fifo"}
        for name, (inode, kind) in entries.items():
            if name != "..":
                status = os.lstat(d / name)
                assert inode == status.st_ino
                assert kind == stat.S_IFMT(status.st_mode) >> 12


def test_deleting_while_reading(d):
    for index in range(2500):
        make(d / f"{index}")
    seen = 0
    with libc.Directory(d) as directory:
        while (entry := directory.read()) is not None:
            if entry[0] not in (".", ".."):
                os.unlink(d / entry[0])
                seen += 1
    assert seen == 2500 and os.listdir(d) == []


def test_creating_while_reading(d):
    for index in range(1000):
        make(d / f"old-{index}")
    names = []
    with libc.Directory(d) as directory:
        while (entry := directory.read()) is not None:
            names.append(entry[0])
            if len(names) % 10 == 0:
                make(d / f"new-{len(names)}")
            assert len(names) < 3000
    old = [name for name in names if name.startswith("old-")]
    assert len(old) == 1000 == len(set(old))


# Special files


def _write_fifo(path):
    with open(path, "wb") as file:
        file.write(b"through the pipe")


def test_fifo(d):
    os.mkfifo(d / "fifo", 0o640)
    assert stat.S_ISFIFO(os.stat(d / "fifo").st_mode)
    writer = Child(_write_fifo, d / "fifo")
    assert read(d / "fifo") == b"through the pipe"
    writer.result()


def test_device_nodes(place):
    os.mknod(place.path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(place.path / "block", stat.S_IFBLK | 0o600, os.makedev(7, 200))
    os.mknod(place.path / "plain", stat.S_IFREG | 0o600)
    for name in ("null", "block", "plain"):
        mine, other = os.stat(place.path / name), os.stat(place.source / name)
        assert (mine.st_mode, mine.st_rdev) == (other.st_mode, other.st_rdev)
    expect(errno.EEXIST, os.mknod, place.path / "plain", stat.S_IFREG | 0o600)


def test_socket(d):
    os.chdir(d)
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.listen()
    assert stat.S_ISSOCK(os.stat("socket").st_mode)
    client = socket.socket(socket.AF_UNIX)
    client.connect("socket")
    peer, _ = server.accept()
    client.sendall(b"hello")
    assert peer.recv(10) == b"hello"
    with pytest.raises(OSError):
        socket.socket(socket.AF_UNIX).bind("socket")


def test_programs_run(d):
    subprocess.run(["cp", "/bin/echo", d / "echo"], check=True)
    result = subprocess.run([d / "echo", "it", "runs"], capture_output=True, check=True)
    assert result.stdout == b"it runs\n"
    (d / "script").write_text("#!/bin/sh\necho $1\n")
    os.chmod(d / "script", 0o755)
    result = subprocess.run([d / "script", "too"], capture_output=True, check=True)
    assert result.stdout == b"too\n"


# Attributes


def test_mode_and_owner(place):
    path = make(place.path / "file")
    for mode in (0o000, 0o644, 0o4755, 0o2755, 0o1777, 0o7777):
        os.chmod(path, mode)
        assert stat.S_IMODE(os.stat(path).st_mode) == mode
        assert stat.S_IMODE(os.stat(place.source / "file").st_mode) == mode
    os.chown(path, 1234, -1)
    os.chown(path, -1, 4321)
    status = os.stat(place.source / "file")
    assert (status.st_uid, status.st_gid) == (1234, 4321)
    status = os.stat(path)
    assert (status.st_uid, status.st_gid) == (1234, 4321)
    os.symlink("file", place.path / "link")
    os.lchown(place.path / "link", 7, 8)
    assert os.lstat(place.source / "link").st_uid == 7
    assert os.stat(path).st_uid == 1234


def test_umask(d):
    os.umask(0o027)
    make(d / "file")
    os.mkdir(d / "folder")
    os.mkfifo(d / "fifo")
    assert stat.S_IMODE(os.stat(d / "file").st_mode) == 0o640
    assert stat.S_IMODE(os.stat(d / "folder").st_mode) == 0o750
    assert stat.S_IMODE(os.stat(d / "fifo").st_mode) == 0o640


def test_times(place):
    path = make(place.path / "file")
    os.utime(path, ns=(1_234_567_890_123_456_789, 987_654_321_000_000_001))
    for where in (path, place.source / "file"):
        status = os.stat(where)
        assert status.st_atime_ns == 1_234_567_890_123_456_789
        assert status.st_mtime_ns == 987_654_321_000_000_001
    libc.utimensat(path, (0, libc.UTIME_OMIT), (42, 43))
    status = os.stat(path)
    assert status.st_atime_ns == 1_234_567_890_123_456_789
    assert status.st_mtime_ns == 42_000_000_043
    before = time.time() - 1
    libc.utimensat(path, (0, libc.UTIME_NOW), (0, libc.UTIME_OMIT))
    status = os.stat(path)
    assert before < status.st_atime < time.time() + 1
    assert status.st_mtime_ns == 42_000_000_043
    os.symlink("file", place.path / "link")
    os.utime(place.path / "link", ns=(1, 2), follow_symlinks=False)
    assert os.lstat(place.source / "link").st_mtime_ns == 2
    assert os.stat(path).st_mtime_ns == 42_000_000_043


def test_times_follow_changes(d):
    os.mkdir(d / "folder")
    path = make(d / "folder" / "file", b"x")
    for old in (path, d / "folder"):
        os.utime(old, ns=(10**18, 10**18))
    with open(path, "ab") as file:
        file.write(b"y")
    assert os.stat(path).st_mtime > 10**9 + 1
    assert os.stat(d / "folder").st_mtime_ns == 10**18
    make(d / "folder" / "other")
    assert os.stat(d / "folder").st_mtime > 10**9 + 1
    changed = os.stat(path).st_ctime_ns
    time.sleep(0.02)
    os.chmod(path, 0o600)
    assert os.stat(path).st_ctime_ns > changed


def test_stat_is_the_sources(place):
    path = make(place.path / "file", pattern.data(50_000))
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    mine, other = os.stat(path), os.stat(place.source / "file")
    for name in ("st_mode", "st_uid", "st_gid", "st_size", "st_nlink", "st_ino", "st_blocks"):
        assert getattr(mine, name) == getattr(other, name), name
    births = [
        subprocess.run(["stat", "-c", "%W", p], capture_output=True, check=True).stdout
        for p in (path, place.source / "file")
    ]
    assert births[0] == births[1]


def test_statvfs(place):
    mine, other = os.statvfs(place.path), os.statvfs(place.source)
    for name in ("f_bsize", "f_frsize", "f_blocks", "f_files", "f_namemax"):
        assert getattr(mine, name) == getattr(other, name), name
    assert 0 < mine.f_bavail <= mine.f_blocks


def test_access(d):
    path = make(d / "file")
    os.chmod(path, 0o644)
    assert os.access(path, os.R_OK | os.W_OK)
    assert not os.access(path, os.X_OK)
    assert not os.access(d / "missing", os.F_OK)
    os.chmod(path, 0o755)
    assert os.access(path, os.X_OK)


def test_extended_attributes(place):
    path, source = make(place.path / "file"), place.source / "file"
    os.setxattr(path, "user.one", b"1")
    os.setxattr(path, "user.empty", b"")
    os.setxattr(path, "user.bytes", bytes(range(256)))
    os.setxattr(path, "trusted.only", b"root")
    assert sorted(n for n in os.listxattr(path) if n != "security.selinux") == [
        "trusted.only",
        "user.bytes",
        "user.empty",
        "user.one",
    ]
    assert os.getxattr(path, "user.bytes") == bytes(range(256)) == os.getxattr(source, "user.bytes")
    assert os.getxattr(path, "user.empty") == b""
    expect(errno.EEXIST, os.setxattr, path, "user.one", b"2", os.XATTR_CREATE)
    expect(errno.ENODATA, os.setxattr, path, "user.two", b"2", os.XATTR_REPLACE)
    os.setxattr(path, "user.one", b"a longer value", os.XATTR_REPLACE)
    assert os.getxattr(source, "user.one") == b"a longer value"
    os.removexattr(path, "user.one")
    expect(errno.ENODATA, os.getxattr, path, "user.one")
    expect(errno.ENODATA, os.removexattr, path, "user.one")
    os.mkdir(place.path / "folder")
    os.setxattr(place.path / "folder", "user.folder", b"yes")
    assert os.getxattr(place.source / "folder", "user.folder") == b"yes"
    os.symlink("file", place.path / "link")
    expect(errno.EPERM, os.setxattr, place.path / "link", "user.x", b"", follow_symlinks=False)
    assert os.getxattr(place.path / "link", "user.empty") == b""


def test_large_extended_attributes(place):
    path, source = make(place.path / "file"), place.source / "file"
    for size in (1000, 3000, 60_000):
        value = pattern.data(size)
        try:
            os.setxattr(source, "user.large", value)
        except OSError as error:
            expect(error.errno, os.setxattr, path, "user.large", value)
            continue
        os.setxattr(path, "user.large", value)
        assert os.getxattr(path, "user.large") == value == os.getxattr(source, "user.large")
    if "user.large" in os.listxattr(path):
        os.removexattr(path, "user.large")
    for index in range(30):
        os.setxattr(path, f"user.{index}-{'n' * 60}", b"v")
    assert sorted(os.listxattr(path)) == sorted(os.listxattr(source))


# Space


def test_fallocate(place):
    """Each mode does through the mount what it does to a twin beside it."""
    content = pattern.data(300_000)
    make(place.path / "file", content)
    make(place.source / "twin", content)
    mine = os.open(place.path / "file", os.O_RDWR)
    twin = os.open(place.source / "twin", os.O_RDWR)
    for mode, offset, length in (
        (0, 0, 400_000),
        (libc.FALLOC_KEEP_SIZE, 400_000, 100_000),
        (libc.FALLOC_PUNCH_HOLE | libc.FALLOC_KEEP_SIZE, 8192, 65_536),
        (libc.FALLOC_PUNCH_HOLE | libc.FALLOC_KEEP_SIZE, 100_001, 20_003),
        (libc.FALLOC_ZERO_RANGE, 150_000, 10_000),
        (libc.FALLOC_ZERO_RANGE | libc.FALLOC_KEEP_SIZE, 390_000, 50_000),
        (libc.FALLOC_COLLAPSE_RANGE, 4096, 8192),
        (libc.FALLOC_INSERT_RANGE, 4096, 8192),
        (libc.FALLOC_PUNCH_HOLE, 0, 4096),
        (0, 0, 0),
    ):
        outcomes = []
        for fd in (mine, twin):
            try:
                libc.fallocate(fd, mode, offset, length)
                outcomes.append("done")
            except OSError as error:
                outcomes.append(errno.errorcode[error.errno])
        unsupported = mode & (libc.FALLOC_COLLAPSE_RANGE | libc.FALLOC_INSERT_RANGE)
        if not unsupported:  # the kernel's FUSE refuses these two without asking
            assert outcomes[0] == outcomes[1], (mode, offset, length)
        elif outcomes[0] != outcomes[1]:
            assert outcomes[0] == errno.errorcode[errno.EOPNOTSUPP]
            # undo what only the twin did
            os.ftruncate(twin, 0)
            pattern.pwrite_all(twin, pattern.pread_all(mine, 1 << 20, 0), 0)
            continue
        assert os.fstat(mine).st_size == os.fstat(twin).st_size
        pattern.assert_same(
            pattern.pread_all(mine, 1 << 20, 0), pattern.pread_all(twin, 1 << 20, 0), str(mode)
        )
    os.close(mine)
    os.close(twin)


def test_holes(place):
    fd = os.open(place.path / "file", os.O_RDWR | os.O_CREAT, 0o644)
    for offset in (0, 1 << 20, 3 << 20):
        pattern.pwrite_all(fd, pattern.data(65_536), offset)
    os.ftruncate(fd, 5 << 20)
    os.fsync(fd)
    other = os.open(place.source / "file", os.O_RDONLY)
    for whence in (os.SEEK_DATA, os.SEEK_HOLE):
        for offset in (0, 1, 65_536, 500_000, 1 << 20, 2 << 20, (3 << 20) + 5):
            assert os.lseek(fd, offset, whence) == os.lseek(other, offset, whence)
    expect(errno.ENXIO, os.lseek, fd, 4 << 20, os.SEEK_DATA)
    expect(errno.ENXIO, os.lseek, fd, 5 << 20, os.SEEK_HOLE)
    assert os.lseek(fd, -10, os.SEEK_END) == (5 << 20) - 10
    expect(errno.EINVAL, os.lseek, fd, -1, os.SEEK_SET)
    os.close(fd)
    os.close(other)


def test_copy_file_range(d):
    content = pattern.data(3_000_000)
    source = os.open(make(d / "a", content), os.O_RDONLY)
    target = os.open(d / "b", os.O_RDWR | os.O_CREAT, 0o644)
    done = 0
    while done < len(content):
        step = os.copy_file_range(source, target, len(content) - done)
        assert step > 0
        done += step
    pattern.assert_same(read(d / "b"), content, "whole")
    assert os.copy_file_range(source, target, 1000, 12_345, 77) == 1000
    wanted = bytearray(content)
    wanted[77:1077] = content[12_345:13_345]
    pattern.assert_same(read(d / "b"), bytes(wanted), "a piece")
    assert os.copy_file_range(source, target, 1000, len(content), 0) == 0
    os.close(source)
    os.close(target)


def test_unnamed_file(place):
    fd = os.open(place.path, os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"unnamed")
    assert os.fstat(fd).st_nlink == 0
    assert os.listdir(place.path) == []
    libc.link_descriptor(fd, place.path / "named")
    assert os.fstat(fd).st_nlink == 1
    os.close(fd)
    assert read(place.path / "named") == b"unnamed" == read(place.source / "named")
    assert stat.S_IMODE(os.stat(place.path / "named").st_mode) == 0o640
    fd = os.open(place.path, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    expect(errno.ENOENT, libc.link_descriptor, fd, place.path / "x")
    os.close(fd)
    assert os.listdir(place.path) == ["named"]
