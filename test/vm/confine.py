# SPDX-License-Identifier: GPL-2.0-only
"""
Runs a guest in the namespaces that unshare(1) has made for it: whatever the guest's
kernel lets its root do, this machine's files stay as they are.

usage: confine.py RUN RESULTS PROGRAM...

RUN is the run's folder; in it `scratch` becomes a tmpfs for the guest's memory, and
`results` shows the folder RESULTS ('' for none), the only one of this machine that can be
written to. As the first process of its PID namespace this one takes all others with it,
and the mounts go with the namespace.
"""

import ctypes
import os
import struct
import sys

SYS_mount_setattr = 442
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
MOUNT_ATTR_RDONLY = 1
MS_BIND = 4096
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result < 0:
        sys.exit(f"vm: cannot confine the guest: {what}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, kind=None, flags=0, options=None):
    arguments = [argument and os.fsencode(argument) for argument in (source, target, kind)]
    result = libc.mount(*arguments, flags, options and os.fsencode(options))
    check(result, f"mount {target}")


def set_attributes(path, flags, on=0, off=0):
    attributes = struct.pack("QQQQ", on, off, 0, 0)
    result = libc.syscall(
        SYS_mount_setattr, AT_FDCWD, os.fsencode(path), flags, attributes, len(attributes)
    )
    check(result, f"mount_setattr {path}")


def let_go_of_servers():
    """
    Where mounts do not propagate, a copy of a FUSE mount would keep its server running after
    it has been unmounted outside. A server that does not answer must not hold us up.
    """
    with open("/proc/self/mountinfo", "rb") as table:
        lines = [line.split(b" - ", 1) for line in table]
    for fields, rest in reversed(lines):
        if rest.split()[0].partition(b".")[0] in (b"fuse", b"fuseblk"):
            point = fields.split()[4].decode("unicode_escape").encode("latin-1")
            libc.umount2(point, MNT_DETACH)


def confine(run, results):
    let_go_of_servers()
    mount("proc", "/proc", "proc")
    set_attributes("/", AT_RECURSIVE, on=MOUNT_ATTR_RDONLY)
    mount("scratch", f"{run}/scratch", "tmpfs", 0, "mode=0700,size=100%")
    if results:
        mount(results, f"{run}/results", None, MS_BIND)
        set_attributes(f"{run}/results", 0, off=MOUNT_ATTR_RDONLY)


def main(run, results, *program):
    confine(run, results)
    guest = os.fork()
    if guest == 0:
        os.execv(program[0], program)
    while True:
        ended, status = os.wait()
        if ended == guest:
            return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
