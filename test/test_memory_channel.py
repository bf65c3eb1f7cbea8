# SPDX-License-Identifier: GPL-2.0-only
"""
The channel by which clients give their memory to a server, over real mounts: how it is found, who
is let in, and what is left of it. What its messages may be test/unit/test_memory_channel.c has.
"""

import ctypes
import errno
import os
import select
import signal
import socket
import stat
import struct
import subprocess
from pathlib import Path

import pytest

from fusetest import libc
from fusetest.build import BUILD
from fusetest.child import Child, Credentials, call, reap, run
from fusetest.mount import Mount, entries_at
from fusetest.waiting import eventually

XATTR = "system.fuse_memory_channel"
STRANGER = 4711
LIMIT = 30 * BUILD.slowdown

pytestmark = [pytest.mark.transport("dev-multi", "rings"), pytest.mark.sanitize]


def store(work, transport, **kwargs):
    """Low-level, and without getxattr."""
    args = [f"--store={work}/store"]
    return Mount(work, transport, program="example/shared_memory_ll", program_args=args, **kwargs)


def paths(work, transport, **environment):
    """On paths."""
    return Mount(work, transport, program="test/fs/channel", env=environment)


def channel_of(path):
    return Path(os.fsdecode(os.getxattr(path, XATTR)))


def client(path, *arguments, prefix=()):
    """What the client said: "done" if all went well."""
    command = [*prefix, BUILD.program("test/tools/memory_channel"), path, *arguments]
    return run(command, check=False, timeout=LIMIT).stdout.strip()


def as_user(uid):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


class Holder:
    """A client that has given memory, and still has it."""

    def __init__(self, path):
        command = [BUILD.program("test/tools/memory_channel"), str(path), "hold"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdout.readline() == "given\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate(timeout=LIMIT)

    def end(self):
        """What it said at the end."""
        return self.process.communicate("", timeout=LIMIT)[0].strip()

    def kill(self):
        self.process.kill()
        assert self.process.wait(LIMIT) == -signal.SIGKILL


def pieces(mount):
    """Descriptors of memory that the server has."""
    return sum("memfd:fuse-memory" in link for link in mount.fds().values())


# How it is found


def _look(path):
    """Sizes of the answer, and what other names come to."""
    value = os.getxattr(path, XATTR)
    getxattr = ctypes.CDLL(None, use_errno=True).getxattr
    buffer = ctypes.create_string_buffer(1000)
    arguments = [os.fsencode(path), XATTR.encode(), buffer]
    assert getxattr(*arguments, 0) == len(value)
    assert getxattr(*arguments, len(value)) == len(value)
    assert getxattr(*arguments, len(value) - 1) == -1
    assert ctypes.get_errno() == errno.ERANGE
    return os.fsdecode(value)


def _ask(path, name):
    try:
        return os.getxattr(path, name)
    except OSError as error:
        return error.errno


@pytest.mark.parametrize("kind", ["low-level", "none", "enosys", "own"])
def test_attribute(work, transport, kind):
    """Of the root, whatever the filesystem says about attributes; and of nothing else."""
    low_level = kind == "low-level"
    with store(work, transport) if low_level else paths(work, transport, CHANNEL_GETXATTR=kind) as mount:
        file = mount.path / "folder" / "file"
        if low_level:
            file = mount.path / "object"
            call(file.write_bytes, b"contents")
        other = b"filesystem" if kind == "own" else errno.ENODATA
        for _ in range(2):
            assert call(_ask, file, XATTR) == other
            assert call(_ask, mount.path, "user.other") == other
            if kind == "own":
                assert call(_ask, file, "user.own") == b"/folder/file"
            path = Path(call(_look, mount.path))
            assert client(mount.path) == "done"
            assert client(file) == "done"
        status = path.stat()
        assert stat.S_ISSOCK(status.st_mode)
        folder = path.parent.stat()
        assert (folder.st_uid, stat.S_IMODE(folder.st_mode)) == (os.getuid(), 0o711)
    assert not path.parent.exists()


def test_no_channel(work, transport):
    """Where there is none, one line says so; a path that is nowhere is something else."""
    with Mount(work, transport) as mount:
        assert client(mount.path) == "connect: Operation not supported"
        assert client(mount.path / "missing") == "connect: No such file or directory"
    assert client(work) == "connect: Operation not supported"
    assert client("/proc/self") == "connect: Operation not supported"


def test_one_per_session(work, transport):
    with paths(work, transport, CHANNEL_TWICE="1") as mount:
        assert client(mount.path) == "done"
        assert "again: File exists\n" in mount.log()


def _through_bind_mounts(mountpoint, view):
    """In a mount namespace of its own. What the client said each time."""
    libc.own_mount_namespace()
    said = []
    libc.mount(mountpoint / "folder", view, "none", libc.MS_BIND, "")
    said.append(client(view))
    said.append(client(view / "file"))
    # The root has another mount on top of it: nobody can ask it any more.
    libc.mount("none", mountpoint, "tmpfs", 0, "")
    said.append(client(view / "file"))
    said.append(client(mountpoint))
    libc.unmount_lazily(mountpoint)
    said.append(client(view / "file"))
    libc.unmount_lazily(mountpoint)
    said.append(client(view / "file"))
    return said


def test_bind_mounts(work, transport):
    view = work / "view"
    view.mkdir()
    with paths(work, transport) as mount:
        said = call(_through_bind_mounts, mount.path, view, timeout=LIMIT)
    out_of_reach, none = "connect: Invalid cross-device link", "connect: Operation not supported"
    assert said == ["done", "done", out_of_reach, none, "done", out_of_reach]


def test_symbolic_link(work, transport):
    link = work / "link to it"
    with paths(work, transport) as mount:
        link.symlink_to(mount.path / "folder")
        assert client(link) == "done"
        assert client(link / "file") == "done"


def test_blanks_in_the_mount_point(work, transport):
    point = work / "with blank\tand \\ more"
    point.mkdir()
    with Mount(work, transport, program="test/fs/channel", mountpoint=point) as mount:
        assert client(mount.path / "folder") == "done"


# Who is let in


def _welcome(path):
    """What the server says to who connects: 0 or a negative errno."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(LIMIT)
    connection.connect(str(path))
    return MESSAGE.unpack(connection.recv(100))[4]


MESSAGE = struct.Struct("=IHHQiI")
MAGIC, VERSION = 0x4D454D46, 1
GIVE, TAKE_BACK, DONE = 2, 3, 4


def test_own_user(work, transport):
    with store(work, transport, allow_other=False) as mount:
        path = call(channel_of, mount.path)
        assert call(_welcome, path) == 0
        stranger = Credentials(STRANGER, STRANGER)
        assert call(_welcome, path, credentials=stranger) == -errno.EACCES
        said = client(mount.path, prefix=as_user(STRANGER))
        assert said.startswith("connect: ") and "denied" in said, said


def test_allow_other(work, transport):
    with store(work, transport) as mount:
        assert client(mount.path, prefix=as_user(STRANGER)) == "done"
        assert client(mount.path) == "done"


def test_allow_root(work, transport):
    """The kernel lets everybody in then; the library does not."""
    with store(work, transport, allow_other=False, options=["allow_root"]) as mount:
        path = call(channel_of, mount.path)
        assert client(mount.path) == "done"
        stranger = Credentials(STRANGER, STRANGER)
        assert call(_welcome, path, credentials=stranger) == -errno.EACCES


def test_filesystem_decides(work, transport):
    with paths(work, transport, CHANNEL_ALLOW=str(STRANGER)) as mount:
        assert client(mount.path, prefix=as_user(STRANGER)) == "done"
        assert client(mount.path) == "connect: Permission denied"
        assert client(mount.path, prefix=as_user(STRANGER + 1)) == "connect: Permission denied"


# What is left


def test_memory_is_kept_and_given_back(work, transport):
    with store(work, transport) as mount:
        assert pieces(mount) == 0
        with Holder(mount.path) as first, Holder(mount.path) as second:
            assert pieces(mount) == 2
            assert first.end() == "done"
            assert pieces(mount) == 1
            second.kill()
            eventually(lambda: pieces(mount) == 0)
        before = len(mount.fds())
        for _ in range(20):
            assert client(mount.path) == "done"
        eventually(lambda: len(mount.fds()) <= before)


def test_end_with_clients(work, transport):
    """The mount ends as it should, and its client hears of it."""
    with store(work, transport) as mount:
        path = call(channel_of, mount.path)
        holder = Holder(mount.path)
    with holder:
        assert holder.end() == "take back: Broken pipe"
    assert not path.parent.exists()


def test_server_is_killed(work, transport):
    with store(work, transport, exit_status=-signal.SIGKILL, expect=None) as mount:
        path = call(channel_of, mount.path)
        with Holder(mount.path) as holder:
            mount.signal(signal.SIGKILL)
            mount.wait()
            assert holder.end() == "take back: Broken pipe"
    # As much as it could not remove any more.
    path.unlink()
    path.parent.rmdir()


def _running(program):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/exe") == program:
                found.append(int(pid))
        except OSError:
            pass
    return found


def test_in_the_background(work, transport):
    """A fork comes between the opening of the channel, or of the mount, and its thread."""
    program = BUILD.program("example/shared_memory_ll")
    mount = store(work, transport)  # only for its command line
    command = [word for word in mount.command if word != "-f"]
    run(command, timeout=LIMIT)
    try:
        assert entries_at(mount.path)
        path = call(channel_of, mount.path)
        assert client(mount.path) == "done"
        with Holder(mount.path) as holder:
            assert holder.end() == "done"
    finally:
        run(["umount", mount.path])
    eventually(lambda: not path.parent.exists() and not _running(program))


# A descriptor that cannot be closed

FUSE_GETATTR, FUSE_OPEN, FUSE_FLUSH, FUSE_INIT = 3, 14, 25, 26


def _stubborn(device):
    """Serves one file, with all that it takes to open it, and never answers when it is closed."""
    while True:
        try:
            message = os.read(device, 1 << 20)
        except OSError:
            return
        _, opcode, unique = struct.unpack_from("=IIQ", message)
        attributes = struct.pack("=QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0,
                                 stat.S_IFREG | 0o666, 1, 0, 0, 0, 4096, 0)
        answers = {
            FUSE_INIT: struct.pack("=IIIIHHIIHH32x", 7, 31, 0, 0, 0, 0, 4096, 0, 0, 0),
            FUSE_GETATTR: struct.pack("=QII", 60, 0, 0) + attributes,
            FUSE_OPEN: struct.pack("=QII", 0, 0, 0),
        }
        if opcode == FUSE_FLUSH:
            continue
        body = answers.get(opcode, b"")
        error = 0 if opcode in answers else -errno.ENOSYS
        os.write(device, struct.pack("=IiQ", 16 + len(body), error, unique) + body)


class Stubborn:
    """Such a file at .path."""

    def __init__(self, work):
        self.path = work / "stubborn"
        self.path.touch()
        device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={device},rootmode=100000,user_id=0,group_id=0,allow_other"
        libc.mount("stubborn", self.path, "fuse.stubborn", libc.MS_NOSUID | libc.MS_NODEV, options)
        self.server = Child(_stubborn, device)
        os.close(device)

    def end(self):
        """Its server is gone, and with it everything that waits for it ends."""
        self.server.signal(signal.SIGKILL)
        reap(self.server.pid, LIMIT)
        libc.unmount_lazily(self.path)


def _give_stubborn(channel, path, report):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(LIMIT)
    connection.connect(str(channel))
    connection.recv(100)
    fd = os.open(path, os.O_RDONLY)
    message = MESSAGE.pack(MAGIC, VERSION, GIVE, 0, 0, 0)
    socket.send_fds(connection, [message], [fd])
    answer = MESSAGE.unpack(connection.recv(100))
    os.write(report, f"{answer[2]} {answer[4]}\n".encode())
    # The next one is not heard before the descriptor has been closed.
    connection.send(MESSAGE.pack(MAGIC, VERSION, TAKE_BACK, 7, 0, 0))
    answer = MESSAGE.unpack(connection.recv(100))
    os.write(report, f"{answer[2]} {answer[4]}\n".encode())


def _read_line(fd, seconds):
    if not select.select([fd], [], [], seconds)[0]:
        return None
    return os.read(fd, 100).decode()


def test_descriptor_that_cannot_be_closed(work, transport):
    """Whoever gives such a one has to wait for it himself, and nobody else has."""
    reader, writer = os.pipe()
    stubborn = Stubborn(work)
    try:
        with store(work, transport) as mount:
            path = call(channel_of, mount.path)
            stranger = Credentials(STRANGER, STRANGER)
            giver = Child(_give_stubborn, path, stubborn.path, writer, credentials=stranger)
            os.close(writer)
            assert _read_line(reader, LIMIT) == f"{DONE} {-errno.EOPNOTSUPP}\n"
            for _ in range(3):
                assert client(mount.path) == "done"
                assert client(mount.path, prefix=as_user(STRANGER + 1)) == "done"
            with Holder(mount.path) as holder:
                assert holder.end() == "done"
            assert _read_line(reader, 0.3) is None
            stubborn.end()
            stubborn = None
            assert _read_line(reader, LIMIT) == f"{DONE} {-errno.ENOENT}\n"
            giver.result(LIMIT)
            assert client(mount.path, prefix=as_user(STRANGER)) == "done"
    finally:
        os.close(reader)
        if stubborn:
            stubborn.end()
