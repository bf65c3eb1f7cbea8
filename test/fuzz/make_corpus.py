#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make_corpus.py FOLDER: writes the inputs that fuzz_process_buf starts from.

One valid message for each opcode, alone and in the company of others, in every mode of the
target. The file format is described in fuzz_process_buf.c.
"""

import re
import struct
import sys
from pathlib import Path

PROTOCOL = Path(__file__).resolve().parents[2] / "include" / "fuse_kernel.h"

# The modes of fuzz_process_buf.c.
NO_INIT, OLD_INIT, KEEP_LENGTH, DEBUG, IN_PIPE, NO_OPERATIONS, SEND_FAILS, SIMPLE_CALLS = (
    1 << bit for bit in range(8)
)
MODES = (
    0,
    NO_INIT,
    OLD_INIT,
    KEEP_LENGTH | DEBUG,
    IN_PIPE,
    NO_OPERATIONS | DEBUG,
    SEND_FAILS,
    SIMPLE_CALLS,
)

# Opcodes that are never sent: they only mark a peer of the other byte order.
RESERVED = {"CUSE_INIT_BSWAP_RESERVED", "FUSE_INIT_BSWAP_RESERVED"}

FH = 3
NODE = 1
SIZE = 4096


def pack(layout, *values):
    """Fields of fixed width: B, H, I, Q and their signed forms, without gaps."""
    return struct.pack("=" + layout, *values)


def names(*strings):
    return b"".join(string.encode() + b"\0" for string in strings)


READ = pack("QQIIQII", FH, 0, SIZE, 0, 0, 0, 0)
LOCK = pack("QQQQIIII", FH, 7, 0, 99, 1, 1234, 0, 0)
GROUPS = pack("IIIIII", 24, 32, 2, 10, 20, 0)
LABEL = pack("IIII", 40, 1, 5, 0) + names("security.x", "u:r:t") + b"\0" * 7

# What follows the header: opcode -> the argument and all behind it.
BODIES = {
    "FUSE_LOOKUP": names("name"),
    "FUSE_FORGET": pack("Q", 1),
    "FUSE_GETATTR": pack("IIQ", 1, 0, FH),
    "FUSE_SETATTR": pack("IIQQQQQQIIIIIIII", 0x7FF, 0, FH, SIZE, 7, *range(11)),
    "FUSE_READLINK": b"",
    "FUSE_SYMLINK": names("name", "target"),
    "FUSE_MKNOD": pack("IIII", 0o100644, 0, 0o22, 0) + names("name"),
    "FUSE_MKDIR": pack("II", 0o755, 0o22) + names("name"),
    "FUSE_UNLINK": names("name"),
    "FUSE_RMDIR": names("name"),
    "FUSE_RENAME": pack("Q", NODE) + names("name", "new"),
    "FUSE_LINK": pack("Q", 2) + names("new"),
    "FUSE_OPEN": pack("II", 2, 0),
    "FUSE_READ": READ,
    "FUSE_WRITE": pack("QQIIQII", FH, 0, 100, 2, 7, 0, 0) + b"d" * 100,
    "FUSE_STATFS": b"",
    "FUSE_RELEASE": pack("QIIQ", FH, 2, 3, 7),
    "FUSE_FSYNC": pack("QII", FH, 1, 0),
    "FUSE_SETXATTR": pack("IIII", 5, 0, 1, 0) + names("user.name") + b"value",
    "FUSE_GETXATTR": pack("II", SIZE, 0) + names("user.name"),
    "FUSE_LISTXATTR": pack("II", SIZE, 0),
    "FUSE_REMOVEXATTR": names("user.name"),
    "FUSE_FLUSH": pack("QIIQ", FH, 0, 0, 7),
    "FUSE_INIT": pack("IIIII44x", 7, 46, 131072, 0xFFFFFFFF, 0xFFFFFFFF),
    "FUSE_OPENDIR": pack("II", 0, 0),
    "FUSE_READDIR": READ,
    "FUSE_RELEASEDIR": pack("QIIQ", FH, 0, 0, 0),
    "FUSE_FSYNCDIR": pack("QII", FH, 0, 0),
    "FUSE_GETLK": LOCK,
    "FUSE_SETLK": LOCK,
    "FUSE_SETLKW": LOCK,
    "FUSE_ACCESS": pack("II", 4, 0),
    "FUSE_CREATE": pack("IIII", 0o102, 0o644, 0o22, 0) + names("name"),
    "FUSE_INTERRUPT": pack("Q", 16),
    "FUSE_BMAP": pack("QII", 1, SIZE, 0),
    "FUSE_DESTROY": b"",
    "FUSE_IOCTL": pack("QIIQII", FH, 0, 0x5401, 0, 8, 60) + b"i" * 8,
    "FUSE_POLL": pack("QQII", FH, 5, 1, 1),
    "FUSE_NOTIFY_REPLY": pack("QQIIQQ", 0, 0, 50, 0, 0, 0) + b"r" * 50,
    "FUSE_BATCH_FORGET": pack("II", 2, 0) + pack("QQQQ", 2, 1, 3, 2),
    "FUSE_FALLOCATE": pack("QQQII", FH, 0, SIZE, 3, 0),
    "FUSE_READDIRPLUS": READ,
    "FUSE_RENAME2": pack("QII", NODE, 1, 0) + names("name", "new"),
    "FUSE_LSEEK": pack("QQII", FH, 0, 3, 0),
    "FUSE_COPY_FILE_RANGE": pack("QQQQQQQ", FH, 0, 2, 4, 0, SIZE, 0),
    "FUSE_SETUPMAPPING": pack("QQQQQ", FH, 0, SIZE, 1, 0),
    "FUSE_REMOVEMAPPING": pack("IQQ", 1, 0, SIZE),
    "FUSE_SYNCFS": pack("Q", 0),
    "FUSE_TMPFILE": pack("IIII", 0o20200002, 0o644, 0o22, 0) + names("/"),
    "FUSE_STATX": pack("IIQII", 1, 0, FH, 0, 0xFFF),
    "FUSE_COPY_FILE_RANGE_64": pack("QQQQQQQ", FH, 0, 2, 4, 0, SIZE << 32, 0),
    "CUSE_INIT": pack("IIII", 7, 46, 0, 1),
}

# Second forms of some opcodes, which take another way through the library.
VARIANTS = {
    "FUSE_GETATTR": [pack("IIQ", 0, 0, 0)],
    "FUSE_INIT": [
        pack("IIII", 7, 26, 131072, 0x1FFFFF),
        pack("IIII", 8, 0, 0, 0),
        pack("II", 6, 1),
    ],
    "FUSE_GETXATTR": [pack("II", 0, 0) + names("user.name")],
    "FUSE_LISTXATTR": [pack("II", 0, 0)],
    "FUSE_SETXATTR": [pack("II", 5, 0) + names("user.name") + b"value"],
    "FUSE_SETLK": [pack("QQQQIIII", FH, 7, 0, 2**63 - 1, 2, 1234, 1, 0)],
    "FUSE_SETLKW": [pack("QQQQIIII", FH, 7, 0, 2**63 - 1, 0, 1234, 1, 0)],
    "FUSE_IOCTL": [pack("QIIQII", FH, 0x12, 0xC0045400, 4096, 4, 4) + b"iiii"],
    "FUSE_INTERRUPT": [pack("Q", 1)],
}

# Requests that may carry extensions behind their arguments.
EXTENDED = ("FUSE_MKDIR", "FUSE_MKNOD", "FUSE_CREATE", "FUSE_SYMLINK", "FUSE_TMPFILE")


def opcodes():
    """Name -> number, as the protocol's header has them."""
    enum = re.search(r"enum fuse_opcode \{(.*?)\};", PROTOCOL.read_text(), re.S).group(1)
    found = re.findall(r"^\s*(\w+) = (\d+),", enum, re.M)
    return {name: int(number) for name, number in found if name not in RESERVED}


def message(opcode, body, unique=16, extensions=b""):
    body += extensions
    header = pack(
        "IIQQIIIHH",
        40 + len(body), opcode, unique, NODE, 1000, 1000, 1234, len(extensions) // 8, 0,
    )  # fmt: skip
    return header + body


def padded(body):
    return body + b"\0" * (-len(body) % 8)


def write_input(path, mode, seed, messages):
    parts = [struct.pack("<H", len(each)) + each for each in messages]
    path.write_bytes(bytes((mode, seed)) + b"".join(parts))


def write_corpus(folder):
    numbers = opcodes()
    assert numbers.keys() == BODIES.keys(), (
        f"opcodes of the header and of this file differ: {numbers.keys() ^ BODIES.keys()}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    alone = {}
    for name, number in numbers.items():
        alone[name] = message(number, BODIES[name])
        for index, body in enumerate(VARIANTS.get(name, ())):
            alone[f"{name}.{index}"] = message(number, body)
        if name in EXTENDED:
            body = padded(BODIES[name])
            alone[f"{name}.groups"] = message(number, body, extensions=GROUPS)
            alone[f"{name}.label"] = message(number, body, extensions=LABEL)
    for name, single in alone.items():
        for mode in MODES:
            write_input(folder / f"{name}-{mode:02x}", mode, 1, [single])

    # All of them in one session. Different seeds make different replies.
    session = [
        message(numbers[name], BODIES[name], unique=2 * index + 16)
        for index, name in enumerate(BODIES)
        if name not in ("FUSE_INIT", "CUSE_INIT", "FUSE_DESTROY")
    ]
    for seed in range(32):
        write_input(folder / f"session-{seed:02}", MODES[seed % len(MODES)], seed, session)

    # Pairs: an interrupt before and after what it interrupts, and replies to retrievals,
    # which the target asks for between messages; the library numbers them from small.
    request = message(numbers["FUSE_READ"], BODIES["FUSE_READ"])
    interrupt = message(numbers["FUSE_INTERRUPT"], BODIES["FUSE_INTERRUPT"], unique=17)
    retrieved = [
        message(numbers["FUSE_NOTIFY_REPLY"], BODIES["FUSE_NOTIFY_REPLY"], unique=unique)
        for unique in range(5)
    ]
    for seed in range(16):
        pairs = [interrupt, request, interrupt, request, interrupt]
        write_input(folder / f"interrupt-{seed:02}", 0, seed, pairs)
        write_input(folder / f"retrieve-{seed:02}", 0, seed, [request] * 20 + retrieved)
    write_input(folder / "empty", 0, 0, [])
    return len(list(folder.iterdir()))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    print(f"{write_corpus(Path(sys.argv[1]))} inputs")
