# SPDX-License-Identifier: GPL-2.0-only
"""The contenders: the source itself, and passthrough_hp serving it in several ways."""

import json
import os
import subprocess
import time
from pathlib import Path

from commands import Failure, end, interrupts, run

CONNECTIONS = Path("/sys/fs/fuse/connections")
START_SECONDS = 15
END_SECONDS = 15


class Contender:
    """
    One column. `program` is None for the source itself. `transport` is what has to have
    carried the requests, and `dialect` in which form, if that matters; `peer` is a program
    of another library, which has no statistics. `proof` is what else statistics have to say.
    """

    library = None  # which has to be the one that is loaded, if there is a choice
    has_own_files = False  # rather than the source's
    shared = None  # whether data are in memory that clients share, if that matters

    def __init__(self, name, program=None, transport=None, options=(), peer=False, proof=None):
        self.name, self.program, self.transport = name, program, transport
        self.options, self.peer, self.proof = tuple(options), peer, proof or {}

    def command(self, source, path, options):
        options = ["-o", ",".join(options)] if options else []
        return [self.program, "--foreground", "--nopassthrough", *options, source, path]

    @property
    def zero_copy(self):
        return "io_uring_zero_copy" in self.options

    def serve(self, scratch):
        return Server(self, scratch) if self.program else Source(scratch.source)


def contenders(program):
    return [
        Contender("tmpfs"),
        Contender("dev", program, "dev"),
        Contender("uring, no poll", program, "io_uring", ["io_uring", "io_uring_poll_us=0"]),
        Contender("uring", program, "io_uring", ["io_uring"]),
    ]


def peer_contenders(program):
    return [
        Contender("peer dev", program, "dev", peer=True),
        Contender("peer uring", program, "io_uring", ["io_uring"], peer=True),
    ]


def _ring(program, name, dialect, *options, **proof):
    proof = {"dialect": dialect, **proof}
    return Contender(name, program, "io_uring", ["io_uring", *options], proof=proof)


def pool_contenders(program):
    """Where payloads lie, from the oldest way to the newest; Linux 7.3 has them all."""
    return [
        _ring(program, "per entry", "per_entry", "io_uring_pool=none"),
        _ring(program, "pool", "bufpool", "io_uring_pool=plain"),
        _ring(program, "registered", "bufpool", "io_uring_pool=registered"),
        _ring(program, "two buffers", "bufpool", "io_uring_pool=plain", "io_uring_bufs=2"),
    ]


def zero_copy_contenders(program):
    """Those whose payloads are as large as can be, and the ways past the server."""
    return [
        *pool_contenders(program)[:3],
        _ring(program, "unlinked", "bufpool", "io_uring_zero_copy", "io_uring_unlinked"),
        _ring(program, "zero-copy", "bufpool", "io_uring_zero_copy"),
    ]


def ring_contenders(program):
    """What Linux 7.2 has of its own, and what our patches give it."""
    strict = "io_uring_strict"
    return [
        _ring(program, "per entry", "per_entry", "io_uring_pool=none"),
        _ring(program, "ring", "bufring", strict, "io_uring_pin=none", pool="plain"),
        _ring(program, "pinned", "bufring", strict, "io_uring_pin=all", pool="registered"),
        _ring(program, "zero-copy ring", "bufring", strict, "io_uring_zero_copy"),
    ]


class PathBased(Contender):
    """The example `passthrough`, with the library and everything below it chosen for it."""

    def __init__(self, name, program, loader, folders, library, preload=(), **keywords):
        super().__init__(name, program, **keywords)
        self.library = library.resolve()
        folders = ":".join(str(folder) for folder in folders)
        self.loader = [loader, "--library-path", folders]
        for path in preload:
            self.loader += ["--preload", path]

    def command(self, source, path, options):
        options = ",".join([*options, "modules=subdir", f"subdir={source}"])
        return [*self.loader, self.program, "-f", "--plus", "-o", options, path]


def _only(folder, pattern):
    found = sorted(folder.glob(pattern))
    if not found:
        raise Failure(f"--path-based: there is no {pattern} in {folder}")
    return found[0]


def path_contenders(program, debian):
    """
    One program, with the library of another Debian and with ours; both with the C library
    and the loader of that Debian.
    """
    theirs = _only(debian, "usr/lib/*/libfuse3.so.4")
    loader = _only(debian, "lib*/ld-linux*.so.*")
    ours = program.parent.parent / "lib" / "libfuse3.so.4"
    needs = subprocess.run(["ldd", ours], capture_output=True, text=True, check=True).stdout
    rings = [line.split()[2] for line in needs.splitlines() if "liburing" in line]
    system = theirs.parent
    with_ours = program, loader, [ours.parent, system], ours, rings
    return [
        PathBased("theirs", program, loader, [system], theirs, transport="dev", peer=True),
        PathBased("dev", *with_ours, transport="dev"),
        PathBased("uring", *with_ours, transport="io_uring", options=["io_uring"]),
    ]


class Unmodified(Contender):
    """
    An example that has never heard of zero-copy. `arguments` are its own options, in which {} is
    the source; one without any has files of its own.
    """

    def __init__(self, name, program, arguments, option, pays):
        super().__init__(name, program, "io_uring", [option])
        self.arguments, self.pays = arguments, pays

    def command(self, source, path, options):
        options = ",".join([*options, *(text.format(source) for text in self.arguments)])
        return [self.program, "-f", "-o", options, path]

    @property
    def zero_copy(self):
        return super().zero_copy and self.pays

    @property
    def has_own_files(self):
        return not self.arguments


def unmodified_contenders(program):
    """
    With descriptors on either interface; with bytes that it looks at, as what encrypts or
    compresses does; and with bytes of its own. Each with the option and without.
    """
    by_path = ["modules=subdir", "subdir={}"]
    kinds = [
        ("fh", "passthrough_fh", by_path, True),
        ("ll", "passthrough_ll", ["source={}", "cache=auto"], True),
        ("looks", "passthrough", by_path, False),
        ("memory", "memfs", [], False),
    ]
    return [
        Unmodified(name + suffix, program.parent / example, arguments, option, pays)
        for name, example, arguments, pays in kinds
        for suffix, option in (("", "io_uring"), (" zc", "io_uring_zero_copy"))
    ]


class Checking(Contender):
    """A server that looks at every byte; with clients' data in a ring's memory, or in theirs."""

    def __init__(self, name, program, shared, arguments=()):
        options = ["io_uring"] if shared else ["io_uring", "io_uring_pool=plain"]
        super().__init__(name, program, "io_uring", options, proof={"zero_copy": False})
        self.shared = shared
        self.arguments = arguments if shared else [*arguments, "--no-channel"]

    def command(self, source, path, options):
        arguments = [text.format(source) for text in self.arguments]
        return [self.program, "-f", *arguments, "-o", ",".join(options), path]

    has_own_files = True


def checking_contenders(program):
    """A store in files, that has to copy once itself, and a server that only looks."""
    sums = program.parent.parent / "bench" / "sums_ll"
    kinds = [("store", program, ["--store={}"]), ("looks", sums, [])]
    return [
        Checking(name + suffix, server, shared, arguments)
        for name, server, arguments in kinds
        for suffix, shared in ((" pool", False), (" shared", True))
    ]


class Source:
    """The served folder, without anything in between."""

    process = None
    statistics = None
    least = 0

    def __init__(self, path):
        self.path = path

    def close(self):
        pass

    def problem(self):
        return None


class Server:
    """A server process and its mount. Call close() whatever happens."""

    def __init__(self, contender, scratch):
        self.contender, self.source = contender, scratch.source
        name = contender.name.replace(",", "").replace(" ", "-")
        self.path = scratch.path / name
        self.stats_path = scratch.path / f"{name}.json"
        self.log_path = scratch.path / f"{name}.log"
        self.least = 0  # requests that have to have come, by what the workloads say
        self.statistics = None
        self.rings = 0
        self.process = None
        self.path.mkdir(exist_ok=True)
        self.stats_path.unlink(missing_ok=True)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _command(self):
        options = [*self.contender.options]
        if not self.contender.peer:
            options.append(f"stats={self.stats_path}")
        return [str(word) for word in self.contender.command(self.source, self.path, options)]

    def _start(self):
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while mounted_as(self.path) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{self.contender.name}: did not mount\n{self.log()}")
            time.sleep(0.005)
        run(["stat", self.path], START_SECONDS)
        self.rings = self._rings()
        self._check_library()

    def _check_library(self):
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        wanted = self.contender.library
        if wanted and str(wanted) not in maps:
            raise Failure(f"{self.contender.name}: runs without {wanted}")

    def _rings(self):
        """How many io_uring instances the server has open."""
        count = 0
        folder = f"/proc/{self.process.pid}/fd"
        for number in os.listdir(folder):
            try:
                count += os.readlink(f"{folder}/{number}") == "anon_inode:[io_uring]"
            except OSError:
                pass
        return count

    def log(self):
        return self.log_path.read_text(errors="replace").strip()[-2000:]

    # The end

    def close(self):
        """Unmounts, waits for the server, by force if need be, and reads its statistics."""
        if self.process:
            with interrupts.deferred():
                self._close()

    def _close(self):
        try:
            if mounted_as(self.path) is None:
                self.process.terminate()
            else:
                self._unmount()
            self.process.wait(END_SECONDS)
        except (Failure, subprocess.TimeoutExpired):
            self._force()
        self.process = None
        if self.stats_path.exists():
            self.statistics = json.loads(self.stats_path.read_text())

    def _unmount(self):
        """The last file that a client had open is released shortly after it has ended."""
        deadline = time.monotonic() + 5
        while mounted_as(self.path) is not None:
            try:
                run(["umount", self.path], END_SECONDS)
            except Failure:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _force(self):
        minor = mounted_as(self.path)
        if minor is not None and (CONNECTIONS / str(minor)).exists():
            (CONNECTIONS / str(minor) / "abort").write_text("1")
        end(self.process)
        if mounted_as(self.path) is not None:
            run(["umount", "-l", self.path], END_SECONDS)

    # Afterwards

    def problem(self):
        """Why this mount's figures do not stand for what its column says; None if they do."""
        wanted = self.contender.transport
        if self.contender.peer:
            used = "io_uring" if self.rings else "dev"
            return None if used == wanted else f"{self.rings} rings were open"
        stats = self.statistics
        if not stats:
            return "there are no statistics"
        if stats["transport"] != wanted:
            return f"went by {stats['transport']}: {self.log() or 'nobody says why'}"
        for key, value in self.contender.proof.items():
            if stats[key] != value:
                return f"had {stats[key]} for {key}, not {value}"
        if self.contender.zero_copy and stats["zero_copied_requests"] < 0.99 * self.least:
            return f"zero-copied {stats['zero_copied_requests']} requests of {self.least}"
        if self.contender.shared is not None:
            count, least = stats["shared_requests"], 0.99 * self.least
            if count < least if self.contender.shared else count:
                return f"{count} requests were in shared memory, of {self.least}"
        on_rings = sum(queue["requests"] for queue in stats["per_queue"])
        carried = on_rings if wanted == "io_uring" else stats["requests"] - on_rings
        if carried < self.least:
            return f"{wanted} carried {carried} requests, of {self.least} at the least"
        polls = stats["polls_hit"] + stats["polls_missed"]
        if polls and "io_uring_poll_us=0" in self.contender.options:
            return f"polled {polls} times"
        return None


def unescape(text):
    """The mount table writes blanks and backslashes as octal numbers."""
    return text.encode().decode("unicode_escape")


def mounted_as(path):
    """The minor device number of the mount at a path, None without one. Never blocks."""
    found = None
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if unescape(fields[4]) == str(path):
            found = int(fields[2].partition(":")[2])
    return found
