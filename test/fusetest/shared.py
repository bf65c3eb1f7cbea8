# SPDX-License-Identifier: GPL-2.0-only
"""Clients of test/fs/shared_memory.c, and what they share with it."""

import fcntl
import mmap
import os

from . import kernel
from .mount import Mount

SIZE = (16 << 20) - 123  # of its files
WAYS = ["payload", "buf", "data", "fd", "filled"]

_ADD_SEALS, _GET_SEALS = 1033, 1034
SHRINK, GROW, WRITE, FUTURE_WRITE = 2, 4, 8, 16
MFD_HUGETLB = 4


class Memory:
    """A memfd, mapped; as a client has it."""

    def __init__(self, size=8 << 20, seals=SHRINK | GROW, flags=0):
        self.size = size
        self.fd = os.memfd_create("shared", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | flags)
        os.ftruncate(self.fd, size)
        # A mapping for writing has to be there before the seals that forbid another one.
        self.map = mmap.mmap(self.fd, size)
        self.bytes = memoryview(self.map)
        if seals & ~WRITE:
            fcntl.fcntl(self.fd, _ADD_SEALS, seals & ~WRITE)
        if seals & WRITE:
            self.unmap()
            fcntl.fcntl(self.fd, _ADD_SEALS, WRITE)

    @property
    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def private(self):
        """Another mapping, whose pages are the file's until they are written to."""
        flags, access = mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE
        return mmap.mmap(self.fd, self.size, flags=flags, prot=access)

    def unmap(self):
        if self.map:
            self.bytes.release()
            self.map.close()
        self.map = None

    def close(self):
        self.unmap()
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def has_seals(path):
    """Is it a file that there can be seals for, or is that unheard of?"""
    with open(path, "rb") as file:
        try:
            fcntl.fcntl(file, _GET_SEALS)
        except OSError:
            return False
    return True


def serve(work, transport, *options, **kwargs):
    return Mount(work, transport, program="test/fs/shared_memory", options=options, **kwargs)


def is_shared(mount):
    """Can its requests say where in shared memory their data are?"""
    return mount.transport.is_uring and kernel.takes_shared_memory()


# To be called in a child, like all that touches a mount.


def add(path, memory_path, name="user.add"):
    os.setxattr(path, name, memory_path.encode())
    return int(os.getxattr(path, "user.id"))


def remove(path, number):
    os.setxattr(path, "user.remove", str(number).encode())


def held(path):
    return int(os.getxattr(path, "user.held"))


def go(path):
    os.setxattr(path, "user.go", b"1")


def seen(path):
    """(reads, writes, those that were elsewhere) in shared memory, as the handlers saw them."""
    return tuple(map(int, os.getxattr(path, "user.seen").split()))


def opened(path):
    return os.open(path, os.O_RDWR | os.O_DIRECT)
