# SPDX-License-Identifier: GPL-2.0-only
"""
Clients in child processes.

A system call on a mount whose server is stuck may never return and may not even be
killable. So nothing in the test process touches a mount: it is done in a child, and when
the child does not answer in time, the connections of all mounts are aborted, which ends
every such call.
"""

import ctypes
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
import traceback

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1

# Called when a child hangs; mount.py puts in what aborts all connections.
on_hang = []


class ChildFailed(AssertionError):
    """The child raised something; the text is its traceback."""


class ChildHung(AssertionError):
    """The child did not end in time; the text says where in the kernel it was."""


class Credentials:
    """Who a child is. umask None keeps the parent's."""

    def __init__(self, uid=0, gid=0, groups=(), umask=None):
        self.uid, self.gid, self.groups, self.umask = uid, gid, tuple(groups), umask

    def assume(self):
        if self.umask is not None:
            os.umask(self.umask)
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)

    def __repr__(self):
        return f"uid={self.uid} gid={self.gid} groups={list(self.groups)}"


def where(pid):
    """Where a process and its threads are in the kernel, for messages."""
    lines = []
    try:
        tasks = sorted(os.listdir(f"/proc/{pid}/task"), key=int)
    except OSError:
        return f"process {pid} is gone"
    for task in tasks:
        facts = []
        for name in ("comm", "wchan", "syscall", "stack"):
            try:
                with open(f"/proc/{pid}/task/{task}/{name}") as file:
                    facts.append(f"{name}: {file.read().strip()}")
            except OSError:
                pass
        lines.append(f"{pid}/{task} state {state_of(pid, task)} " + "; ".join(facts))
    return "\n".join(lines)


def _stat(path):
    """The fields of a /proc/.../stat behind the name; the state comes first."""
    try:
        with open(path) as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def state_of(pid, task=None):
    """The state letter of a process or of one of its threads; "" if there is none."""
    fields = _stat(f"/proc/{pid}/task/{task}/stat" if task else f"/proc/{pid}/stat")
    return fields[0] if fields else ""


def children_of(pid):
    """Not every kernel lists them."""
    everybody = map(int, filter(str.isdigit, os.listdir("/proc")))
    return [other for other in everybody if _stat(f"/proc/{other}/stat")[1:2] == [str(pid)]]


def _hang(pid):
    text = where(pid)
    for action in on_hang:
        action()
    return text


def reap(pid, timeout):
    """waitpid() with a limit. The wait status, or None."""
    deadline = time.monotonic() + timeout
    pause = 0.0005
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


class Child:
    """A function that runs in a forked child; its value or exception comes back."""

    def __init__(self, function, *args, credentials=None, **kwargs):
        sys.stdout.flush()
        sys.stderr.flush()
        reader, writer = os.pipe()
        in_main_thread = threading.current_thread() is threading.main_thread()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            # The signal comes when the thread that forked ends, not its process.
            self._dies_with_parent = in_main_thread
            self._run(writer, function, args, kwargs, credentials)
        os.close(writer)
        self._reader = reader
        self._status = None

    def _run(self, writer, function, args, kwargs, credentials):
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                if credentials:
                    credentials.assume()
                # Changing the user takes this back, so it comes behind.
                if self._dies_with_parent:
                    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                message = ("value", function(*args, **kwargs))
                data = pickle.dumps(message)
            except BaseException as error:
                data = _pickled_failure(error)
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(data)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)

    def result(self, timeout=60):
        """Waits for the child. Raises what it raised, ChildHung or ChildFailed."""
        __tracebackhide__ = True
        data, ended = self._read(timeout)
        if not ended:
            text = self.kill()
            raise ChildHung(f"no answer from a client in {timeout} s:\n{text}")
        self._status = reap(self.pid, 10)
        if self._status is None:
            text = self.kill()
            raise ChildHung(f"a client did not exit:\n{text}")
        if not data:
            raise ChildFailed(f"a client died: wait status {self._status:#x}")
        kind, value = pickle.loads(data)
        if kind == "value":
            return value
        error, text = value
        if error is not None:
            if hasattr(error, "add_note"):
                error.add_note(text)
            raise error
        raise ChildFailed(text)

    def _read(self, timeout):
        deadline = time.monotonic() + timeout
        data = b""
        try:
            while True:
                left = max(0, deadline - time.monotonic())
                if not select.select([self._reader], [], [], left)[0]:
                    return data, False
                piece = os.read(self._reader, 1 << 20)
                if not piece:
                    return data, True
                data += piece
        finally:
            os.close(self._reader)

    def kill(self):
        """Ends the child whatever it is doing; says where it was."""
        text = _hang(self.pid)
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._status = reap(self.pid, 10)
        if self._status is None:
            text += "\nand it cannot be killed"
        return text

    def signal(self, number):
        os.kill(self.pid, number)


def _pickled_failure(error):
    text = "".join(traceback.format_exception(error))
    if isinstance(error, OSError):
        try:
            return pickle.dumps(("error", (error, text)))
        except Exception:
            pass
    return pickle.dumps(("error", (None, text)))


def call(function, *args, timeout=60, credentials=None, **kwargs):
    """Runs a function in a child and returns its value."""
    __tracebackhide__ = True
    return Child(function, *args, credentials=credentials, **kwargs).result(timeout)


class _Alarm(Exception):
    pass


def interrupted(wait, path):
    """
    For a child: waits with a function of a path, and a signal comes after half a second. What the
    function came to, or how many seconds it took until the signal's handler had its turn.
    """

    def on_alarm(number, frame):
        raise _Alarm

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    started = time.monotonic()
    try:
        return wait(path)
    except _Alarm:
        return time.monotonic() - started


def _ends(text, most=4000):
    """Both ends of a long text."""
    if not text or len(text) <= most:
        return text or ""
    return f"{text[: most // 2]}\n[...]\n{text[-most // 2 :]}"


def run(command, timeout=60, check=True, **kwargs):
    """subprocess.run() that always returns: a command that hangs has its mounts aborted."""
    __tracebackhide__ = True
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    kwargs.setdefault("stdout", subprocess.PIPE)
    kwargs.setdefault("stderr", subprocess.STDOUT)
    kwargs.setdefault("text", True)
    kwargs.setdefault("errors", "replace")
    command = [str(word) for word in command]
    process = subprocess.Popen(command, start_new_session=True, **kwargs)
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        text = _hang(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        try:
            output, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            output = "(cannot be killed)"
        raise ChildHung(f"{' '.join(command)}: not done in {timeout} s:\n{text}\n{output}")
    if check and process.returncode != 0:
        raise ChildFailed(
            f"{' '.join(command)}: exit status {process.returncode}:\n"
            f"{_ends(output)}{_ends(errors)}"
        )
    return subprocess.CompletedProcess(command, process.returncode, output, errors)
