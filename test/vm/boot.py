# SPDX-License-Identifier: GPL-2.0-only
"""One run of a guest: from its processes' start to the last of them being gone."""

import argparse
import contextlib
import ctypes
import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cache import INTERRUPTS
from console import Log
from failure import CANNOT, DIED, TIMEOUT, TOLD, Failure
from progress import say

HERE = Path(__file__).resolve().parent
SCRATCH = ("/tmp", "/var/tmp", "/run", "/dev/shm")  # tmpfs in the guest, see init
FOLDERS = "|".join(SCRATCH)
WHOLE = re.compile(rf"((?:{FOLDERS})/[^/]+)(?:/.*)?", re.S)  # a path, whatever is in it
WITHIN = re.compile(rf"""(?<![\w./-])((?:{FOLDERS})/[^/\s:,;=&|<>()"']+)""")  # one in a text
PR_SET_CHILD_SUBREAPER = 36
GRACE = 10  # seconds for the guest to begin to switch off
TRIAL = 20  # seconds for a guest to show that it boots
LAST_LINES = 30

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class _TimedOut(Exception):
    pass


# What the guest's init reads


def _shared(options):
    """
    The paths of the host that are named to the command, but below the folders that the
    guest has a tmpfs on. Of each it is the first component there, and so also the libraries
    beside a program's own folder.
    """
    texts = [os.getcwd(), *options.command, *options.env.values(), *options.share]
    texts += [os.path.realpath(text) for text in texts if text.startswith("/")]
    paths = {match.group(1) for text in texts if (match := WHOLE.fullmatch(text))}
    paths |= {path for text in texts for path in WITHIN.findall(text)}
    return sorted(path for path in paths if os.path.exists(path))


def _function(name, lines):
    return [f"{name}()", "{", *(f"\t{line}" for line in lines or [":"]), "}"]


def _environment(options):
    environment = {"PATH": PATH, "HOME": "/root", "USER": "root", "LOGNAME": "root"}
    environment |= {"SHELL": "/bin/sh", "TERM": "dumb", "LANG": "C.UTF-8"}
    if options.results:
        environment["VM_RESULTS"] = options.results
    return environment | options.env


def _command_file(guest, options, run):
    results = options.results or ""
    settings = {"machine": guest.machine, "results": results, **guest.devices}
    kind, ways = guest.mount_results(run)
    mounts = [shlex.join(["mount", "-t", kind, "-o", way, "results", results]) for way in ways]
    variables = [f"{name}={value}" for name, value in _environment(options).items()]
    command = shlex.join(["setsid", "env", "-i", *variables, *options.command])
    enter = f"cd {shlex.quote(os.getcwd())}"
    lines = [
        *(f"{name}={shlex.quote(value)}" for name, value in settings.items()),
        *_function("share_paths", [f"share {shlex.quote(path)}" for path in _shared(options)]),
        *_function("mount_results", [" ||\n\t".join(mounts)]),
        *_function("run_command", [f"{enter} || exit 126", f"exec {command}"]),
    ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _run_folder(guest, options):
    run = tempfile.mkdtemp(prefix="fuse-vm-")
    try:
        os.chmod(run, 0o755)
        for name in ("init", "fstab"):
            shutil.copy(HERE / name, run)
        for name in ("scratch", "results"):
            os.mkdir(f"{run}/{name}")
        with open(f"{run}/command", "wb") as file:
            file.write(os.fsencode(_command_file(guest, options, run)))
        yield run
    finally:
        shutil.rmtree(run, ignore_errors=True)


# The processes


def _end(process):
    """Kills it, and waits for all processes of its namespace, which are ours then."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*INTERRUPTS, signal.SIGALRM))
    process.kill()
    process.wait()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _processes(guest, options, run, lines):
    """
    The guest in namespaces of its own, whose end is that of all its processes and mounts.
    It ends with this program, however this ends; leaving the context ends it too.
    """
    program = guest.program(run, lines)
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork"]
    command += ["--kill-child", "--propagation", "slave", sys.executable, "-B"]
    command += [HERE / "confine.py", run, options.results or "", *program]
    # The first process in there is orphaned by a kill of unshare; it has to be waited for.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    process = subprocess.Popen(
        command,
        cwd="/",
        env={"PATH": PATH, "HOME": "/nonexistent", "TMPDIR": f"{run}/scratch"},
        stdin=subprocess.DEVNULL,
        stdout=lines["log"],
        stderr=lines["log"],
        pass_fds=[end.fileno() for end in lines.values()],
        start_new_session=True,
    )
    try:
        for end in lines.values():
            end.close()
        yield
    finally:
        _end(process)


# What they say


class Session:
    """The rig's ends of the lines."""

    def __init__(self, ends, log_copy):
        self.ends, self.log_copy, self.log = ends, log_copy, Log()
        self.begun = self.restarted = False
        self.status = self.expected = self.switch_off = None
        self.received = {"out": 0, "err": 0}
        self._control = b""
        self.selector = selectors.DefaultSelector()
        for name, end in ends.items():
            self.selector.register(end, selectors.EVENT_READ, name)

    def follow(self):
        """Until the guest is gone, begins anew, or has said all and does not go."""
        while self.selector.get_map():
            left = None
            if self.switch_off:
                left = self.switch_off - time.monotonic()
                if left <= 0:
                    return
            for key, _ in self.selector.select(left):
                self._take(key.data)
            if self.restarted or self.log.ended and self.switch_off:
                return
            if self.expected == self.received and not self.switch_off:
                self.switch_off = time.monotonic() + GRACE
                with contextlib.suppress(OSError):
                    self.ends["control"].send(b"off\n")

    def _take(self, name):
        try:
            data = self.ends[name].recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            self.selector.unregister(self.ends[name])
        elif name == "log":
            self.log.feed(data)
            if self.log_copy:
                self.log_copy.write(data)
        elif name == "control":
            self._control_lines(data)
        else:
            self.received[name] += len(data)
            _write(1 if name == "out" else 2, data)

    def _control_lines(self, data):
        *lines, self._control = (self._control + data).split(b"\n")
        for line in lines:
            if line == b"begin":
                # User-mode Linux boots again where QEMU ends.
                self.begun, self.restarted = True, self.begun
            elif match := re.fullmatch(rb"end (\d+) (\d+) (\d+)", line):
                status, out, err = map(int, match.groups())
                self.status, self.expected = status, {"out": out, "err": err}
            else:
                raise Failure(f"the guest's init said {line!r}", DIED)

    def result(self, timed_out):
        """The exit status, and the lines that explain one which is not the command's."""
        self.log.close()
        reports = self.log.reports()
        for line in reports:
            print(line, file=sys.stderr)
        if timed_out:
            say(f"timed out after {timed_out:g} s")
        if reports:
            say(f"the kernel reported a problem (the command's status: {self.status})")
            return TOLD
        if timed_out:
            return TIMEOUT
        if self.status is not None and self.expected == self.received:
            return self.status
        for line in self.log.last(LAST_LINES):
            print(line, file=sys.stderr)
        how = "restarted" if self.restarted else "ended"
        say(f"the guest {how} without a status; above are its kernel's last lines")
        return DIED


def _write(descriptor, data):
    while data:
        data = data[os.write(descriptor, data) :]


def _timed_out(_number, _frame):
    raise _TimedOut


def _follow(guest, options):
    """Boots, runs the command; returns the session that is over, and the limit it exceeded."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_run_folder(guest, options))
        log_copy = options.log and stack.enter_context(_open_log(options.log))
        ends, lines = {}, {}
        for name in ("log", "out", "err", "control"):
            ends[name], lines[name] = map(stack.enter_context, socket.socketpair())
        session = Session(ends, log_copy)
        try:
            with _processes(guest, options, folder, lines):
                signal.signal(signal.SIGALRM, _timed_out)
                signal.setitimer(signal.ITIMER_REAL, options.timeout)
                session.follow()
        except _TimedOut:
            return session, options.timeout
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return session, None


def run(guest, options):
    """The exit status of it all."""
    session, timed_out = _follow(guest, options)
    return session.result(timed_out)


def works(guest, options):
    """Whether a guest comes up, and ends, within a few seconds."""
    trial = {"command": ["true"], "results": None, "log": None, "timeout": TRIAL}
    session, _ = _follow(guest, argparse.Namespace(**(vars(options) | trial)))
    return session.status == 0 and not session.log.reports()


def _open_log(path):
    try:
        return open(path, "wb", buffering=0)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", CANNOT) from error
