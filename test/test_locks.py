# SPDX-License-Identifier: GPL-2.0-only
"""Locks between processes: flock(2) and fcntl(2)."""

import errno
import fcntl
import os
import signal
import struct
import time

import pytest

from fusetest.child import Child, call

pytestmark = [pytest.mark.client, pytest.mark.sanitize]

RANGE = struct.Struct("hhqqi4x")  # struct flock on 64-bit Linux


@pytest.fixture
def path(place):
    call((place.path / "file").write_bytes, bytes(1000))
    return place.path / "file"


class Holder:
    """A process that holds a lock until it is told to let go."""

    def __init__(self, path, lock):
        self.told, self.tell = os.pipe()
        self.ready, ready = os.pipe()
        self.child = Child(self._hold, path, lock, ready)
        os.close(ready)
        assert os.read(self.ready, 1) == b"1"

    def _hold(self, path, lock, ready):
        fd = os.open(path, os.O_RDWR)
        lock(fd)
        os.write(ready, b"1")
        os.read(self.told, 1)

    def release(self):
        os.write(self.tell, b"1")
        self.child.result()


def try_flock(path, kind):
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def try_range(path, kind, start, length):
    """From another process, because a process never conflicts with itself."""

    def attempt():
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.lockf(fd, kind | fcntl.LOCK_NB, length, start)
            return True
        except OSError as error:
            assert error.errno in (errno.EAGAIN, errno.EACCES)
            return False

    return Child(attempt).result()


def get_lock(path, kind, start, length):
    fd = os.open(path, os.O_RDWR)
    question = RANGE.pack(kind, os.SEEK_SET, start, length, 0)
    answer = RANGE.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, question))
    os.close(fd)
    return answer


def test_flock(path):
    holder = Holder(path, lambda fd: fcntl.flock(fd, fcntl.LOCK_SH))
    assert try_flock(path, fcntl.LOCK_SH)
    assert not try_flock(path, fcntl.LOCK_EX)
    holder.release()
    assert try_flock(path, fcntl.LOCK_EX)
    holder = Holder(path, lambda fd: fcntl.flock(fd, fcntl.LOCK_EX))
    assert not try_flock(path, fcntl.LOCK_SH)
    holder.release()
    assert try_flock(path, fcntl.LOCK_SH)


def test_flock_belongs_to_the_open_file(path):
    first, second = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    fcntl.flock(first, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    copy = os.dup(first)
    os.close(first)
    assert not try_flock(path, fcntl.LOCK_SH)
    os.close(copy)
    fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(second, fcntl.LOCK_UN)
    assert try_flock(path, fcntl.LOCK_EX)
    os.close(second)


def test_flock_that_waits(path, transport):
    if transport == "dev-single":
        pytest.skip("with one thread a lock that waits holds up the unlock it waits for")
    holder = Holder(path, lambda fd: fcntl.flock(fd, fcntl.LOCK_EX))
    waiter = Child(wait_for, path, lambda fd: fcntl.flock(fd, fcntl.LOCK_EX))
    time.sleep(0.3)
    released = time.monotonic()
    holder.release()
    assert waiter.result(10) >= released


def wait_for(path, lock):
    fd = os.open(path, os.O_RDWR)
    lock(fd)
    return time.monotonic()


def test_ranges(path):
    holder = Holder(path, lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX, 100, 50))
    assert not try_range(path, fcntl.LOCK_EX, 100, 10)
    assert not try_range(path, fcntl.LOCK_SH, 149, 1)
    assert try_range(path, fcntl.LOCK_EX, 0, 50)
    assert try_range(path, fcntl.LOCK_EX, 150, 0)
    kind, _, start, length, pid = get_lock(path, fcntl.F_WRLCK, 0, 0)
    assert (kind, start, length) == (fcntl.F_WRLCK, 50, 100)
    assert pid == holder.child.pid
    assert get_lock(path, fcntl.F_WRLCK, 0, 50)[0] == fcntl.F_UNLCK
    holder.release()
    assert try_range(path, fcntl.LOCK_EX, 0, 0)


def test_ranges_are_cut_and_joined(path):
    def several(fd):
        fcntl.lockf(fd, fcntl.LOCK_EX, 300, 0)
        fcntl.lockf(fd, fcntl.LOCK_UN, 100, 100)
        fcntl.lockf(fd, fcntl.LOCK_SH, 50, 0)

    holder = Holder(path, several)
    assert try_range(path, fcntl.LOCK_SH, 0, 50)
    assert not try_range(path, fcntl.LOCK_EX, 0, 1)
    assert not try_range(path, fcntl.LOCK_SH, 60, 1)
    assert try_range(path, fcntl.LOCK_EX, 100, 100)
    assert not try_range(path, fcntl.LOCK_SH, 250, 1)
    holder.release()


def test_range_is_released_by_any_close(path):
    def lock_and_close_another(fd):
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)
        os.close(os.open(path, os.O_RDONLY))

    holder = Holder(path, lock_and_close_another)
    assert try_range(path, fcntl.LOCK_EX, 0, 10)
    holder.release()


def test_range_of_a_killed_process(path):
    holder = Holder(path, lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0))
    assert not try_range(path, fcntl.LOCK_EX, 0, 10)
    holder.child.signal(signal.SIGKILL)
    os.waitpid(holder.child.pid, 0)
    assert try_range(path, fcntl.LOCK_EX, 0, 10)


def test_range_that_waits(path, transport):
    if transport == "dev-single":
        pytest.skip("with one thread a lock that waits holds up the unlock it waits for")
    holder = Holder(path, lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0))
    waiters = [
        Child(wait_for, path, lambda fd: fcntl.lockf(fd, fcntl.LOCK_SH, 10, 0)) for _ in range(4)
    ]
    time.sleep(0.3)
    released = time.monotonic()
    holder.release()
    for waiter in waiters:
        assert waiter.result(10) >= released


def _interrupted_wait(path):
    fd = os.open(path, os.O_RDWR)

    def alarm(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)
    except TimeoutError:
        return "interrupted"
    return "locked"


def test_wait_is_interrupted(path, transport):
    """A signal ends the wait, and the server does not take the lock afterwards."""
    if transport == "dev-single":
        pytest.skip("with one thread nobody reads the interruption")
    holder = Holder(path, lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0))
    waiter = Child(_interrupted_wait, path)
    assert waiter.result(10) == "interrupted"
    holder.release()
    assert try_range(path, fcntl.LOCK_EX, 0, 10)
