# SPDX-License-Identifier: GPL-2.0-only
"""
A server and its mount, from start to clean end.

Leaving a Mount checks what every test may take for granted: the server ended with exit
status 0 and no sanitizer finding, nothing is mounted any more, and the statistics say
that the requests went by the transport that the test names.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from . import child, kernel
from .build import BUILD

CONNECTIONS = Path("/sys/fs/fuse/connections")


# Filesystems of paths that read and write in memory only: they do without zero-copy.
IN_MEMORY = {
    *(f"example/{name}" for name in ("hello", "invalidate_path", "ioctl", "memfs", "null")),
    *("example/passthrough", "example/poll", "test/fs/channel", "test/fs/pathops"),
}


class Transport:
    """One way for requests to travel, and how its use shows."""

    def __init__(self, name, hp=(), std=(), options=(), needs=None, rare=False):
        self.name = name
        self.hp = list(hp)  # arguments of passthrough_hp
        self.std = list(std)  # arguments of programs with the library's own command line
        self.options = list(options)  # behind -o, for both
        self.needs = needs  # the dialect without which there is no such transport
        self.rare = rare  # only for tests that name it, or where it is chosen

    @property
    def is_uring(self):
        return any(option.startswith("io_uring") for option in self.options)

    @property
    def is_zero_copy(self):
        return "io_uring_zero_copy" in self.options

    @property
    def dialect(self):
        return self.needs or kernel.best_dialect() if self.is_uring else None

    @property
    def pool(self):
        if self.dialect == "bufpool":
            pinned = "io_uring_pool=registered" in self.options
        elif self.dialect == "bufring":
            pinned = not {"io_uring_pin=none", "io_uring_pin=headers"} & set(self.options)
        else:
            return None
        return "registered" if pinned else "plain"

    @property
    def may_decline(self):
        """Does the kernel ask, file by file, whether there is to be zero-copy?"""
        return self.dialect == "bufpool"

    @property
    def stats(self):
        """What the statistics have to say."""
        return {
            "transport": "io_uring" if self.is_uring else "dev",
            "dialect": self.dialect,
            "pool": self.pool,
            "zero_copy": self.is_zero_copy,
        }

    def stats_of(self, program):
        """The same for a program that has no use for zero-copy, unless it is insisted on."""
        if program in IN_MEMORY and "io_uring_strict" not in self.options:
            return {**self.stats, "zero_copy": False}
        return self.stats

    @property
    def in_one_thread(self):
        """The same with handlers that take turns, whatever time they need."""
        return Transport(f"{self.name}-single", ["--single"], ["-s"], self.options, self.needs)

    @property
    def is_offered(self):
        """Does the running kernel have it?"""
        return self.needs is None or self.needs in kernel.dialects()

    def __repr__(self):
        return self.name


def _bufpool(name, *options, rare=False):
    return Transport(name, options=options, needs="bufpool", rare=rare)


def _bufring(name, *options, rare=False):
    return Transport(name, options=options, needs="bufring", rare=rare)


# A file-system test runs over each of these that the kernel offers. A new dialect is a new
# line. "io_uring" is what the option comes to by itself: a plain pool, where there are pools;
# buffer rings with all memory pinned, where there are these.
TRANSPORTS = {
    transport.name: transport
    for transport in (
        Transport("dev-single", hp=["--single"], std=["-s"]),
        Transport("dev-multi"),
        Transport("dev-clone-fd", hp=["--clone-fd"], std=["-o", "clone_fd"]),
        Transport("io_uring", options=["io_uring"]),
        _bufpool("pool", "io_uring_strict", "io_uring_pool=plain", rare=True),
        _bufpool("pool-registered", "io_uring_strict", "io_uring_pool=registered"),
        _bufpool("zero-copy", "io_uring_zero_copy"),
        _bufpool(
            "zero-copy-registered",
            "io_uring_zero_copy",
            "io_uring_strict",
            "io_uring_pool=registered",
            rare=True,
        ),
        _bufring("ring", "io_uring_strict", "io_uring_pin=none"),
        _bufring("ring-headers", "io_uring_strict", "io_uring_pin=headers", rare=True),
        _bufring("ring-pinned", "io_uring_strict", "io_uring_pin=all", rare=True),
        _bufring("ring-zero-copy", "io_uring_zero_copy"),
    )
}

# What a test's marker may say instead of names.
GROUPS = {
    "rings": [transport.name for transport in TRANSPORTS.values() if transport.is_uring],
    "zero-copies": [name for name in TRANSPORTS if TRANSPORTS[name].is_zero_copy],
}

SANITIZER_REPORT = re.compile(
    r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:|SUMMARY: \w+Sanitizer"
)

_live = []


def possible_cpus():
    """How many CPUs the kernel may ever have: so many queues has a ring."""
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return max(int(part.rpartition("-")[2]) for part in text.split(",")) + 1


def unescape(text):
    """The mount tables write blanks and backslashes as octal numbers."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match.group(1), 8)), text)


def mount_entries():
    """The rows of mountinfo as dictionaries, in the order of mounting."""
    entries = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        first, _, second = line.partition(" - ")
        fields, rest = first.split(), second.split(" ")
        entries.append(
            {
                "minor": int(fields[2].partition(":")[2]),
                "mountpoint": unescape(fields[4]),
                "options": fields[5].split(","),
                "type": unescape(rest[0]),
                "source": unescape(rest[1]),
                "super_options": rest[2].split(","),
            }
        )
    return entries


def entries_at(mountpoint):
    """The mounts at a path, the topmost last."""
    return [entry for entry in mount_entries() if entry["mountpoint"] == str(mountpoint)]


def entries_below(folder):
    """The mounts at or below a path."""
    prefix = str(folder)
    return [
        entry
        for entry in mount_entries()
        if entry["mountpoint"] == prefix or entry["mountpoint"].startswith(prefix + "/")
    ]


def mount_entry(mountpoint):
    """The topmost mount at a path, or None."""
    found = entries_at(mountpoint)
    return found[-1] if found else None


def abort_all():
    for mount in list(_live):
        mount.abort()


child.on_hang.append(abort_all)


def live_mounts():
    return list(_live)


class MountFailed(AssertionError):
    """The server did not mount."""

    def __init__(self, text, status, log):
        super().__init__(f"{text}\nexit status {status}\n{log}")
        self.status, self.log = status, log


class Mount:
    """
    with Mount(work, "io_uring") as m: ... m.path ...

    work: a scratch folder. source: the folder to serve; a new one by default.
    program: with "example/passthrough_hp" the source is served and the command line is
    that program's; any other program is given the mount point and the library's own options.
    expect: statistics that replace those of the transport; None: they are not checked.
    statistics: without them nothing is written, and nothing is checked, either.
    exit_status: what the server has to end with; None: anything.
    """

    def __init__(
        self,
        work,
        transport,
        source=None,
        options=(),
        args=("--nopassthrough",),
        program="example/passthrough_hp",
        program_args=(),
        env=None,
        mountpoint=None,
        prefix=(),
        expect="transport",
        exit_status=0,
        allow_other=True,
        statistics=True,
        popen=None,
    ):
        self.transport = TRANSPORTS[transport] if isinstance(transport, str) else transport
        self.base = Path(tempfile.mkdtemp(prefix="mount-", dir=work))
        self.base.chmod(0o755)
        self.path = Path(mountpoint) if mountpoint else self.base / "mnt"
        if not mountpoint:
            self.path.mkdir()
        self.log_path = self.base / "server.log"
        self.stats_path = self.base / "stats" / "stats.json"
        self.stats_path.parent.mkdir()
        self.expect = self.transport.stats_of(program) if expect == "transport" else expect
        self.exit_status = exit_status
        self.env = env or {}
        self.process = None
        self.minor = None
        self.aborted = False
        self.before = []
        self.look_as = []  # a prefix for the command that takes the first look
        self.popen = popen or {}
        self.source = None

        self.all_options = [*self.transport.options, *options]
        if statistics:
            self.all_options.append(f"stats={self.stats_path}")
        else:
            self.expect = None
        if allow_other:
            self.all_options.append("allow_other")
        if program == "example/passthrough_hp":
            self.source = Path(source) if source else self.base / "src"
            self.source.mkdir(exist_ok=True)
            command = [str(self.source), str(self.path), "--foreground"]
            command += [*self.transport.hp, *args]
        else:
            command = [*program_args, str(self.path), "-f", *self.transport.std]
        self.command = [
            *prefix,
            BUILD.program(program),
            *command,
            *(["-o", ",".join(self.all_options)] if self.all_options else []),
        ]

    # Starting

    def __enter__(self):
        self.start()
        return self

    def start(self, timeout=20):
        """
        Starts the server and waits for its mount; or, if somebody else has mounted and
        `minor` says which mount it is, for its first answer.
        """
        timeout *= BUILD.slowdown
        self.before = entries_at(self.path)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                start_new_session=True,
                **self.popen,
            )
        _live.append(self)
        try:
            self._wait_until_mounted(time.monotonic() + timeout)
        except BaseException:
            self.kill()
            raise

    def _wait_until_mounted(self, deadline):
        while self.minor is None:
            entry = self.entry()
            if entry:
                self.minor = entry["minor"]
                break
            if self.process.poll() is not None:
                raise MountFailed("not mounted", self.process.returncode, self.log())
            if time.monotonic() > deadline:
                where = child.where(self.process.pid)
                raise MountFailed(f"nothing mounted in time\n{where}", None, self.log())
            time.sleep(0.002)
        try:
            command = [*self.look_as, "stat", self.path]
            child.run(command, timeout=max(5, deadline - time.monotonic()))
        except AssertionError as error:
            where = child.where(self.process.pid)
            raise MountFailed(
                f"mounted, but no answer: {error}\n{where}", self.process.poll(), self.log()
            )

    # Looking at the server

    def entry(self):
        """This mount's row in the mount table; None if it is not mounted."""
        found = [
            entry
            for entry in entries_at(self.path)
            if (entry not in self.before if self.minor is None else entry["minor"] == self.minor)
        ]
        return found[-1] if found else None

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        if self.process is None or self.process.poll() is not None or self.aborted:
            return False
        return self.entry() is not None

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def stats(self):
        """The statistics as the server last wrote them."""
        return json.loads(self.stats_path.read_text())

    def fds(self):
        """What the server's descriptors point to, by number."""
        links = {}
        for number in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                links[int(number)] = os.readlink(f"/proc/{self.pid}/fd/{number}")
            except OSError:
                pass
        return links

    def ring_memory(self):
        """Bytes of the queues' memory files that are there, for all that they may become."""
        folder = f"/proc/{self.pid}/fd"
        links = self.fds().items()
        files = [number for number, link in links if link.startswith("/memfd:fuse-ring")]
        return sum(os.stat(f"{folder}/{number}").st_blocks * 512 for number in files)

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def zero_copied(self):
        """
        Once the mount is closed: the part of all bytes read and written that was zero-copied,
        and the part of all requests for which the kernel had made it possible, but which were
        copied.
        """
        stats = self.stats()
        moved, copied = stats["zero_copied_requests"], stats["copied"]
        data = stats["bytes_read"] + stats["bytes_written"]
        return stats["zero_copied_bytes"] / max(1, data), copied / max(1, moved + copied)

    def resident(self):
        """Resident memory in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_ticks(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    # Ending

    def abort(self):
        """Aborts the connection: every call on the mount ends with an error."""
        if self.minor is None:
            return
        self.aborted = True
        try:
            (CONNECTIONS / str(self.minor) / "abort").write_text("1")
        except OSError:
            pass

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def unmount(self, lazy=False, timeout=20):
        """umount(8), with some patience for clients that are about to end."""
        deadline = time.monotonic() + timeout
        while True:
            command = ["umount", *(["-l"] if lazy else []), str(self.path)]
            result = child.run(command, timeout=timeout, check=False)
            if result.returncode == 0:
                return
            if self.entry() is None:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"umount: {result.stdout}")
            time.sleep(0.05)

    def wait(self, timeout=15):
        """Waits until the server has ended; its exit status."""
        try:
            return self.process.wait(timeout * BUILD.slowdown)
        except subprocess.TimeoutExpired:
            where = child.where(self.process.pid)
            self.kill()
            raise AssertionError(f"the server did not end:\n{where}\n{self.log()}")

    def kill(self):
        """Ends server and mount by force. For cleaning up after a failure."""
        if self.process is None:
            return
        # Without the mount its connection's number may be another's by now.
        if self.entry() is not None:
            self.abort()
        if self.process.poll() is None:
            self.process.kill()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        while self.entry() is not None:
            if subprocess.run(["umount", "-l", str(self.path)]).returncode != 0:
                break
        if self in _live:
            _live.remove(self)

    def __exit__(self, kind, error, trace):
        if error is not None:
            self.kill()
            if hasattr(error, "add_note"):
                error.add_note(f"server's log:\n{self.log()}")
            return
        self.close()

    def close(self):
        """Unmounts and checks that everything ended as it should."""
        if self not in _live:
            return
        try:
            if self.entry() is not None:
                self.unmount()
            status = self.wait()
        finally:
            self.kill()
        self.check(status)

    def disconnected(self, timeout=5):
        """
        Has the kernel forgotten the connection? It may take a moment after the last
        client, and the number may meanwhile have been given to another mount.
        """
        deadline = time.monotonic() + timeout
        while self.minor is not None and (CONNECTIONS / str(self.minor)).exists():
            if any(entry["minor"] == self.minor for entry in mount_entries()):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def check(self, status):
        """What has to be true once the server has ended."""
        log = self.log()
        problems = []
        if SANITIZER_REPORT.search(log):
            problems.append("a sanitizer reported something")
        if self.exit_status is not None and status != self.exit_status:
            problems.append(f"exit status {status} instead of {self.exit_status}")
        if self.entry() is not None:
            problems.append("still mounted")
        if not self.disconnected():
            problems.append(f"connection {self.minor} still exists")
        if self.expect is not None:
            problems += self._stats_problems()
        if problems:
            raise AssertionError("; ".join(problems) + f"\nserver's log:\n{log}")

    def _stats_problems(self):
        """Did the requests take the path that the test names?"""
        try:
            stats = self.stats()
        except (OSError, ValueError) as error:
            return [f"no statistics: {error}"]
        problems = [
            f"statistics say {key} {stats.get(key)!r} instead of {value!r}"
            for key, value in self.expect.items()
            if stats.get(key, "nothing") != value
        ]
        if not stats.get("requests"):
            problems.append("statistics count no requests")
        if self.expect.get("transport") == "io_uring":
            queues = stats.get("per_queue", [])
            if stats.get("queues") != possible_cpus() or len(queues) != possible_cpus():
                problems.append(f"{stats.get('queues')} queues, {len(queues)} counted")
            for key in ("requests", "commits"):
                if not sum(queue.get(key, 0) for queue in queues):
                    problems.append(f"the queues' {key} are all 0")
        elif stats.get("commits") or stats.get("enters"):
            problems.append("a ring was used")
        return problems


def without_privilege(mount):
    """The same server without CAP_SYS_ADMIN, on a mount that somebody else makes."""
    script = Path(__file__).parent / "without_privilege.py"
    mount.command = ["/usr/bin/python3", str(script), str(mount.path), *mount.command]
    return mount
