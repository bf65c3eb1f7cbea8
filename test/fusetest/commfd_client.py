# SPDX-License-Identifier: GPL-2.0-only
"""Stands in for a file system that mounts through fusermount3.

    commfd_client.py FUSERMOUNT3 ARGUMENT...

Runs the program with a socket in _FUSE_COMMFD, prints one line of JSON about what came of it,
and then holds on to what it got until its stdin ends. Needs nothing but the standard library,
since it also runs as users who may not read the test suite.

Environment: CLIENT_STAYS=1 does not wait for the program once it has sent a descriptor;
CLIENT_DEAF=1 closes its end of the socket at once; CLIENT_INHERIT=N leaves N descriptors for
the program to inherit.
"""

import array
import json
import os
import socket
import subprocess
import sys


def receive(sock):
    """The descriptor sent over the socket, or None at its end."""
    size = socket.CMSG_LEN(array.array("i").itemsize)
    data, control, _, _ = sock.recvmsg(1, size)
    for level, kind, body in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return array.array("i", body[:4])[0]
    return None


def main():
    deaf, stays = (os.environ.pop(name, "") for name in ("CLIENT_DEAF", "CLIENT_STAYS"))
    extra = [os.open("/", os.O_RDONLY) for _ in range(int(os.environ.pop("CLIENT_INHERIT", 0)))]
    ours, theirs = socket.socketpair()
    if deaf:
        ours.close()
    process = subprocess.Popen(
        sys.argv[1:],
        env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
        pass_fds=[theirs.fileno(), *extra],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    theirs.close()
    fd = None if deaf else receive(ours)
    status, out, err = None, "", ""
    if not (stays and fd is not None):
        out, err = process.communicate()
        status = process.returncode
    result = {
        "pid": os.getpid(),
        "program": process.pid,
        "device": None if fd is None else os.readlink(f"/proc/self/fd/{fd}"),
        "status": status,
        "out": out,
        "err": err,
    }
    print(json.dumps(result), flush=True)
    sys.stdin.read()


main()
