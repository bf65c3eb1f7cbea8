# SPDX-License-Identifier: GPL-2.0-only
"""
example/hello_ll_uds: a filesystem at the end of a Unix socket. Mounted here by passing messages
between the kernel and the socket; and spoken to directly.
"""

import os
import select
import socket
import struct
import subprocess
import time

import pytest

from fusetest import libc
from fusetest.build import BUILD
from fusetest.child import Child
from fusetest.mount import SANITIZER_REPORT

pytestmark = pytest.mark.sanitize

HEADER = struct.Struct("=IIQQIIIHH")  # fuse_in_header
OUT = struct.Struct("=IiQ")  # fuse_out_header
INIT, GETATTR, READ = 26, 3, 15
LARGEST = 1 << 20


class Server:
    def __init__(self, work, *options):
        self.path = work / "socket"
        self.log_path = work / "server.log"
        self.command = [BUILD.program("example/hello_ll_uds"), *options, str(self.path)]

    def __enter__(self):
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        deadline = time.monotonic() + 10 * BUILD.slowdown
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10 * BUILD.slowdown)
        while True:
            try:
                self.socket.connect(str(self.path))
                return self
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.process.poll() is None, self.log_path.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def __exit__(self, kind, error, trace):
        """The end of the connection is the end of the server."""
        self.socket.close()
        try:
            status = self.process.wait(10 * BUILD.slowdown)
        finally:
            self.process.kill()
        log = self.log_path.read_text()
        assert status == 0 and not SANITIZER_REPORT.search(log), log
        assert not self.path.exists()


@pytest.fixture(params=[["-s"], []], ids=["single", "multi"])
def server(work, request):
    with Server(work, *request.param) as server:
        yield server


def ask(server, unique, opcode, argument=b"", node=1):
    message = HEADER.pack(HEADER.size + len(argument), opcode, unique, node, 0, 0, 0, 0, 0)
    server.socket.send(message + argument)
    answer = server.socket.recv(LARGEST)
    length, error, of = OUT.unpack_from(answer)
    assert (length, of) == (len(answer), unique)
    return error, answer[OUT.size :]


def init(server):
    return ask(server, 2, INIT, struct.pack("=IIII", 7, 40, 65536, 0))


def test_messages(server):
    error, answer = init(server)
    assert error == 0
    assert struct.unpack_from("=II", answer) == (7, 40)
    assert struct.unpack_from("=I", answer, 20) == (65536,), "max_write"
    error, answer = ask(server, 4, GETATTR, bytes(16))
    assert error == 0 and len(answer) == 104
    error, answer = ask(server, 6, READ, struct.pack("=QQIIQII", 0, 6, 5, 0, 0, 0, 0), node=2)
    assert (error, answer) == (0, b"World")
    assert ask(server, 8, 99)[0] == -38


def test_many_requests_at_once(server):
    """More than there are threads, answered in any order."""
    init(server)
    argument = struct.pack("=QQIIQII", 0, 0, 100, 0, 0, 0, 0)
    waiting = set()
    for unique in range(100, 300, 2):
        message = HEADER.pack(HEADER.size + len(argument), READ, unique, 2, 0, 0, 0, 0, 0)
        server.socket.send(message + argument)
        waiting.add(unique)
        if len(waiting) == 10:
            _, _, of = OUT.unpack_from(server.socket.recv(LARGEST))
            waiting.remove(of)
    while waiting:
        answer = server.socket.recv(LARGEST)
        waiting.remove(OUT.unpack_from(answer)[2])
        assert answer[OUT.size :] == b"Hello World!\n"


def test_end_before_the_beginning(work):
    with Server(work):
        pass


def relay(device, connection):
    """Passes messages on until the kernel has none any more."""
    poll = select.poll()
    poll.register(device, select.POLLIN)
    poll.register(connection, select.POLLIN)
    while True:
        for fd, events in poll.poll():
            if fd != device:
                os.write(device, connection.recv(LARGEST))
                continue
            try:
                connection.send(os.read(device, LARGEST))
            except OSError:
                return  # unmounted


def look(path):
    names = sorted(os.listdir(path))
    return names, (path / "hello").read_bytes(), os.stat(path / "hello").st_size


def test_mounted(server, work):
    point = work / "mnt"
    point.mkdir()
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    libc.mount("uds", str(point), "fuse.hello_ll_uds", libc.MS_NOSUID | libc.MS_NODEV, options)
    passing = Child(relay, device, server.socket)
    os.close(device)
    try:
        for _ in range(3):
            found = Child(look, point).result(20 * BUILD.slowdown)
            assert found == (["hello"], b"Hello World!\n", 13)
    finally:
        libc.unmount_lazily(str(point))
        passing.result(20 * BUILD.slowdown)


def test_wrong_calls(work):
    def run(*arguments):
        command = [BUILD.program("example/hello_ll_uds"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20)

    assert "one SOCKET" in run().stderr
    assert "one SOCKET" in run(str(work / "a"), str(work)).stderr
    assert "No such file" in run(str(work / "none" / "socket")).stderr
    assert "too long" in run("x" * 200).stderr
    assert "usage: " in run("--help").stdout
