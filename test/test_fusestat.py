# SPDX-License-Identifier: GPL-2.0-only
"""
fusestat and what it asks: the live channel, the figures in all their forms, and every reason for
which data are not zero-copied, provoked.
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from fusetest import libc, pattern
from fusetest.build import BUILD
from fusetest.child import Child, Credentials, call, run
from fusetest.mount import Mount, entries_at, mount_entry
from fusetest.ways import serve

MIB = 1 << 20
FOREIGN = Path(__file__).parent / "fusetest" / "foreign.py"
STATS = 0x80000000 | 1040 << 16 | 0xE5 << 8 | 0xC5  # FUSE_LIVE_IOC_STATS

pytestmark = pytest.mark.sanitize


def fusestat(*arguments, status=0, timeout=40, **keywords):
    """What it prints, on both of its outputs."""
    command = [BUILD.program("util/fusestat"), *arguments]
    keywords.setdefault("stderr", subprocess.STDOUT)
    result = run(command, check=False, timeout=timeout * BUILD.slowdown, **keywords)
    assert result.returncode == status, result.stdout
    return result.stdout


def complaint(*arguments, **keywords):
    """The one line on standard error of a call that fails; nothing is on the other output."""
    command = [str(word) for word in (BUILD.program("util/fusestat"), *arguments)]
    result = run(command, check=False, stderr=subprocess.PIPE, **keywords)
    assert result.returncode == 1 and result.stdout == "", result
    assert re.fullmatch(r"fusestat: .+\n", result.stderr), result.stderr
    return result.stderr


def figures(mount):
    return json.loads(fusestat("--json", mount.path))


def read_and_write(path, rounds=1):
    content = pattern.data(2 * MIB)
    path.write_bytes(content)
    for _ in range(rounds):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.read(fd, MIB) == content[:MIB]
        os.close(fd)


def keep_busy(path, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        read_and_write(path)


# The figures

OWN = {"mountpoint", "type", "pid"}


def test_same_as_the_file(work, transport):
    """What is told live is what the statistics file has at the end, but for what came later."""
    with Mount(work, transport) as mount:
        call(read_and_write, mount.path / "file", 3)
        live = figures(mount)
        assert live["mountpoint"] == str(mount.path)
        assert live["type"] == mount.entry()["type"]
        assert live["pid"] == mount.pid
    stats = mount.stats()
    assert set(live) - OWN == set(stats) - {"per_queue"}
    for key in ("transport", "dialect", "pool", "zero_copy", "queues"):
        assert live[key] == stats[key], key
    assert live["copy_reasons"] == stats["copy_reasons"]
    data = "bytes_read bytes_written zero_copied_requests zero_copied_bytes linked broken copied"
    for key in (*data.split(), "unlinked", "pool_bytes", "copied_bytes"):
        assert live[key] == stats[key], key
    assert live["bytes_written"] == 2 * MIB
    for key in ("requests", "replies", "errors", "commits", "enters"):
        assert 0 <= live[key] <= stats[key], key
    # The ioctl's answer, closing, and what unmounting takes.
    assert stats["replies"] - live["replies"] <= 8, (live, stats)


def test_costs_its_own_requests_only(work, transport):
    with Mount(work, transport) as mount:
        first = figures(mount)
        for _ in range(9):
            figures(mount)
        last = figures(mount)
    # Opening, asking, closing; perhaps a look at attributes.
    assert 10 * 3 <= last["requests"] - first["requests"] <= 10 * 4
    for key in ("errors", "bytes_read", "bytes_written", "copied"):
        assert first[key] == last[key], key


@pytest.mark.parametrize(
    "program, options",
    [
        ("example/hello_ll", []),
        ("test/fs/pathops", []),
        ("test/fs/zero_copy", ["folder=/tmp"]),
    ],
)
def test_other_filesystems(work, transport, program, options, tmp_path):
    options = [option.replace("/tmp", str(tmp_path)) for option in options]
    expect = None if program == "test/fs/pathops" else "transport"
    with Mount(work, transport, program=program, options=options, expect=expect) as mount:
        assert figures(mount)["transport"] == mount.transport.stats["transport"]
        assert figures(mount)["dialect"] == mount.transport.stats["dialect"]


def ask(path, number=STATS, memory=1040):
    """The ioctl by hand. The outcome: an errno, or the answer's first eight bytes."""
    fd = os.open(path, os.O_RDONLY)
    try:
        answer = bytearray(memory)
        fcntl.ioctl(fd, number, answer)
        return struct.unpack_from("=II", answer)
    except OSError as error:
        return error.errno
    finally:
        os.close(fd)


@pytest.mark.transport("dev-multi", "io_uring", "zero-copies")
def test_no_other_ioctl_is_touched(work, transport):
    """A filesystem with ioctls of its own, for directories too, keeps all but one number."""
    with Mount(work, transport, program="test/fs/allops", expect=None) as mount:
        get_size = 0x80084501
        assert call(ask, mount.path) == (1, 1040)
        before = call(ask, mount.path, get_size)
        call((mount.path / "folder").mkdir)
        assert call(ask, mount.path, get_size)[0] == before[0] + 1
        # Its own answer to what it does not know, on any other directory.
        unknown = call(ask, mount.path, STATS - 1)
        assert isinstance(unknown, int)
        assert call(ask, mount.path / "folder") == unknown


# Lines


def columns(line):
    requests, read, written, *rest = line.split()
    return float(requests), float(read), float(written), " ".join(rest)


def test_lines_of_an_idle_mount(work, transport):
    with Mount(work, transport) as mount:
        output = fusestat("-i", "0.2", "-n", 3, mount.path)
    heading, names, *lines = output.splitlines()
    way = "io_uring, " + mount.transport.dialect if mount.transport.is_uring else "/dev/fuse"
    assert heading.startswith(f"{mount.path}: fuse.passthrough_hp, {way}")
    assert ("zero-copy" in heading) == mount.transport.is_zero_copy
    assert names.split()[0] == "requests/s" and len(lines) == 3
    for line in lines:
        requests, read, written, rest = columns(line)
        assert (read, written, rest) == (0, 0, "-")
        assert requests < 40  # its own


@pytest.mark.transport("dev-multi", "rings")
def test_lines_of_a_busy_mount(work, transport):
    with Mount(work, transport) as mount:
        client = Child(keep_busy, mount.path / "file", 6 * BUILD.slowdown)
        time.sleep(0.5)
        interval = f"--interval={BUILD.slowdown}"
        lines = fusestat(interval, "--count=3", mount.path).splitlines()[2:]
        client.result(60 * BUILD.slowdown)
    assert len(lines) == 3
    for line in lines:
        requests, read, written, rest = columns(line)
        assert requests > 1 and read + written > 0, line
        if mount.transport.is_zero_copy:
            assert rest == "100.0 %", line
        else:
            assert re.fullmatch(r"0.0 % (queue|device) \d+", rest), line
    assert sum(columns(line)[2] for line in lines) > 0


def test_without_rings_it_says_so(work):
    with Mount(work, "dev-multi") as mount:
        heading = fusestat("-n", 1, "-i", "0.1", mount.path).splitlines()[0]
    assert heading.endswith("fuse.passthrough_hp, /dev/fuse, without io_uring")


# The screen


class Terminal:
    """fusestat in a terminal; .lines() is what can be seen by now."""

    def __init__(self, *arguments, rows=24, columns=80):
        self.columns, self.output = columns, b""
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        command = [BUILD.program("util/fusestat"), *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C"},
        )

    def read(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                self.output += os.read(self.master, 65536)

    def read_until(self, screens, seconds=30):
        end = time.monotonic() + seconds * BUILD.slowdown
        while self.output.count(b"\033[H") < screens + 1:
            assert time.monotonic() < end, self.output
            assert self.process.poll() is None, self.output
            self.read(0.05)

    def screens(self):
        """Those that are complete, as lists of lines."""
        found = []
        for text in self.output.decode().split("\033[H")[1:]:
            text = re.sub(r"\033\[[0-9?]*[a-zA-Z]", "", text)
            found.append(re.split(r"\r+\n", text))
        return found

    def end(self, key):
        """Presses it, and checks what is left behind. The exit status."""
        if key:
            os.write(self.master, key)
        try:
            status = self.process.wait(20 * BUILD.slowdown)
        finally:
            self.process.kill()
        self.read(0.2)
        after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        assert after == self.before
        left = self.output.rpartition(b"\033[?1049h")
        assert b"\033[?25h\033[?1049l" in left[2], left[2][-200:]
        return status


@pytest.mark.transport("dev-multi", "rings")
def test_screen(work, transport):
    with Mount(work, transport) as mount:
        client = Child(keep_busy, mount.path / "file", 8)
        terminal = Terminal("-i", "0.3", mount.path)
        terminal.read_until(4)
        assert terminal.end(b"q") == 0
        client.result()
    screens = terminal.screens()
    assert len(screens) >= 4
    assert all(len(line) <= 80 for screen in screens for line in screen), screens
    assert all(len(screen) <= 24 for screen in screens), screens
    requests = [
        int(line.split()[-1].replace(",", ""))
        for screen in screens
        for line in screen
        if line.startswith("requests")
    ]
    assert requests == sorted(set(requests)), "each screen has what is new"
    text = "\n".join(screens[-2])
    assert "fuse.passthrough_hp" in text and f"server {mount.pid}" in text
    if mount.transport.is_uring:
        assert f"io_uring, {mount.transport.dialect}" in text
    else:
        assert "/dev/fuse, without io_uring" in text
    why = "none" if mount.transport.is_zero_copy else \
          "queue" if mount.transport.is_uring else "device"
    assert re.search(rf"were not zero-copied\n +{why}\b", text), text


@pytest.mark.parametrize("rows, columns", [(24, 80), (8, 30), (60, 200), (1, 1)])
def test_sizes_of_screens(work, rows, columns):
    """Control-C ends it, too. The mount point's name is long, and not to be obeyed."""
    point = work / ("a\033[2J\t" + "b" * 150)
    point.mkdir()
    with Mount(work, "dev-multi", mountpoint=point) as mount:
        terminal = Terminal("-i", "0.2", mount.path, rows=rows, columns=columns)
        terminal.read_until(3)
        assert terminal.end(b"\003") == 0
    assert b"\033[2J" not in terminal.output
    for screen in terminal.screens()[:-1]:
        assert len(screen) <= rows and all(len(line) <= columns for line in screen), screen


def test_names_are_not_obeyed(work):
    """A terminal shows what others call their file system, and does nothing of it."""
    name = "odd\033[2J"
    with Mount(work, "dev-multi", options=[f"subtype={name}"]) as mount:
        lines = fusestat("-i", "0.1", "-n", "1", mount.path)
        assert "\033" not in lines and "fuse.odd?[2J" in lines
        assert figures(mount)["type"] == f"fuse.{name}"
        (mount.source / "folder").mkdir()
        assert "fuse.odd?[2J" in complaint(mount.path / "folder")
        assert "b?[2J" in complaint(work / "b\033[2J")


def test_path_that_is_not_text(work):
    """JSON has characters, and a path is bytes: none of them is lost, or obeyed."""
    point = work / os.fsdecode(b"\xc3\xbc\xc2\x9b2J\xff\x9b")
    point.mkdir()
    command = [BUILD.program("util/fusestat"), "--json", point]
    with Mount(work, "dev-multi") as mount:
        run(["mount", "--bind", mount.path, point])
        try:
            output = subprocess.check_output(command, timeout=40 * BUILD.slowdown)
        finally:
            run(["umount", point])
    assert "\x9b" not in output.decode() and "ü" in output.decode()
    assert json.loads(output)["mountpoint"] == str(point)


def test_screen_is_left_after_so_many(work):
    with Mount(work, "dev-multi") as mount:
        terminal = Terminal("-i", "0.1", "-n", 2, mount.path)
        assert terminal.end(b"") == 0
    assert len(terminal.screens()) == 2


def test_stopped_and_continued(work):
    """Control-Z gives the terminal back for as long."""
    with Mount(work, "dev-multi") as mount:
        terminal = Terminal("-i", "0.2", mount.path)
        terminal.read_until(2)
        os.kill(terminal.process.pid, signal.SIGTSTP)
        assert os.waitpid(terminal.process.pid, os.WUNTRACED)[1] & 0xFF == 0x7F
        assert termios.tcgetattr(terminal.slave) == terminal.before
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.read_until(terminal.output.count(b"\033[H") + 2)
        assert terminal.end(b"q") == 0


# Who gets no answer


def test_what_is_no_fuse_mount(work):
    assert "not a FUSE file system, but " in complaint("/proc")
    assert "not a FUSE file system, but " in complaint(work)
    assert os.strerror(2) in complaint(work / "missing")
    with Mount(work, "dev-multi") as mount:
        (mount.source / "folder").mkdir()
        assert "not its mount point" in complaint(mount.path / "folder")
        other = work / "bound"
        other.mkdir()
        run(["mount", "--bind", mount.path / "folder", other])
        try:
            assert "not its mount point" in complaint(other)
        finally:
            run(["umount", other])


@pytest.mark.parametrize(
    "arguments",
    [[], ["a", "b"], ["-n", "0", "/"], ["-n", "x", "/"], ["-i", "0", "/"], ["-i", "1x", "/"]],
)
def test_wrong_calls(arguments):
    complaint(*arguments)


def test_help_and_version():
    assert fusestat("--help").startswith("usage: fusestat ") and fusestat("-h")
    assert re.fullmatch(r"fusestat version: \d+\.\d+\.\d+\n", fusestat("--version"))


@pytest.fixture
def foreign(work):
    """Starts the server without a library; an argument says what it does not answer."""
    point = work / "foreign"
    started = []

    def start(*arguments, file=False):
        point.touch() if file else point.mkdir()
        process = subprocess.Popen([sys.executable, "-B", FOREIGN, point, *map(str, arguments)])
        started.append(process)
        while not mount_entry(point):
            assert process.poll() is None
            time.sleep(0.01)
        return point

    yield start
    libc.unmount_lazily(str(point))
    for process in started:
        process.kill()
        process.wait()
    assert not entries_at(point)


def test_other_library(foreign):
    assert "fuse.foreign does not use this library" in complaint(foreign())


@pytest.mark.parametrize("opcode", [27, 39], ids=["opendir", "ioctl"])
def test_server_that_keeps_a_request(foreign, opcode):
    """Nothing can end the one who asks, who is not the one who waits for it."""
    point = foreign(opcode)
    start = time.monotonic()
    assert "has not answered for 5 seconds" in complaint(point)
    assert 4.9 < time.monotonic() - start < 5 + 3 * BUILD.slowdown


def test_server_that_keeps_who_has_its_answer(foreign):
    """Closing a file asks the server once more, and who waits for that cannot be ended either."""
    point = foreign(25, file=True)
    assert json.loads(fusestat("--json", point, timeout=10))["transport"] == "foreign"
    text = fusestat("-i", "0.1", point, status=1, timeout=20)
    assert text.count("\n") > 5 and "does not let go of who has asked it" in text


def test_stopped_and_continued_without_a_page(foreign):
    """There is none to come back to."""
    terminal = Terminal("--json", foreign(39))
    terminal.read(0.5)
    os.kill(terminal.process.pid, signal.SIGTSTP)
    assert os.waitpid(terminal.process.pid, os.WUNTRACED)[1] & 0xFF == 0x7F
    os.kill(terminal.process.pid, signal.SIGCONT)
    assert terminal.process.wait(10 * BUILD.slowdown) == 1
    terminal.read(0.2)
    os.close(terminal.master)
    os.close(terminal.slave)
    assert "has not answered" in terminal.output.decode() and b"\033" not in terminal.output


@pytest.mark.transport("dev-single", "dev-multi", "io_uring")
def test_stopped_server(work, transport):
    with Mount(work, transport) as mount:
        mount.signal(signal.SIGSTOP)
        try:
            assert "has not answered for 5 seconds" in complaint("--json", mount.path)
            terminal = Terminal(mount.path)
            terminal.read(1)
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.process.wait(2 * BUILD.slowdown) == 0, "at once"
            os.close(terminal.master)
            os.close(terminal.slave)
        finally:
            mount.signal(signal.SIGCONT)
        assert figures(mount)["pid"] == mount.pid


def test_who_may_ask(work, transport):
    program = BUILD.program("util/fusestat")

    def refused():
        result = run([program, "--json", mount.path], check=False)
        return result.returncode, result.stdout

    with Mount(work, transport) as mount:
        status, text = call(refused, credentials=Credentials(12345, 12345))
        assert status == 1 and "only its owner and root may ask" in text
        assert call(ask, mount.path, credentials=Credentials(12345, 12345)) == 1  # EPERM


def test_private_mount_of_a_user(work):
    """Root is let in as the one who owns it."""
    uid = 12345

    def become():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)

    source = work / "users"
    source.mkdir()
    fd = os.open("/dev/fuse", os.O_RDWR)
    point = work / "users-mount"
    point.mkdir()
    data = f"fd={fd},rootmode=40000,user_id={uid},group_id={uid}"
    libc.mount("users", point, "fuse.users", 0, data)
    server = subprocess.Popen(
        [BUILD.program("example/hello_ll"), "-f", f"/dev/fd/{fd}"],
        pass_fds=[fd],
        preexec_fn=become,
    )
    os.close(fd)
    try:
        text = fusestat("--json", point)
        assert json.loads(text)["pid"] == server.pid
        as_owner = call(fusestat, "--json", point, credentials=Credentials(uid, uid))
        assert json.loads(as_owner)["pid"] == server.pid
        assert "only its owner and root" in call(
            fusestat, point, status=1, credentials=Credentials(54321, 54321)
        )
    finally:
        libc.unmount_lazily(str(point))
        try:
            assert server.wait(20 * BUILD.slowdown) == 0
        finally:
            server.kill()


# Reasons


def use(path):
    """So much is written and read: 3 + 3 requests if they go past the page cache."""
    content = pattern.data(3 * 65_536)
    fd = os.open(path, os.O_RDWR)
    for at in range(0, len(content), 65_536):
        assert os.pwrite(fd, content[at : at + 65_536], at) == 65_536
    for at in range(0, len(content), 65_536):
        assert os.pread(fd, 65_536, at) == content[at : at + 65_536]
    os.close(fd)


# For each way to answer: what reads and writes are copied for, if the kernel had prepared them.
REASONS = {
    "fd": (None, None),
    "striped": (None, None),
    "data": (None, None),
    "parts": (None, None),
    "vector": ("several_buffers", "looked_at"),
    "memory": ("memory", "looked_at"),
    "pieces": ("memory", None),
    "payload": ("memory", "looked_at"),
    "retry": ("retry", None),
    "crowded": ("no_descriptor", None),
    "declined": ("declined", "declined"),
}


def expected(*reasons):
    return {
        reason: 3 * reasons.count(reason) for reason in set(reasons) if reason is not None
    }


def counted(stats):
    return {
        name: count for name, count in stats["copy_reasons"].items() if count
    }


@pytest.mark.parametrize("name", REASONS)
def test_reasons(work, transport, name):
    with serve(work, transport, "direct_io") as mount:
        call(use, mount.path / name)
        found = figures(mount)
    reasons = REASONS[name]
    kind = mount.transport
    if not kind.is_uring:
        reasons = ("device", "device")
    elif not kind.is_zero_copy:
        reasons = ("queue", "queue")
    elif name == "declined" and not kind.may_decline:
        reasons = (None, None)  # nobody was asked, and the calls would have been the same
    assert counted(found) == expected(*reasons), found
    data = found["bytes_read"] + found["bytes_written"]
    parts = [found[key] for key in ("zero_copied_bytes", "pool_bytes", "copied_bytes")]
    assert sum(parts) == data == 6 * 65_536, found
    if kind.is_zero_copy:
        assert parts[0] == 65_536 * 3 * reasons.count(None), found
    # In place: what is read or written by descriptor, and what is made where the reply leaves.
    if kind.is_uring and name in ("data", "payload", "declined", "retry", "crowded"):
        assert found["copied_bytes"] == 0, found
    if kind.is_uring and name in ("memory", "pieces", "vector"):
        assert found["copied_bytes"] == 3 * 65_536, found


@pytest.mark.parametrize("option, name", [("old_write", "fd"), ("no_capability", "memory")])
@pytest.mark.transport("zero-copies")
def test_reason_handler(work, transport, option, name):
    """write(), and write_buf() of somebody who has not said that it copes."""
    with serve(work, transport, "direct_io", option) as mount:
        call(use, mount.path / name)
        found = figures(mount)
    reads = REASONS[name][0]
    # fuse_reply_write_fd() moves them past the process, although they are there already
    assert counted(found) == expected(reads, "handler"), found


def read_environment(path):
    fd = os.open(path, os.O_RDONLY)
    size = len(os.read(fd, 65_536))
    os.close(fd)
    return size


@pytest.mark.transport("zero-copies")
def test_reason_file(work, transport):
    with serve(work, transport) as mount:
        size = call(read_environment, mount.path / "environ")
        found = figures(mount)
    assert counted(found) == {"file": 1} and found["pool_bytes"] == size > 0, found


@pytest.mark.transport("zero-copies")
def test_ends_of_files_are_no_reason(work, transport):
    """What has no data has nothing to copy."""
    with serve(work, transport, "direct_io") as mount:
        call(read_environment, mount.path / "memory")
        call(read_environment, mount.path / "fd")
        found = figures(mount)
    assert counted(found) == {} and found["bytes_read"] == 0, found
