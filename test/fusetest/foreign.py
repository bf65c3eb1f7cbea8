# SPDX-License-Identifier: GPL-2.0-only
"""
A FUSE server without any library: an empty folder, with /dev/fuse read and written by hand. It
does what any other library may do; of ioctls it knows none.

    python3 foreign.py MOUNTPOINT [mute]

"mute": the opcode of which it takes the first request, and all that come after it, in silence.
"""

import os
import stat
import struct
import sys
from pathlib import Path

if __package__:
    from . import libc
else:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import libc

IN = struct.Struct("=IIQQIIIHH")  # len opcode unique nodeid uid gid pid extlen padding
OUT = struct.Struct("=IiQ")
GETATTR, STATFS, RELEASEDIR, INIT, OPENDIR, ACCESS, IOCTL = 3, 17, 29, 26, 27, 34, 39
ENOSYS, ENOTTY = 38, 25


def init(body):
    major, minor, readahead = struct.unpack_from("=III", body)
    return struct.pack("=IIIIHHIIHHIII20x", 7, 31, readahead, 0, 8, 8, 65536, 1, 16, 0, 0, 0, 0)


def attributes(_):
    attr = struct.pack("=QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0,
                       stat.S_IFDIR | 0o755, 2, os.getuid(), os.getgid(), 0, 4096, 0)
    return struct.pack("=QII", 1, 0, 0) + attr


ANSWERS = {
    INIT: init,
    GETATTR: attributes,
    OPENDIR: lambda _: struct.pack("=QII", 0, 0, 0),
    RELEASEDIR: lambda _: b"",
    ACCESS: lambda _: b"",
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
    fd = os.open("/dev/fuse", os.O_RDWR)
    data = f"fd={fd},rootmode={stat.S_IFDIR:o},user_id={os.getuid()},group_id={os.getgid()}"
    libc.mount("foreign", point, "fuse.foreign", 0, data)
    silent = False
    while True:
        try:
            message = os.read(fd, 1 << 18)
        except OSError:
            return  # unmounted
        silent = silent or IN.unpack_from(message)[1] == mute
        if not silent and IN.unpack_from(message)[1] not in (2, 36, 42):  # nobody waits
            answer(fd, message)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
