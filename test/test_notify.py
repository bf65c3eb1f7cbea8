# SPDX-License-Identifier: GPL-2.0-only
"""
Notifications: what the filesystem tells the kernel unasked, and what the kernel's caches look
like afterwards.

Here the kernel may remember everything for an hour, so that whatever it asks again, it asks
because it was told to.
"""

import errno
import os
import select
import time
from contextlib import contextmanager

import pytest

from fusetest import libc, pattern
from fusetest.allops import Servers
from fusetest.child import Child, call
from fusetest.files import fails, opened
from fusetest.waiting import eventually

pytestmark = [pytest.mark.client, pytest.mark.sanitize]

PAGE = os.sysconf("SC_PAGESIZE")
MAX_WRITE = 1 << 20


@pytest.fixture(scope="module")
def servers(session_work):
    made = Servers(session_work, ["timeout=3600"])
    try:
        yield made
        made.close()
    finally:
        made.kill()


@pytest.fixture
def m(servers, transport):
    return servers.get(transport)


@pytest.fixture
def d(m, servers):
    path = m.path / servers.folder()
    call(path.mkdir)
    return path


def cached_file(m, d, content):
    """A file whose contents the kernel has; its path as commands have it."""
    (d / "file").write_bytes(content)
    assert (d / "file").read_bytes() == content
    with m.unmoved("read", "lookup"):
        assert (d / "file").read_bytes() == content, "the kernel does not cache it"
    return f"{d.name}/file"


@contextmanager
def kept(path):
    """The file's contents stay in the kernel, however short of memory the machine is."""
    with opened(path, os.O_RDONLY) as fd, libc.locked_in_memory(fd, os.fstat(fd).st_size):
        yield


# Data and attributes


def test_inval_inode(m, d):
    """What was cached is read again, and is what the filesystem has by now."""
    name = cached_file(m, d, b"a" * 3 * PAGE)
    for offset in (0, PAGE, 2 * PAGE):
        m.control(f"poke {name} {offset} fresh")
    with m.unmoved("read"):
        assert (d / "file").read_bytes() == b"a" * 3 * PAGE, "it was told too early"
    m.control(f"inval_inode {name} 0 0")
    fresh = (b"fresh" + b"a" * (PAGE - 5)) * 3
    with m.moved("read"):
        pattern.assert_same((d / "file").read_bytes(), fresh)


def test_inval_inode_in_part(m, d):
    name = cached_file(m, d, b"a" * 3 * PAGE)
    for offset in (0, PAGE, 2 * PAGE):
        m.control(f"poke {name} {offset} fresh")
    m.control(f"inval_inode {name} {PAGE} {PAGE}")
    old, fresh = b"a" * PAGE, b"fresh" + b"a" * (PAGE - 5)
    with opened(d / "file") as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        with m.unmoved("read"):
            assert os.pread(fd, PAGE, 0) == old
            assert os.pread(fd, PAGE, 2 * PAGE) == old
        with m.moved("read"):
            pattern.assert_same(os.pread(fd, PAGE, PAGE), fresh)


def test_inval_inode_attributes_only(m, d):
    name = cached_file(m, d, b"a" * PAGE)
    m.control(f"poke {name} 0 fresh")
    os.stat(d / "file")  # reading has outdated the time of access
    with m.unmoved("getattr"):
        os.stat(d / "file")
    m.control(f"inval_inode {name} -1 0")
    with m.moved("getattr"):
        os.stat(d / "file")
    with m.unmoved("read"):
        assert (d / "file").read_bytes() == b"a" * PAGE


def test_inval_inode_of_a_mapping(m, d):
    """Who has the file mapped sees the new contents, too."""
    import mmap

    name = cached_file(m, d, b"a" * PAGE)
    with opened(d / "file", os.O_RDONLY) as fd:
        with mmap.mmap(fd, PAGE, prot=mmap.PROT_READ) as mapping:
            assert mapping[:5] == b"aaaaa"
            m.control(f"poke {name} 0 fresh")
            m.control(f"inval_inode {name} 0 {PAGE}")
            assert mapping[:6] == b"fresha"


def test_unknown_inode(m, d):
    for command in ("inval_inode #999999 0 0", "store #999999 0 text", "retrieve #999999 0 10"):
        with fails("ENOENT"):
            m.control(command)


# Names


def test_inval_entry(m, d):
    """A name that stands for something else is looked up again; the inode is forgotten."""
    for name in ("a", "b"):
        (d / name).write_text(name)
    ino = os.stat(d / "a").st_ino
    m.control(f"swap {d.name}/a {d.name}/b")
    with m.unmoved("lookup"):
        assert os.stat(d / "a").st_ino == ino
    with m.moved("forget"):
        m.control(f"inval_entry {d.name}/a")
        eventually(lambda: m.nodes()[ino][0] == 0)
    with m.moved("lookup"):
        assert (d / "a").read_text() == "b"
    m.control(f"inval_entry {d.name}/b")
    assert (d / "b").read_text() == "a"


def test_inval_entry_of_a_missing_name(m, d):
    """That there is no such name is remembered as well."""
    with fails("ENOENT"):
        os.stat(d / "new")
    m.control(f"create {d.name}/new contents")
    with fails("ENOENT"):
        os.stat(d / "new")
    m.control(f"inval_entry {d.name}/new")
    assert (d / "new").read_text() == "contents"


def test_inval_entry_refreshes_the_directory(m, d):
    (d / "a").touch()
    os.stat(d)
    with m.unmoved("getattr"):
        os.stat(d)
    m.control(f"inval_entry {d.name}/a")
    with m.moved("getattr"):
        os.stat(d)


def test_inval_entry_that_is_unknown(m, d):
    m.control(f"create {d.name}/quiet text")
    with fails("ENOENT"):
        m.control(f"inval_entry {d.name}/quiet")


def test_inval_entry_of_an_open_file(m, d):
    """The name goes, the open file stays."""
    name = cached_file(m, d, b"a" * PAGE)
    with opened(d / "file") as fd:
        m.control(f"remove {name}")
        m.control(f"inval_entry {name}")
        with fails("ENOENT"):
            os.stat(d / "file")
        assert os.pread(fd, 5, 0) == b"aaaaa"
        os.pwrite(fd, b"b", 0)


def test_expire_entry(m, d):
    """It is looked up again, but nothing is dropped meanwhile."""
    name = cached_file(m, d, b"text")
    ino = os.stat(d / "file").st_ino
    lookups = m.nodes()[ino][0]
    try:
        with m.unmoved("forget", "forget_multi", "lookup"):
            m.control(f"expire_entry {name}")
    except OSError as error:
        if error.errno == errno.ENOSYS:
            pytest.skip("this kernel cannot let names expire")
        raise
    with m.moved("lookup"):
        assert os.stat(d / "file").st_ino == ino
    assert m.nodes()[ino][0] == lookups + 1
    with m.unmoved("lookup"):
        os.stat(d / "file")
    m.control(f"create {d.name}/quiet text")
    with fails("ENOENT"):
        m.control(f"expire_entry {d.name}/quiet")


def test_delete(m, d):
    """The file is gone, and those who watch it hear of it."""
    name = cached_file(m, d, b"text")
    ino = os.stat(d / "file").st_ino
    watch = libc.Watch(d / "file", libc.IN_DELETE_SELF)
    assert watch.events() == []
    m.control(f"delete {name}")
    assert eventually(watch.events)[0][0] & libc.IN_DELETE_SELF
    with fails("ENOENT"):
        os.stat(d / "file")
    eventually(lambda: ino not in m.nodes())


def test_delete_a_folder(m, d):
    (d / "sub").mkdir()
    os.stat(d / "sub")
    m.control(f"delete {d.name}/sub")
    with fails("ENOENT"):
        os.stat(d / "sub")
    assert os.listdir(d) == []


def test_delete_what_was_replaced(m, d):
    """A file that the kernel knows by that name, but is another one, is not deleted."""
    for name in ("a", "b"):
        (d / name).write_text(name)
    watch = libc.Watch(d / "a", libc.IN_DELETE_SELF)
    m.control(f"swap {d.name}/a {d.name}/b")
    with fails("ENOENT"):
        m.control(f"delete {d.name}/a")
    assert watch.events() == []
    m.control(f"inval_entry {d.name}/b")
    assert (d / "b").read_text() == "a"


def test_increment_epoch(m, d):
    """Every name is looked up once more."""
    names = [d / f"{i}" for i in range(20)]
    for name in names:
        name.touch()
        os.stat(name)
    with m.unmoved("lookup"):
        for name in names:
            os.stat(name)
    try:
        m.control("increment_epoch -")
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EINVAL):
            pytest.skip("this kernel has no epochs")
        raise
    before = m.calls()["lookup"]
    for name in names:
        os.stat(name)
    assert m.calls()["lookup"] >= before + 20
    with m.unmoved("lookup"):
        for name in names:
            os.stat(name)


# The kernel's copy of data


@pytest.mark.parametrize("how", ["store", "store_fd"])
def test_store(m, d, how):
    """Data that was never read is there."""
    m.control(f"create {d.name}/file {'a' * 3 * PAGE}")
    with opened(d / "file") as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        m.control(f"{how} {d.name}/file {PAGE} {'b' * PAGE}")
        with m.unmoved("read"):
            assert os.pread(fd, PAGE, PAGE) == b"b" * PAGE
        with m.moved("read"):
            assert os.pread(fd, PAGE, 0) == b"a" * PAGE
        m.control(f"inval_inode {d.name}/file 0 0")
        assert os.pread(fd, 3 * PAGE, 0) == b"a" * 3 * PAGE


@pytest.mark.parametrize("how", ["store", "store_fd"])
def test_store_makes_longer(m, d, how):
    m.control(f"create {d.name}/file {'a' * PAGE}")
    assert os.stat(d / "file").st_size == PAGE
    m.control(f"resize {d.name}/file {PAGE + 100}")
    assert os.stat(d / "file").st_size == PAGE
    m.control(f"{how} {d.name}/file {PAGE} {'b' * 100}")
    assert os.stat(d / "file").st_size == PAGE + 100
    with m.unmoved("read"), opened(d / "file") as fd:
        assert os.pread(fd, 200, PAGE) == b"b" * 100


@pytest.mark.parametrize("how", ["store", "store_fd"])
def test_store_much(m, d, how):
    letters = "".join(chr(ord("a") + i % 26) for i in range(100_000))
    m.control(f"create {d.name}/file {'x' * 100_000}")
    os.stat(d / "file")
    m.control(f"{how} {d.name}/file 0 {letters}")
    with m.unmoved("read"):
        assert (d / "file").read_text() == letters


@pytest.mark.parametrize("size", [1, 100, PAGE, 3 * PAGE + 17, 300_000, MAX_WRITE])
def test_retrieve(m, d, size):
    """What comes back is what the kernel has, not what the filesystem has."""
    content = pattern.data(size)
    name = cached_file(m, d, content)
    ino = os.stat(d / "file").st_ino
    m.control(f"poke {name} 0 #")
    with kept(d / "file"), m.moved("retrieve_reply"):
        m.control(f"retrieve {name} 0 {size}")
        found = eventually(m.retrieved)
    assert found[:2] == (ino, 0)
    # The kernel may send less than was asked for, where it has to leave room.
    assert len(found[2]) >= size - PAGE
    if size < MAX_WRITE:
        assert len(found[2]) == size
    pattern.assert_same(found[2], content[: len(found[2])])


def test_retrieve_from_the_middle(m, d):
    content = pattern.data(4 * PAGE)
    name = cached_file(m, d, content)
    with kept(d / "file"):
        m.control(f"retrieve {name} {PAGE + 10} 100")
        assert eventually(m.retrieved)[1:] == (PAGE + 10, content[PAGE + 10 : PAGE + 110])
        m.control(f"retrieve {name} {3 * PAGE} {10 * PAGE}")
        assert eventually(m.retrieved)[1:] == (3 * PAGE, content[3 * PAGE :])


def test_retrieve_up_to_what_is_missing(m, d):
    content = "".join(chr(ord("a") + i % 26) for i in range(4 * PAGE))
    m.control(f"create {d.name}/file {content}")
    with opened(d / "file") as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(fd, PAGE, 0)
        m.control(f"retrieve {d.name}/file 0 {4 * PAGE}")
        assert eventually(m.retrieved)[1:] == (0, content[:PAGE].encode())


def test_many_retrievals(m, d):
    """Each answer finds the question it belongs to."""
    content = pattern.data(20 * PAGE)
    name = cached_file(m, d, content)
    with kept(d / "file"):
        for i in range(200):
            offset = (i * 7 % 20) * PAGE
            before = m.calls()["retrieve_reply"]
            m.control(f"retrieve {name} {offset} {PAGE}")
            eventually(lambda: m.calls()["retrieve_reply"] == before + 1)
            assert m.retrieved()[1:] == (offset, content[offset : offset + PAGE])


# Waiting


def wait_for_events(path, seconds):
    fd = os.open(path, os.O_RDWR)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    start = time.monotonic()
    found = poll.poll(seconds * 1000)
    return time.monotonic() - start, [events for _, events in found]


def wait_with_epoll(path, seconds):
    fd = os.open(path, os.O_RDWR)
    epoll = select.epoll()
    epoll.register(fd, select.EPOLLIN | select.EPOLLET)
    start = time.monotonic()
    found = epoll.poll(seconds)
    return time.monotonic() - start, [events for _, events in found]


@pytest.mark.parametrize("wait", [wait_for_events, wait_with_epoll])
def test_poll(m, d, wait):
    name = cached_file(m, d, b"text")
    m.control(f"events {name} 0")
    before = m.calls()["poll"]
    waiter = Child(wait, d / "file", 20)
    eventually(lambda: m.calls()["poll"] > before)
    time.sleep(0.3)
    m.control(f"poll {name} {select.POLLIN}")
    seconds, events = waiter.result(30)
    assert events == [select.POLLIN]
    assert 0.2 < seconds < 10, "the notification did not wake it up"


def test_poll_again_and_again(m, d):
    """One open file, woken up for nothing several times, then for something."""
    name = cached_file(m, d, b"text")
    m.control(f"events {name} 0")
    before = m.calls()["poll"]
    waiter = Child(wait_for_events, d / "file", 20)
    for step in range(1, 6):
        eventually(lambda: m.calls()["poll"] >= before + step)
        time.sleep(0.05)
        m.control(f"poll {name} {select.POLLIN if step == 5 else 0}")
    seconds, events = waiter.result(30)
    assert events == [select.POLLIN] and seconds < 15


# All at once


def test_notifications_under_load(m, d):
    """Readers, while their files are invalidated, looked up anew and retrieved all the time."""
    content = pattern.data(8 * PAGE)
    for i in range(4):
        (d / f"{i}").write_bytes(content)

    def read(i):
        end = time.monotonic() + 3
        count = 0
        while time.monotonic() < end:
            assert (d / f"{i}").read_bytes() == content
            count += 1
        return count

    readers = [Child(read, i) for i in range(4)]
    end = time.monotonic() + 3
    while time.monotonic() < end:
        for i in range(4):
            name = f"{d.name}/{i}"
            for command in (
                f"inval_inode {name} 0 0",
                f"inval_entry {name}",
                f"expire_entry {name}",
                f"retrieve {name} 0 {8 * PAGE}",
            ):
                try:
                    m.control(command)
                except FileNotFoundError:
                    pass  # the kernel has forgotten it meanwhile
    for reader in readers:
        assert reader.result(30) > 10
