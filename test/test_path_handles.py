# SPDX-License-Identifier: GPL-2.0-only
"""
What file servers do with a filesystem of paths: they keep handles, and come back with them after
the kernel has forgotten what they are of. It then looks up "." in a node, and ".." in a
directory, up to one that it knows; and lists directories for the names.
"""

import ctypes
import errno
import os
import re

import pytest

from fusetest.child import call, run
from test_fs_path import serve

pytestmark = [pytest.mark.sanitize, pytest.mark.transport("dev-multi", "io_uring")]

_libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100


class FileHandle(ctypes.Structure):
    _fields_ = [
        ("bytes", ctypes.c_uint),
        ("type", ctypes.c_int),
        ("data", ctypes.c_ubyte * 128),
    ]


def handle_of(path):
    """What names a file or directory as long as it is there, whatever it is called."""
    handle, mount = FileHandle(bytes=128), ctypes.c_int()
    name = os.fsencode(path)
    if _libc.name_to_handle_at(AT_FDCWD, name, ctypes.byref(handle), ctypes.byref(mount), 0):
        raise OSError(ctypes.get_errno(), "name_to_handle_at", str(path))
    return bytes(handle)


def open_handle(root, data, flags=os.O_RDONLY):
    """A descriptor of what the handle names, in the mount with the descriptor root."""
    handle = FileHandle.from_buffer_copy(data)
    fd = _libc.open_by_handle_at(root, ctypes.byref(handle), flags)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "open_by_handle_at")
    return fd


def forget_everything():
    run(["sh", "-c", "sync; echo 2 > /proc/sys/vm/drop_caches"])


def path_by_handle(top, data):
    root = os.open(top, os.O_RDONLY)
    fd = open_handle(root, data)
    path = os.readlink(f"/proc/self/fd/{fd}")
    os.close(fd)
    os.close(root)
    return path


def read_by_handle(top, data):
    root = os.open(top, os.O_RDONLY)
    with open(open_handle(root, data)) as file:
        text = file.read()
    os.close(root)
    return text


def fails_with(number, function, *args):
    with pytest.raises(OSError) as caught:
        call(function, *args)
    assert errno.errorcode[caught.value.errno] == errno.errorcode[number]


def looked_up(mount, name):
    """
    How often the kernel has looked up a name, by what the server says of requests: their size,
    which is that of a header and a string. No other name here is as short as dots are.
    """
    size = 40 + len(name) + 1
    return len(re.findall(rf"LOOKUP: node \d+, {size} bytes", mount.log()))


def make_folders(top):
    (top / "one" / "two" / "three").mkdir(parents=True)
    (top / "one" / "two" / "three" / "file").write_text("found again\n")
    (top / "one" / "other").mkdir()


def test_handles_of_what_was_forgotten(work, transport):
    with serve(work, transport, "passthrough", "noforget", "debug") as mount:
        make_folders(mount.source)
        deep = mount.path / "one" / "two" / "three"
        folder, file = call(handle_of, deep), call(handle_of, deep / "file")
        call(forget_everything)
        assert looked_up(mount, ".") == looked_up(mount, "..") == 0
        assert call(read_by_handle, mount.path, file) == "found again\n"
        assert looked_up(mount, ".") > 0
        call(forget_everything)
        assert call(path_by_handle, mount.path, folder) == str(deep)
        assert looked_up(mount, "..") > 0


def test_handles_of_what_was_moved(work, transport):
    """And the directories above it, too."""
    with serve(work, transport, "passthrough", "noforget") as mount:
        make_folders(mount.source)
        one = mount.path / "one"
        folder = call(handle_of, one / "two" / "three")
        file = call(handle_of, one / "two" / "three" / "file")
        call(os.rename, one / "two", one / "other" / "moved")
        call(os.rename, one, mount.path / "1")
        call(forget_everything)
        moved = mount.path / "1" / "other" / "moved" / "three"
        assert call(path_by_handle, mount.path, folder) == str(moved)
        call(forget_everything)
        assert call(read_by_handle, mount.path, file) == "found again\n"


def test_handles_of_what_is_gone(work, transport):
    with serve(work, transport, "passthrough", "noforget") as mount:
        make_folders(mount.source)
        path = mount.path / "one" / "two" / "three" / "file"
        file, folder = call(handle_of, path), call(handle_of, mount.path / "one" / "other")
        call(os.unlink, path)
        call(os.rmdir, mount.path / "one" / "other")
        call(forget_everything)
        fails_with(errno.ESTALE, read_by_handle, mount.path, file)
        fails_with(errno.ESTALE, path_by_handle, mount.path, folder)


def test_without_remembering_there_is_no_way_back(work, transport):
    with serve(work, transport, "passthrough") as mount:
        make_folders(mount.source)
        path = mount.path / "one" / "two" / "three" / "file"
        file = call(handle_of, path)
        call(forget_everything)
        fails_with(errno.ESTALE, read_by_handle, mount.path, file)
        assert call(path.read_text) == "found again\n"
