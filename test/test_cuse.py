# SPDX-License-Identifier: GPL-2.0-only
"""
example/cuse: a device whose driver is a program. Kernels without CONFIG_CUSE leave these out;
the rig's guests have it.
"""

import array
import errno
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from fusetest import pattern
from fusetest.build import BUILD
from fusetest.child import Child, run
from fusetest.mount import SANITIZER_REPORT
from fusetest.waiting import eventually

pytestmark = [pytest.mark.sanitize, pytest.mark.cuse]

CAPACITY = 65536
MODES = {"single": ["-s"], "multi": []}


class Device:
    """A server and its device, until the body ends."""

    count = 0

    def __init__(self, work, mode="multi", *options, status=0):
        Device.count += 1
        self.name = f"fuse-test-{os.getpid()}-{Device.count}"
        self.path = Path("/dev", self.name)
        self.log_path = work / f"{self.name}.log"
        self.stats_path = work / f"{self.name}.json"
        self.status = status
        self.command = [BUILD.program("example/cuse"), "-f", f"--name={self.name}"]
        self.command += ["-o", f"stats={self.stats_path}", *MODES[mode], *options]

    def __enter__(self):
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        deadline = time.monotonic() + 10 * BUILD.slowdown
        while not self.path.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)
        return self

    def log(self):
        return self.log_path.read_text()

    def client(self, *arguments, **keywords):
        command = [BUILD.program("example/cuse_client"), self.path, *arguments]
        return run(command, timeout=10 * BUILD.slowdown, **keywords)

    def stats(self):
        return json.loads(self.stats_path.read_text())

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10 * BUILD.slowdown)

    def __exit__(self, kind, error, trace):
        if error is not None:
            self.process.kill()
            self.process.wait()
            return
        status = self.end() if self.process.poll() is None else self.process.returncode
        assert status == self.status, self.log()
        assert not SANITIZER_REPORT.search(self.log()), self.log()
        deadline = time.monotonic() + 10
        while self.path.exists():
            assert time.monotonic() < deadline, "the device is still there"
            time.sleep(0.01)


@pytest.fixture(params=MODES)
def device(work, request):
    with Device(work, request.param) as device:
        yield device
    stats = device.stats()
    assert stats["transport"] == "dev" and stats["requests"] > 0


def write(path, data, flags=0):
    fd = os.open(path, os.O_WRONLY | flags)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


def read(path, size, flags=0):
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        return os.read(fd, size)
    finally:
        os.close(fd)


def call(function, *arguments):
    return Child(function, *arguments).result(20 * BUILD.slowdown)


# Data


def test_as_its_comment_says(device):
    run(["sh", "-c", f"echo hello >{device.path}"])
    assert device.client("used").stdout == "6\n"
    assert run(["head", "-n", "1", device.path]).stdout == "hello\n"
    assert device.client("capacity").stdout == f"{CAPACITY}\n"
    assert device.client("used").stdout == "0\n"


def test_order_and_contents(device):
    """Larger than one request, in and out, in pieces of all sizes."""
    device.client("capacity", 1 << 20)
    content = pattern.data(1 << 20)
    assert call(write, device.path, content) == len(content)
    back = b""
    for size in (1, 4095, 4097, 131072, 131073, 400_000, 1 << 20):
        back += call(read, device.path, size)
    pattern.assert_same(back, content, "what came back")


def test_full_queue(device):
    assert call(write, device.path, bytes(CAPACITY + 5)) == CAPACITY
    with pytest.raises(OSError) as error:
        call(write, device.path, b"more")
    assert error.value.errno == errno.ENOSPC
    assert len(call(read, device.path, 2 * CAPACITY)) == CAPACITY


def test_reading_without_waiting(device):
    with pytest.raises(OSError) as error:
        call(read, device.path, 10, os.O_NONBLOCK)
    assert error.value.errno == errno.EAGAIN


def test_readers_share(device):
    """What is written ends as many reads as it is enough for; each byte is read once."""
    readers = [Child(read, device.path, 1) for _ in range(5)]
    time.sleep(0.3)
    call(write, device.path, b"abc")
    call(write, device.path, b"de")
    found = sorted(reader.result(20 * BUILD.slowdown) for reader in readers)
    assert found == [b"a", b"b", b"c", b"d", b"e"]


def interrupted_read(path):
    """A signal ends the read, and the next reader is not robbed of its bytes."""
    fd = os.open(path, os.O_RDONLY)
    signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3 * BUILD.slowdown)
        os.read(fd, 10)
    except TimeoutError:
        return True
    return False


def interrupt(*_):
    raise TimeoutError


def test_interrupted_reader(device):
    assert call(interrupted_read, device.path)
    call(write, device.path, b"text")
    assert call(read, device.path, 10) == b"text"


def test_killed_reader(device):
    reader = Child(read, device.path, 10)
    time.sleep(0.3)
    os.kill(reader.pid, signal.SIGKILL)
    os.waitpid(reader.pid, 0)
    call(write, device.path, b"text")
    assert call(read, device.path, 10) == b"text"


# Poll


def wait(path, events, seconds=20):
    fd = os.open(path, os.O_RDWR)
    poll = select.poll()
    poll.register(fd, events)
    start = time.monotonic()
    found = poll.poll(seconds * 1000)
    return time.monotonic() - start, [event for _, event in found]


def test_poll(device):
    assert call(wait, device.path, select.POLLIN | select.POLLOUT)[1] == [select.POLLOUT]
    assert call(wait, device.path, select.POLLIN, 0.2)[1] == []
    waiter = Child(wait, device.path, select.POLLIN)
    time.sleep(0.4)
    call(write, device.path, b"x")
    seconds, events = waiter.result(30 * BUILD.slowdown)
    assert events == [select.POLLIN] and 0.1 < seconds < 15
    assert call(wait, device.path, select.POLLIN)[1] == [select.POLLIN]


def test_poll_for_room(device):
    call(write, device.path, bytes(CAPACITY))
    waiter = Child(wait, device.path, select.POLLOUT)
    time.sleep(0.4)
    assert len(call(read, device.path, 1)) == 1
    seconds, events = waiter.result(30 * BUILD.slowdown)
    assert events == [select.POLLOUT] and 0.1 < seconds < 15


def test_client_waits(device):
    assert device.client("wait", 0, check=False).returncode == 1
    call(write, device.path, b"x")
    assert device.client("wait", 10).returncode == 0


# Ioctls


def test_capacity(device):
    call(write, device.path, bytes(5000))
    assert "busy" in device.client("capacity", 4999, check=False).stdout
    assert "Invalid" in device.client("capacity", 0, check=False).stdout
    device.client("capacity", 5000)
    assert device.client("capacity").stdout == "5000\n"
    assert device.client("used").stdout == "5000\n"


@pytest.mark.parametrize("size", [0, 1, 4, 100, 5000])
def test_peek(device, size):
    """Two ranges of the caller's memory, one of which the other one names."""
    content = b"text" * 1000
    call(write, device.path, content)
    assert device.client("peek", size).stdout.encode() == content[:size]
    assert device.client("used").stdout == "4000\n"


def fionread(path):
    number = array.array("i", [-1])
    fd = os.open(path, os.O_RDONLY)
    fcntl.ioctl(fd, termios.FIONREAD, number)
    return number[0]


def unknown_ioctl(path):
    fcntl.ioctl(os.open(path, os.O_RDONLY), 0x5199, struct.pack("I", 0))


def test_ioctl_whose_number_tells_nothing(device):
    call(write, device.path, b"12345")
    assert call(fionread, device.path) == 5
    with pytest.raises(OSError) as error:
        call(unknown_ioctl, device.path)
    assert error.value.errno == errno.ENOTTY


def test_restricted_ioctls(work):
    """The kernel itself copies what the number tells, and nothing else can be asked for."""
    with Device(work, "multi", "--restricted") as device:
        device.client("capacity", 1000)
        assert device.client("capacity").stdout == "1000\n"
        for command in (["used"], ["peek", "1"]):
            result = device.client(*command, check=False)
            assert result.returncode == 1 and "Inappropriate" in result.stdout


# Life and death


def test_number(work):
    with Device(work, "multi", "--maj=240", "--min=77") as device:
        status = os.stat(device.path)
        assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == (240, 77)
        second = Device(work, "multi", "--maj=240", "--min=77")
        result = run([*second.command], check=False, timeout=20 * BUILD.slowdown)
        assert result.returncode == 1
        assert "(240:77) is taken" in result.stdout
        call(write, device.path, b"still here")
        assert call(read, device.path, 100) == b"still here"


def test_aborted_device(work):
    """An administrator's way of ending a device whose server does not answer."""
    with Device(work, status=1) as device:
        reader = Child(read, device.path, 10)
        time.sleep(0.3)
        Path("/sys/class/cuse", device.name, "abort").write_text("1")
        with pytest.raises(OSError):
            reader.result(10 * BUILD.slowdown)
        device.process.wait(10 * BUILD.slowdown)
        assert "given the device up" in device.log()


def test_end_with_clients(work):
    """Who waits gets an error when the server ends."""
    device = Device(work)
    with device:
        reader = Child(read, device.path, 10)
        time.sleep(0.3)
        assert device.end() == 0
        with pytest.raises(OSError):
            reader.result(10 * BUILD.slowdown)


def test_in_the_background(work):
    device = Device(work)
    device.command.remove("-f")
    run(device.command, timeout=20 * BUILD.slowdown)
    eventually(device.path.exists)
    call(write, device.path, b"text")
    assert call(read, device.path, 10) == b"text"
    pids = run(["pgrep", "-f", f"name={device.name}"]).stdout.split()
    assert len(pids) == 1
    os.kill(int(pids[0]), signal.SIGTERM)
    eventually(lambda: not device.path.exists())


def test_no_rings(work):
    with Device(work, "multi", "-o", "io_uring") as device:
        call(write, device.path, b"text")
        assert "not io_uring: the kernel has it for mounts" in device.log()
    strict = Device(work, "multi", "-o", "io_uring_strict")
    result = run(strict.command, check=False, timeout=20 * BUILD.slowdown)
    assert result.returncode == 1 and "for mounts, not for devices" in result.stdout
