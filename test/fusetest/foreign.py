# SPDX-License-Identifier: GPL-2.0-only
"""
A FUSE server without any library: an empty folder, with /dev/fuse read and written by hand. It
does what any other library may do; of ioctls it knows none. Mounted on a file, it is a file, and
takes every ioctl for the one that fusestat asks with.

    python3 foreign.py MOUNTPOINT [mute]

"mute": the opcode of which it takes the first request, and all that come after it, in silence; as
a file it answers those of other opcodes still.
"""

import os
import stat
import struct
import sys
import time
from pathlib import Path

if __package__:
    from . import libc
else:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import libc

FILE = False
IN = struct.Struct("=IIQQIIIHH")  # len opcode unique nodeid uid gid pid extlen padding
OUT = struct.Struct("=IiQ")
GETATTR, OPEN, STATFS, RELEASE, FLUSH, INIT = 3, 14, 17, 18, 25, 26
OPENDIR, RELEASEDIR, ACCESS, IOCTL = 27, 29, 34, 39
ENOSYS, ENOTTY = 38, 25


def init(body):
    major, minor, readahead = struct.unpack_from("=III", body)
    return struct.pack("=IIIIHHIIHHIII20x", 7, 31, readahead, 0, 8, 8, 65536, 1, 16, 0, 0, 0, 0)


def attributes(_):
    attr = struct.pack("=QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0,
                       (stat.S_IFREG if FILE else stat.S_IFDIR) | 0o755, 2, os.getuid(), os.getgid(), 0, 4096, 0)
    return struct.pack("=QII", 1, 0, 0) + attr


def opened(_):
    return struct.pack("=QII", 0, 0, 0)


def nothing(_):
    return b""


def statistics(_):
    live = struct.pack("=IIQ4I16s16s16s", 1, 1040, time.monotonic_ns(), 0, 0, 0, os.getpid(),
                       b"foreign", b"", b"")
    return struct.pack("=iIII", 0, 0, 0, 0) + live + bytes(120 * 8)


ANSWERS = {
    INIT: init,
    GETATTR: attributes,
    OPEN: opened,
    OPENDIR: opened,
    FLUSH: nothing,
    RELEASE: nothing,
    RELEASEDIR: nothing,
    ACCESS: nothing,
}


def answer(fd, message):
    _, opcode, unique, *_ = IN.unpack_from(message)
    body, error = b"", 0
    if opcode in ANSWERS:
        body = ANSWERS[opcode](message[IN.size :])
    else:
        error = -(ENOTTY if opcode == IOCTL else ENOSYS)
    os.write(fd, OUT.pack(OUT.size + len(body), error, unique) + body)


def main(point, mute=None):
    global FILE
    FILE = os.path.isfile(point)
    if FILE:
        ANSWERS[IOCTL] = statistics
    mode = stat.S_IFREG if FILE else stat.S_IFDIR
    fd = os.open("/dev/fuse", os.O_RDWR)
    data = f"fd={fd},rootmode={mode:o},user_id={os.getuid()},group_id={os.getgid()}"
    libc.mount("foreign", point, "fuse.foreign", 0, data)
    silent = False
    while True:
        try:
            message = os.read(fd, 1 << 18)
        except OSError:
            return  # unmounted
        opcode = IN.unpack_from(message)[1]
        silent = opcode == mute or (silent and not FILE)
        if not silent and opcode not in (2, 36, 42):  # nobody waits
            answer(fd, message)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
