# SPDX-License-Identifier: GPL-2.0-only
"""
What passthrough, passthrough_fh and passthrough_ll owe to the files that they pass on, and to
those who share them.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import signal
import struct
import threading
import time

import pytest

from fusetest.child import Child, Credentials, call
from fusetest.files import opened
from fusetest.mount import Mount

pytestmark = [pytest.mark.sanitize, pytest.mark.transport("dev-multi", "io_uring")]

ALICE = Credentials(30001, 30001, umask=0o022)
STAFF = 30010
MEMBER = Credentials(30001, 30001, [STAFF], umask=0o022)
PROGRAMS = ["passthrough", "passthrough_fh", "passthrough_ll"]
BY_PATH = PROGRAMS[:2]


def serve(work, transport, program, *options, **kwargs):
    """A mount of a new folder, which is .source."""
    source = work / f"source-of-{program}"
    source.mkdir()
    source.chmod(0o777)
    where = [f"source={source}"] if program == "passthrough_ll" else [
        "modules=subdir", f"subdir={source}"
    ]
    mount = Mount(
        work,
        transport,
        program=f"example/{program}",
        options=[*where, "default_permissions", *options],
        **kwargs,
    )
    mount.source = source
    return mount


def _outcome(function, *args):
    try:
        return function(*args)
    except OSError as error:
        return errno.errorcode[error.errno]


def _open(path, flags, mode=0o666):
    with opened(path, flags, mode) as fd:
        return os.read(fd, 100) if flags & os.O_ACCMODE != os.O_WRONLY else b""


# Names that come to be while nobody looks


@pytest.mark.parametrize("flags", [0, os.O_EXCL, os.O_TRUNC], ids=["", "excl", "trunc"])
@pytest.mark.parametrize("mode", [0o600, 0o666], ids=oct)
def test_created_behind_the_mount(work, transport, mode, flags):
    """The kernel believes that there is no such file. It must not become the one who opens it."""
    args = {"program_args": ["--plus"]}
    with serve(work, transport, "passthrough", "negative_timeout=60", **args) as mount:
        path, hidden = mount.path / "file", mount.source / "file"
        assert call(_outcome, os.stat, path, credentials=ALICE) == "ENOENT"
        hidden.write_bytes(b"secret")
        hidden.chmod(mode)
        got = call(_outcome, _open, path, os.O_RDWR | os.O_CREAT | flags, credentials=ALICE)
        if flags & os.O_EXCL:
            wanted = "EEXIST"
        elif mode == 0o600:
            wanted = "EACCES"
        else:
            wanted = b"" if flags & os.O_TRUNC else b"secret"
        assert got == wanted
        found = hidden.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, 0, mode)
        assert hidden.read_bytes() == (wanted if isinstance(wanted, bytes) else b"secret")


def test_link_made_behind_the_mount(work, transport):
    """Through the mount a link leads where the client's kernel says."""
    args = {"program_args": ["--plus"]}
    with serve(work, transport, "passthrough", "negative_timeout=60", **args) as mount:
        assert call(_outcome, os.stat, mount.path / "link", credentials=ALICE) == "ENOENT"
        os.symlink("target", mount.source / "link")
        call(_open, mount.path / "link", os.O_RDWR | os.O_CREAT, credentials=ALICE)
        assert os.readlink(mount.source / "link") == "target"
        assert (mount.source / "target").stat().st_uid == ALICE.uid


@pytest.mark.parametrize("program", PROGRAMS)
def test_create_what_is_there(work, transport, program):
    with serve(work, transport, program) as mount:
        (mount.source / "file").write_bytes(b"contents")
        (mount.source / "file").chmod(0o666)
        os.symlink("file", mount.source / "link")
        for name in ("file", "link"):
            flags = os.O_RDWR | os.O_CREAT
            assert call(_open, mount.path / name, flags, credentials=ALICE) == b"contents"
            flags |= os.O_EXCL
            assert call(_outcome, _open, mount.path / name, flags) == "EEXIST"
        assert (mount.source / "file").stat().st_uid == 0


def _create_at_once(path, count, rounds):
    def create():
        for number in range(rounds):
            _open(path / str(number), os.O_RDWR | os.O_CREAT)

    for child in [Child(create) for _ in range(count)]:
        child.result()


@pytest.mark.parametrize("program", PROGRAMS)
def test_several_create_the_same(work, transport, program):
    with serve(work, transport, program) as mount:
        call(_create_at_once, mount.path, 4, 100)
        assert len(os.listdir(mount.source)) == 100


# Owners, groups and modes of what is new


def _make_all(folder):
    for mode in (0o644, 0o6755, 0o4711, 0o2755, 0o2644):
        os.close(os.open(folder / f"file-{mode:o}", os.O_CREAT | os.O_RDWR, mode))
        os.mkfifo(folder / f"fifo-{mode:o}", mode)
        os.mkdir(folder / f"folder-{mode:o}", mode | 0o100)
        os.close(os.open(folder / f"folder-{mode:o}" / "below", os.O_CREAT | os.O_RDWR, mode))
    os.symlink("target", folder / "link")


def _describe(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(folder))] = (
            oct(status.st_mode), status.st_uid, status.st_gid
        )
    return found


@pytest.mark.parametrize("mode", [0o777, 0o2777], ids=oct)
@pytest.mark.parametrize("group", [0, 30010])
@pytest.mark.parametrize("program", BY_PATH)
def test_owner_of_new_files(work, transport, program, group, mode):
    """Made through the mount they are as if made in the source."""
    with serve(work, transport, program) as mount:
        for folder in (mount.source / "native", mount.source / "mounted"):
            folder.mkdir()
            os.chown(folder, 0, group)
            folder.chmod(mode)
        call(_make_all, mount.source / "native", credentials=ALICE)
        call(_make_all, mount.path / "mounted", credentials=ALICE)
        wanted = _describe(mount.source / "native")
        assert _describe(mount.source / "mounted") == wanted
        assert call(_describe, mount.path / "mounted") == wanted


# Writes to files that were opened to append


def _change_mapped(path):
    with opened(path, os.O_RDWR | os.O_APPEND) as fd:
        with mmap.mmap(fd, 0) as mapping:
            mapping[0:1] = b"M"
            mapping.flush()
        os.fsync(fd)


def _append_no_more(path):
    with opened(path, os.O_WRONLY | os.O_APPEND) as fd:
        assert os.write(fd, b"+") == 1
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        assert os.pwrite(fd, b"P", 0) == 1
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        assert os.write(fd, b"+") == 1


def _append_from_now_on(path):
    with opened(path, os.O_WRONLY) as fd:
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        assert os.write(fd, b"+") == 1


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "change, wanted",
    [
        (_change_mapped, b"M" + bytes(4999)),
        (_append_no_more, b"P" + bytes(4999) + b"++"),
        (_append_from_now_on, bytes(5000) + b"+"),
    ],
    ids=["mapped", "no-more", "from-now-on"],
)
def test_append(work, transport, program, change, wanted):
    with serve(work, transport, program) as mount:
        (mount.source / "file").write_bytes(bytes(5000))
        call(change, mount.path / "file")
        assert (mount.source / "file").read_bytes() == wanted


def _append_by_turns(path, source):
    path.write_bytes(b"")
    with opened(path, os.O_WRONLY | os.O_APPEND) as ours:
        with opened(source, os.O_WRONLY | os.O_APPEND) as theirs:
            for _ in range(10):
                os.write(ours, b"ours,")
                os.write(theirs, b"theirs,")


@pytest.mark.parametrize("program", PROGRAMS)
def test_append_with_others(work, transport, program):
    """Who appends to the source meanwhile loses nothing."""
    with serve(work, transport, program) as mount:
        call(_append_by_turns, mount.path / "file", mount.source / "file")
        assert (mount.source / "file").read_bytes() == b"ours,theirs," * 10


def _copy_no_more(path):
    with opened(path, os.O_WRONLY | os.O_APPEND) as fd, opened(path, os.O_RDONLY) as source:
        assert _outcome(os.copy_file_range, source, fd, 100, 0, 4900) == "EBADF"
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        assert os.copy_file_range(source, fd, 100, 0, 4900) == 100


@pytest.mark.parametrize("program", PROGRAMS)
def test_copy_to_what_appended(work, transport, program):
    with serve(work, transport, program) as mount:
        (mount.source / "file").write_bytes(b"x" * 100 + bytes(4900))
        call(_copy_no_more, mount.path / "file")
        assert (mount.source / "file").read_bytes() == b"x" * 100 + bytes(4800) + b"x" * 100


# Set-id bits


def _change_set_id(path, change):
    """What is left of them, after somebody has changed the file who is not root."""
    before = oct(os.stat(path).st_mode & 0o7777)
    change(path)
    after = os.stat(path).st_mode & 0o7777
    assert path.read_bytes()[:1] in (b"x", b"\0", b"")
    return before, oct(after)


def _write(path):
    with opened(path, os.O_WRONLY) as fd:
        os.write(fd, b"x")


def _truncate_open(path):
    with opened(path, os.O_WRONLY) as fd:
        os.ftruncate(fd, 0)


def _allocate(path):
    with opened(path, os.O_WRONLY) as fd:
        os.posix_fallocate(fd, 0, 10000)


CHANGES = {
    "write": _write,
    "truncate": lambda path: os.truncate(path, 0),
    "ftruncate": _truncate_open,
    "open": lambda path: _open(path, os.O_WRONLY | os.O_TRUNC),
    "fallocate": _allocate,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_set_id_bits(work, transport, program, change):
    with serve(work, transport, program) as mount:
        file = mount.source / "file"
        file.write_bytes(bytes(100))
        file.chmod(0o6777)
        args = (mount.path / "file", CHANGES[change])
        assert call(_change_set_id, *args, credentials=ALICE) == ("0o6777", "0o777")
        assert file.stat().st_mode & 0o7777 == 0o777


def _write_past_cache(path, flags):
    with opened(path, os.O_WRONLY | flags) as fd, mmap.mmap(-1, 4096) as page:
        assert os.pwritev(fd, [page], 0) == 4096


PAST_CACHE = [
    *(pytest.param(name, [], os.O_DIRECT, id=f"{name}-open") for name in PROGRAMS),
    *(pytest.param(name, ["direct_io"], 0, id=f"{name}-option") for name in BY_PATH),
    pytest.param("passthrough_ll", ["cache=never"], 0, id="passthrough_ll-option"),
    pytest.param("passthrough_ll", ["cache=never"], os.O_APPEND, id="passthrough_ll-append"),
]
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)  # CAP_NET_RAW, permitted


@pytest.mark.parametrize("program, options, flags", PAST_CACHE)
def test_set_id_bits_past_cache(work, transport, program, options, flags):
    """Direct writes take them away as others do: from a member of the group, not from root."""
    with serve(work, transport, program, *options) as mount:
        path, file = mount.path / "file", mount.source / "file"
        file.write_bytes(bytes(4096))
        os.chown(file, 0, STAFF)
        for mode, wanted in ((0o6775, 0o775), (0o4765, 0o765), (0o2775, 0o775), (0o2764, 0o2764)):
            file.chmod(mode)
            os.setxattr(file, "security.capability", CAPABILITY)
            call(_write_past_cache, path, flags)
            assert file.stat().st_mode & 0o7777 == mode
            call(_write_past_cache, path, flags, credentials=MEMBER)
            assert file.stat().st_mode & 0o7777 == wanted
            assert call(os.stat, path, credentials=MEMBER).st_mode & 0o7777 == wanted
            assert os.listxattr(file) == []


@pytest.mark.parametrize("change", CHANGES)
def test_set_id_bits_in_memory(work, transport, change):
    options = ["default_permissions"]
    with Mount(work, transport, program="example/memfs", options=options) as mount:
        path = mount.path / "file"
        call(path.write_bytes, bytes(100))
        call(os.chmod, path, 0o6777)
        args = (path, CHANGES[change])
        assert call(_change_set_id, *args, credentials=ALICE) == ("0o6777", "0o777")


# Locks


def serve_locks(work, transport, program, *options, **kwargs):
    if program == "passthrough_ll":
        options = [*options, "flock"]
    return serve(work, transport, program, *options, **kwargs)


def _lock(path):
    with opened(path, os.O_RDWR) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
    return time.monotonic()


def _hold(path, ready, told):
    with opened(path, os.O_RDWR) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(ready, b"1")
        os.read(told, 1)


def _try_lock(path):
    with opened(path, os.O_RDWR) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def held(path):
    """Yields what releases the lock."""
    told, tell = os.pipe()
    ready, is_ready = os.pipe()
    child = Child(_hold, path, is_ready, told)
    os.read(ready, 1)

    def release():
        os.write(tell, b"1")
        child.result()

    try:
        yield release
    finally:
        for fd in (told, tell, ready, is_ready):
            os.close(fd)


@pytest.mark.parametrize("program", ["passthrough_fh", "passthrough_ll"])
def test_many_wait_for_a_lock(work, transport, program):
    """More than there are threads for requests; and the mount serves others meanwhile."""
    with serve_locks(work, transport, program) as mount:
        path = mount.path / "file"
        (mount.source / "file").touch()
        with held(path) as release:
            waiters = [Child(_lock, path) for _ in range(12)]
            time.sleep(0.5)
            call((mount.path / "other").write_bytes, b"x", timeout=10)
            assert call(_outcome, _try_lock, path, timeout=10) == "EAGAIN"
            released = time.monotonic()
            release()
            assert all(waiter.result(10) >= released for waiter in waiters)


def _interrupted_lock(path):
    def alarm(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        _lock(path)
    except TimeoutError:
        return "interrupted"
    return "locked"


@pytest.mark.parametrize("program", ["passthrough_fh", "passthrough_ll"])
def test_wait_for_a_lock_is_interrupted(work, transport, program):
    with serve_locks(work, transport, program) as mount:
        path = mount.path / "file"
        (mount.source / "file").touch()
        with held(path) as release:
            assert Child(_interrupted_lock, path).result(10) == "interrupted"
            release()
        call(_try_lock, path)


def test_locks_of_the_source(work, transport):
    with serve_locks(work, transport, "passthrough_ll") as mount:
        (mount.source / "file").touch()
        with held(mount.source / "file") as release:
            assert call(_outcome, _try_lock, mount.path / "file") == "EAGAIN"
            waiter = Child(_lock, mount.path / "file")
            time.sleep(0.2)
            released = time.monotonic()
            release()
            assert waiter.result(10) >= released


def _lock_by_many(path, count):
    """How each of that many threads fared that wait at the same time."""
    outcomes = []

    def wait():
        outcome = _outcome(_lock, path)
        outcomes.append(outcome if isinstance(outcome, str) else "locked")

    threads = [threading.Thread(target=wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {outcome: outcomes.count(outcome) for outcome in outcomes}


@pytest.mark.transport("dev-multi")
def test_too_many_wait_for_a_lock(work, transport):
    """Those that there is no room for are told; the others get it."""
    with serve_locks(work, transport, "passthrough_ll") as mount:
        (mount.source / "file").touch()
        with held(mount.source / "file") as release:
            waiters = Child(_lock_by_many, mount.path / "file", 260)
            deadline = time.monotonic() + 60
            while mount.threads() <= 256:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(1)
            release()
        assert waiters.result(60) == {"ENOLCK": 4, "locked": 256}


def test_end_while_somebody_waits_for_a_lock(work, transport):
    with serve_locks(work, transport, "passthrough_ll") as mount:
        (mount.source / "file").touch()
        with held(mount.source / "file") as release:
            waiter = Child(_outcome, _lock, mount.path / "file")
            time.sleep(0.2)
            mount.process.send_signal(signal.SIGTERM)
            mount.process.wait(10)
            assert waiter.result(10) in ("ENOTCONN", "ECONNABORTED")
            release()
