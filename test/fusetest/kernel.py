# SPDX-License-Identifier: GPL-2.0-only
"""
What the running kernel can do: its version, and which dialects of FUSE over io_uring it
speaks. It is asked, by a mount that lasts until its first request has been read.
"""

import functools
import os
import re
import struct
import tempfile
from pathlib import Path

import pytest

from . import child, libc

# Bits of FUSE_INIT's flags that announce a dialect, the oldest first. The first one announces what
# goes with several: data in memory that clients share.
_OFFERS = {
    "shared_memory": 1 << 61,
    "per_entry": 1 << 41,
    "bufring": 1 << 62,
    "bufpool": 1 << 43,
}

_INIT = 26
_HEADER = struct.Struct("=IIQQIIIHH")  # fuse_in_header
_INIT_IN = struct.Struct("=IIIII")  # fuse_init_in, as far as it matters


def version():
    """Such as (7, 3)."""
    return tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])


def is_at_least(text):
    return version() >= tuple(int(number) for number in text.split("."))


def skip_if_locks_are_proved():
    """
    For files that the kernel itself passes through: it takes the inode's lock, and then holds off
    freezing of the file system below. splice() to a file there, and splice() to a file of
    any FUSE mount, close the circle, over /dev/fuse and without a patch. Lockdep says so, once, and
    the guest has failed.
    """
    if os.path.exists("/proc/lockdep"):
        pytest.skip("lockdep objects to passthrough in Linux, and so would the guest")


def _init_flags():
    """The flags of the FUSE_INIT that this kernel sends. To be called in a child."""
    libc.own_mount_namespace()
    with tempfile.TemporaryDirectory(prefix="fuse-probe-") as folder:
        fd = os.open("/dev/fuse", os.O_RDWR)
        try:
            options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
            libc.mount("probe", folder, "fuse", libc.MS_NOSUID | libc.MS_NODEV, options)
            message = os.read(fd, 1 << 20)
        finally:
            os.close(fd)
            libc.unmount_lazily(folder)
    _, opcode, *_ = _HEADER.unpack_from(message)
    assert opcode == _INIT
    _, _, _, low, high = _INIT_IN.unpack_from(message, _HEADER.size)
    return low | high << 32


@functools.lru_cache(maxsize=None)
def dialects():
    """The names of the dialects that the kernel offers now, the oldest first."""
    flags = child.call(_init_flags, timeout=10)
    return tuple(name for name, bit in _OFFERS.items() if flags & bit)


def takes_shared_memory():
    return "shared_memory" in dialects()


def best_dialect():
    """What -o io_uring is expected to come to."""
    return dialects()[-1] if dialects() else "per_entry"


def uring_is_enabled():
    """Y, N, or why there is none."""
    parameter = Path("/sys/module/fuse/parameters/enable_uring")
    return parameter.read_text().strip() if parameter.exists() else "not in this kernel"
