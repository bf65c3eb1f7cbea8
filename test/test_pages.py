# SPDX-License-Identifier: GPL-2.0-only
"""
Requests with pages that are neither reads nor writes: directories, links, ioctls, retrieved caches.
The kernel of buffer rings with zero-copy leaves the pages of all but links with their clients, and
no filesystem and no client should notice. That it does is told by the statistics' `paged`.
"""

import errno
import fcntl
import os
import signal
import time
from contextlib import contextmanager

import pytest

from fusetest import pattern
from fusetest.allops import AllOps
from fusetest.build import BUILD
from fusetest.child import Child, call, interrupted, reap, run
from fusetest.mount import CONNECTIONS, TRANSPORTS, Mount
from fusetest.waiting import eventually

# What comes of replies that are longer than the request allows: the one on /dev/fuse, the other on
# rings.
TOO_LONG = ("EIO", "EINVAL")

LIMIT = 2 * BUILD.slowdown  # seconds until a wait that was ended is over
NAME = "n" * 255
STYLES = ["buf", "iov", "data", "payload"]

# test/fs/pages.c
ADD_ONE, SHORT, NOTHING, LONG, FAIL, RETRY, WAIT, SLOW, SUM, COUNT_BYTES = range(10)
NONE, WRITE, READ = 0, 1, 2
BOTH = WRITE | READ
LARGEST = (1 << 14) - 1  # that fits into an ioctl's number

pytestmark = [pytest.mark.transport("dev-multi", "rings"), pytest.mark.sanitize]


def serve(work, transport, *options, **kwargs):
    return Mount(work, transport, program="test/fs/pages", options=options, **kwargs)


def seen(mount):
    """How many requests with pages the handlers have seen. To be called in a child."""
    lines = (mount.path / "report").read_text().splitlines()
    return {name: int(count) for name, count in map(str.split, lines)}


def assert_paged(mount, count):
    """Once it is closed: with zero-copy so many requests came without their pages, exactly."""
    stats = mount.stats()
    everywhere = mount.transport.is_zero_copy and not mount.transport.may_decline
    assert stats["paged"] == (count if everywhere else 0), stats


@contextmanager
def served(work, transport, *options, **kwargs):
    """A mount, with all its requests looked after in the end."""
    with serve(work, transport, *options, **kwargs) as mount:
        yield mount
        counts = call(seen, mount)
    assert sum(counts.values()) > 0
    # The kernel may keep the page of a link, and then does not let anybody else have it.
    assert_paged(mount, sum(counts.values()) - counts["readlink"])


def outcome(function, *arguments):
    """What it returned, or the name of its error."""
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


# Directories


def expected_names(count):
    return [f"{index}-{NAME}"[:255] for index in range(count)]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("plus", [[], ["plus"]], ids=["plain", "plus"])
def test_directories(work, transport, plus, style):
    """Empty ones, and some whose listing fits into one reply, or just does not."""
    with served(work, transport, f"reply={style}", *plus) as mount:
        for count in (0, 1, 2, 14, 15, 16, 500):
            found = call(os.listdir, mount.path / f"dir-{count}")
            assert found == expected_names(count), f"{count} names"


@pytest.mark.parametrize("plus", [[], ["plus"]], ids=["plain", "plus"])
def test_ten_thousand_names(work, transport, plus):
    with served(work, transport, *plus) as mount:
        found = call(os.listdir, mount.path / "dir-10000", timeout=100)
        assert found == expected_names(10_000)


@pytest.mark.parametrize("plus", [[], ["plus"]], ids=["plain", "plus"])
def test_listing_by_another_thread(work, transport, plus):
    """One name in each answer, so that all of them are short."""
    with served(work, transport, *plus) as mount:
        assert call(os.listdir, mount.path / "dir-slow") == expected_names(3)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("plus", [[], ["plus"]], ids=["plain", "plus"])
def test_listings_that_fail(work, transport, plus, style):
    """An error, and a reply that is longer than the request allows, which the kernel makes one."""
    with served(work, transport, f"reply={style}", *plus) as mount:

        def body():
            for _ in range(3):
                assert outcome(os.listdir, mount.path / "dir-error") == "EIO"
                assert outcome(os.listdir, mount.path / "dir-long") in TOO_LONG
                assert os.listdir(mount.path / "dir-2") == expected_names(2)

        call(body)


@pytest.mark.transport("rings")
def test_listings_at_once(work, transport):
    """More than a queue has entries, with few buffers: listings with zero-copy need none."""

    def body():
        for count in (0, 1, 200):
            assert os.listdir(mount.path / f"dir-{count}") == expected_names(count)
            assert len(os.readlink(mount.path / f"link-{count + 1}")) == count + 1
            assert do(mount.path / "file", ADD_ONE, BOTH, bytes(count + 1)) == (
                3,
                b"\1" * (count + 1),
            )

    options = ["io_uring_q_depth=2"]
    if TRANSPORTS[transport].pool:
        options.append("io_uring_bufs=1")
    with served(work, transport, *options) as mount:
        clients = [Child(body) for _ in range(16)]
        for client in clients:
            client.result(60)


# Links


def link_text(size):
    return "".join(chr(ord("a") + index % 26) for index in range(size))


def test_links(work, transport):
    with served(work, transport) as mount:

        def body():
            for size in (1, 2, 100, 4094, 4095):
                assert os.readlink(mount.path / f"link-{size}") == link_text(size), size
            assert os.readlink(mount.path / "link-slow") == link_text(1000)
            assert outcome(os.readlink, mount.path / "link-error") == "EIO"
            # Followed, none leads anywhere.
            assert outcome(os.stat, mount.path / "link-100") == "ENOENT"

        call(body)


@pytest.mark.parametrize("size", [4096, 5000, 70_000])
def test_links_that_are_too_long(work, transport, size):
    """Of this the client gets an error, and no part of it."""
    with served(work, transport) as mount:
        assert call(outcome, os.readlink, mount.path / f"link-{size}") in TOO_LONG
        assert call(os.readlink, mount.path / "link-4095") == link_text(4095)


# Ioctls


def do(path, command, direction, data):
    """(result, data afterwards) of an ioctl with so many bytes; or its error's name."""
    number = direction << 30 | len(data) << 16 | ord("P") << 8 | command
    memory = bytearray(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        return fcntl.ioctl(fd, number, memory if memory else 0), bytes(memory)
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        os.close(fd)


SIZES = [1, 8, 4095, 4096, 4097, 12_345, LARGEST]


def test_ioctls(work, transport):
    """With data in, out, and both; within a page and across pages."""
    with served(work, transport) as mount:
        path = mount.path / "file"

        def body():
            for size in SIZES:
                data = pattern.data(size, size)
                plus_one = bytes((byte + 1) % 256 for byte in data)
                pattern.assert_same(do(path, ADD_ONE, BOTH, data)[1], plus_one, f"{size}")
                pattern.assert_same(do(path, SLOW, BOTH, data)[1], plus_one, f"{size} slow")
                assert do(path, SUM, WRITE, data) == (sum(data), data)
                counted = bytes(index % 256 for index in range(size))
                pattern.assert_same(do(path, COUNT_BYTES, READ, data)[1], counted, f"{size}")

        call(body)


def test_ioctls_with_less_data(work, transport):
    """A reply of fewer bytes than there is room for, of none, and none of either."""
    with served(work, transport) as mount:
        path = mount.path / "file"

        def body():
            data = pattern.data(9000)
            result, found = do(path, SHORT, BOTH, data)
            assert (result, found[:4500]) == (0, data[:4500])
            # What it has not answered is as it was, or zero.
            assert found[4500:] in (data[4500:], bytes(4500))
            for direction in (READ, WRITE, BOTH):
                result, found = do(path, NOTHING, direction, data)
                assert result == 5
                assert found in (data, bytes(9000))
            assert do(path, NOTHING, NONE, b"") == (5, b"")
            assert do(path, SUM, NONE, b"") == (0, b"")

        call(body)


@pytest.mark.parametrize("direction", [READ, WRITE, BOTH], ids=["read", "write", "both"])
def test_ioctls_that_fail(work, transport, direction):
    """
    Errors, answers that are too long, and those that ask for more memory of the client's, which
    no file system may.
    """
    with served(work, transport) as mount:
        path = mount.path / "file"

        def body():
            for size in (1, 8, 9000):
                data = pattern.data(size)
                assert do(path, FAIL, direction, data) == "EOVERFLOW"
                assert do(path, RETRY, direction, data) == "EIO"
                assert do(path, LONG, direction, data) in TOO_LONG
                assert do(path, SUM, WRITE, data) == (sum(data), data)
            assert do(path, RETRY, NONE, b"") == "EIO"
            number = READ << 30 | 8 << 16 | ord("Q") << 8
            fd = os.open(path, os.O_RDONLY)
            assert outcome(fcntl.ioctl, fd, number, bytearray(8)) == "ENOTTY"
            os.close(fd)

        call(body)


# Retrieved caches


def cache(path, size):
    """Has the kernel remember so much of a file."""
    content = pattern.data(size, size)
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    pattern.pwrite_all(fd, content, 0)
    pattern.assert_same(pattern.pread_all(fd, size, 0), content)
    os.close(fd)
    return content


@pytest.mark.parametrize("style", ["buf", "payload"])
def test_retrieved_caches(work, transport, style):
    """Whole pages, parts of them, and more than there is."""

    def body(mount):
        content = cache(mount.path / "file", 300_000)
        asked = [(0, 300_000), (0, 1), (4096, 4096), (100, 5000), (4095, 2), (290_000, 50_000)]
        for at, size in asked:
            mount.control(f"retrieve file {at} {size}")
            ino, offset, data = eventually(mount.retrieved)
            assert (ino, offset) == (os.stat(mount.path / "file").st_ino, at)
            pattern.assert_same(data, content[at : at + size], f"{size} at {at}")
        return len(asked)

    with AllOps(work, transport, ["timeout=3600", f"reply={style}"]) as mount:
        asked = call(body, mount)
    assert_paged(mount, asked)


@pytest.mark.transport("rings")
def test_largest_retrieval(work, transport):
    def body(mount):
        content = cache(mount.path / "file", 1 << 20)
        mount.control(f"retrieve file 0 {1 << 20}")
        _, offset, data = eventually(mount.retrieved)
        assert offset == 0 and len(data) >= (1 << 20) - 8192
        pattern.assert_same(data, content[: len(data)])

    with AllOps(work, transport, ["timeout=3600"]) as mount:
        call(body, mount)
    assert_paged(mount, 1)


def test_nothing_to_retrieve(work, transport):
    """Of a file that the kernel does not remember; an answer without data has no pages."""

    def body(mount):
        cache(mount.path / "file", 0)
        mount.control("retrieve file 0 4096")
        assert eventually(mount.retrieved)[1:] == (0, b"")

    with AllOps(work, transport, ["timeout=3600"]) as mount:
        call(body, mount)
    assert_paged(mount, 0)


# Ends of requests that wait


def wait_for_ioctl(path):
    return do(path / "file", WAIT, BOTH, bytes(5000))


WAITS = {
    "readdir": lambda path: outcome(os.listdir, path / "dir-waits"),
    "readlink": lambda path: outcome(os.readlink, path / "link-waits"),
    "ioctl": wait_for_ioctl,
}
EACH_WAIT = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)


def wait_until_waiting(mount, count):
    def waiting():
        return int((mount.path / "waiting").read_text()) == count

    call(eventually, waiting)


def assert_usable(mount):
    assert call(os.listdir, mount.path / "dir-3", timeout=LIMIT + 5) == expected_names(3)
    assert call(os.readlink, mount.path / "link-3") == "abc"


@EACH_WAIT
def test_interrupted(work, transport, wait):
    with served(work, transport) as mount:
        took = call(interrupted, wait, mount.path, timeout=20)
        assert 0.4 < took < LIMIT
        wait_until_waiting(mount, 0)
        assert_usable(mount)


@EACH_WAIT
def test_clients_killed(work, transport, wait):
    """They are gone at once, and their entries and buffers serve others, time and again."""
    options = ["io_uring_q_depth=4"] if TRANSPORTS[transport].is_uring else []
    with served(work, transport, *options) as mount:
        for _ in range(5):
            clients = [Child(wait, mount.path) for _ in range(3)]
            wait_until_waiting(mount, len(clients))
            for client in clients:
                client.signal(signal.SIGKILL)
            for client in clients:
                status = reap(client.pid, 10 * LIMIT)
                if status is None:
                    mount.abort()
                    raise AssertionError("a killed client is still there")
            wait_until_waiting(mount, 0)
            assert_usable(mount)


def start_all(mount):
    clients = [Child(wait, mount.path) for wait in WAITS.values()]
    wait_until_waiting(mount, len(clients))
    return clients


def assert_over(clients, *errors):
    started = time.monotonic()
    found = [client.result(5 * LIMIT) for client in clients]
    assert time.monotonic() - started < 5 * LIMIT
    assert set(found) <= set(errors), found


def test_server_killed(work, transport):
    with serve(work, transport, exit_status=-signal.SIGKILL, expect=None) as mount:
        clients = start_all(mount)
        mount.signal(signal.SIGKILL)
        assert_over(clients, "ECONNABORTED", "ENOTCONN")
        assert mount.wait(10) == -signal.SIGKILL
        mount.unmount()


def test_connection_aborted(work, transport):
    with serve(work, transport) as mount:
        clients = start_all(mount)
        (CONNECTIONS / str(mount.minor) / "abort").write_text("1")
        assert_over(clients, "ECONNABORTED", "ENOTCONN")
        assert mount.wait(10) == 0, mount.log()
        if mount.entry():
            mount.unmount()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_told_to_end(work, transport, number):
    with serve(work, transport) as mount:
        clients = start_all(mount)
        mount.signal(number)
        assert_over(clients, "ECONNABORTED", "ENOTCONN", "EINTR")
        assert mount.wait(10) == 0, mount.log()


def test_forced_unmount(work, transport):
    with serve(work, transport) as mount:
        clients = start_all(mount)
        run(["umount", "-f", mount.path], check=False)  # busy, but it aborts
        assert_over(clients, "ECONNABORTED", "ENOTCONN")
        assert mount.wait(10) == 0, mount.log()


@pytest.mark.transport("rings")
def test_session_after_session(work, transport):
    """None leaves anything behind that the next would stumble over."""
    for number in (signal.SIGTERM, signal.SIGKILL) * 5:
        status = 0 if number == signal.SIGTERM else -number
        with serve(work, transport, exit_status=status, expect=None) as mount:
            clients = start_all(mount)
            mount.signal(number)
            assert_over(clients, "ECONNABORTED", "ENOTCONN", "EINTR")
            assert mount.wait(10) == status, mount.log()
            while mount.entry():
                mount.unmount()
