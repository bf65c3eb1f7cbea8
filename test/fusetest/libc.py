# SPDX-License-Identifier: GPL-2.0-only
"""What Python's os module does not offer of the C library."""

import contextlib
import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
FALLOC_KEEP_SIZE = 0x01
FALLOC_PUNCH_HOLE = 0x02
FALLOC_COLLAPSE_RANGE = 0x08
FALLOC_ZERO_RANGE = 0x10
FALLOC_INSERT_RANGE = 0x20
UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2
PROT_READ = 1
PROT_WRITE = 2
MAP_SHARED = 1
CLONE_NEWNS = 0x20000

_AT_FDCWD = -100
_AT_SYMLINK_FOLLOW = 0x400

_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.opendir.restype = ctypes.c_void_p
_libc.readdir.argtypes = [ctypes.c_void_p]
_libc.telldir.argtypes = [ctypes.c_void_p]
_libc.telldir.restype = ctypes.c_long
_libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
_libc.rewinddir.argtypes = [ctypes.c_void_p]
_libc.closedir.argtypes = [ctypes.c_void_p]


class _Dirent(ctypes.Structure):
    _fields_ = [
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_ushort),
        ("d_type", ctypes.c_ubyte),
        ("d_name", ctypes.c_char * 256),
    ]


class _Timespec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]


_libc.readdir.restype = ctypes.POINTER(_Dirent)


def _check(result, path=None):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def renameat2(old, new, flags):
    result = _libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flags)
    _check(result, old)


def link_descriptor(fd, new):
    """Gives an open file a name."""
    old = f"/proc/self/fd/{fd}"
    result = _libc.linkat(
        _AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _AT_SYMLINK_FOLLOW
    )
    _check(result, new)


def fallocate(fd, mode, offset, length):
    _check(_libc.fallocate(fd, mode, offset, length))


def utimensat(path, atime, mtime, flags=0):
    """Each time is a pair of seconds and nanoseconds."""
    times = (_Timespec * 2)(_Timespec(*atime), _Timespec(*mtime))
    _check(_libc.utimensat(_AT_FDCWD, os.fsencode(path), times, flags), path)


def syncfs(fd):
    _check(_libc.syncfs(fd))


def mount(source, target, fstype, flags, data):
    encoded = [os.fsencode(str(word)) for word in (source, target, fstype)]
    result = _libc.mount(*encoded, ctypes.c_ulong(flags), os.fsencode(data))
    _check(result, target)


def unmount_lazily(target):
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), target)


def own_mount_namespace():
    """What this process mounts from now on, it and its children alone see."""
    _check(_libc.unshare(CLONE_NEWNS))
    mount("none", "/", "none", MS_REC | MS_PRIVATE, "")


@contextlib.contextmanager
def _mapped(fd, length, protection):
    """The address of a shared mapping of a file, from its start."""
    address = _libc.mmap(None, length, protection, MAP_SHARED, fd, 0)
    if address == ctypes.c_void_p(-1).value:
        _check(-1)
    try:
        yield address
    finally:
        _libc.munmap(address, length)


@contextlib.contextmanager
def locked_in_memory(fd, length):
    """The pages of a file, from its start, cannot be reclaimed."""
    with _mapped(fd, length, PROT_READ) as address:
        _check(_libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(length)))
        yield


def mapped_bytes(fd, length, write=None):
    """
    What a shared mapping of a file shows, up to `length` even if the file is shorter. Where
    the file has no page the process dies, which is for children to find out. `write` is an
    optional (offset, bytes) to be put there before.
    """
    protection = PROT_READ | (PROT_WRITE if write else 0)
    with _mapped(fd, length, protection) as address:
        if write:
            offset, content = write
            ctypes.memmove(address + offset, content, len(content))
        return ctypes.string_at(address, length)


class Directory:
    """opendir(3) and what goes with it."""

    def __init__(self, path):
        self._stream = _libc.opendir(os.fsencode(path))
        if not self._stream:
            _check(-1, path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _libc.closedir(self._stream)

    def read(self):
        """(name, inode number, type), or None at the end."""
        ctypes.set_errno(0)
        entry = _libc.readdir(self._stream)
        if not entry:
            if ctypes.get_errno():
                _check(-1)
            return None
        found = entry.contents
        return os.fsdecode(found.d_name), found.d_ino, found.d_type

    def read_all(self):
        entries = []
        while (entry := self.read()) is not None:
            entries.append(entry)
        return entries

    def tell(self):
        return _libc.telldir(self._stream)

    def seek(self, position):
        _libc.seekdir(self._stream, position)

    def rewind(self):
        _libc.rewinddir(self._stream)


# statx(2)

STATX_BASIC_STATS = 0x7FF
STATX_BTIME = 0x800


class _StatxTime(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_int64), ("nsec", ctypes.c_uint32), ("_pad", ctypes.c_int32)]


class Statx(ctypes.Structure):
    """struct statx. btime_ns and the like are properties for comparing."""

    _fields_ = [
        ("mask", ctypes.c_uint32),
        ("blksize", ctypes.c_uint32),
        ("attributes", ctypes.c_uint64),
        ("nlink", ctypes.c_uint32),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("mode", ctypes.c_uint16),
        ("_pad", ctypes.c_uint16),
        ("ino", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("blocks", ctypes.c_uint64),
        ("attributes_mask", ctypes.c_uint64),
        ("atime", _StatxTime),
        ("btime", _StatxTime),
        ("ctime", _StatxTime),
        ("mtime", _StatxTime),
        ("rdev_major", ctypes.c_uint32),
        ("rdev_minor", ctypes.c_uint32),
        ("_rest", ctypes.c_uint64 * 15),
    ]

    @property
    def btime_ns(self):
        return self.btime.sec * 10**9 + self.btime.nsec

    @property
    def mtime_ns(self):
        return self.mtime.sec * 10**9 + self.mtime.nsec


def statx(path, mask=STATX_BASIC_STATS | STATX_BTIME, flags=0):
    found = Statx()
    result = _libc.statx(
        _AT_FDCWD, os.fsencode(path), flags, ctypes.c_uint(mask), ctypes.byref(found)
    )
    _check(result, path)
    return found


# inotify(7)

IN_DELETE_SELF = 0x400


class Watch:
    """inotify events of one path."""

    def __init__(self, path, mask):
        self.fd = _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        _check(_libc.inotify_add_watch(self.fd, os.fsencode(path), mask), path)

    def events(self):
        """[(mask, name)] of what has come since the last call."""
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(data):
            mask, _, length = (
                int.from_bytes(data[at + i : at + i + 4], "little") for i in (4, 8, 12)
            )
            found.append((mask, os.fsdecode(data[at + 16 : at + 16 + length].rstrip(b"\0"))))
            at += 16 + length
        return found
