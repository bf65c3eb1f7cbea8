# SPDX-License-Identifier: GPL-2.0-only
"""Mounts, gives up CAP_SYS_ADMIN for good, and becomes the server of the mount.

    without_privilege.py MOUNTPOINT COMMAND...

Each word MOUNTPOINT of the command is replaced by the descriptor of /dev/fuse, in the form
in which the library takes one that somebody else has mounted.
"""

import ctypes
import os
import sys

CAP_SYS_ADMIN = 21
PR_CAPBSET_DROP = 24
VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(fd, mountpoint):
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    source, kind = b"unprivileged", b"fuse.unprivileged"
    check(libc.mount(source, os.fsencode(mountpoint), kind, 6, os.fsencode(options)))


def give_up_privilege():
    head = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; and once more
    check(libc.prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0))
    check(libc.capget(head, sets))
    for index in range(3):
        sets[index] &= ~(1 << CAP_SYS_ADMIN)
    check(libc.capset(head, sets))


def main():
    mountpoint, command = sys.argv[1], sys.argv[2:]
    fd = os.open("/dev/fuse", os.O_RDWR)
    os.set_inheritable(fd, True)
    mount(fd, mountpoint)
    give_up_privilege()
    command = [f"/dev/fd/{fd}" if word == mountpoint else word for word in command]
    os.execv(command[0], command)


main()
