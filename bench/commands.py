# SPDX-License-Identifier: GPL-2.0-only
"""Other programs and signals, such that nothing is left behind."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path


class Failure(Exception):
    """The run cannot go on; the text says why."""


class Interrupts:
    """
    SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, but not while something is being set
    up or taken down that would be half done then: they wait until that is over. (Blocking
    the signals would not do, since the programs that we start would inherit that.)
    """

    def __init__(self):
        self.depth, self.pending = 0, False

    def install(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._arrived)

    def _arrived(self, number, frame):
        self.pending = True
        self._raise_if_due()

    def _raise_if_due(self):
        if self.pending and not self.depth:
            self.pending = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def deferred(self):
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
            self._raise_if_due()


interrupts = Interrupts()


def run(command, limit):
    """
    Output of a command that may take no longer than `limit` seconds. It is not in the
    terminal's process group, so that Ctrl-C ends this program first, which then ends it.
    """
    command = [str(word) for word in command]
    process = None
    try:
        with interrupts.deferred():
            process = subprocess.Popen(
                command,
                cwd="/",
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        output, errors = process.communicate(timeout=limit)
    except BaseException as error:
        if process:
            end(process)
        if isinstance(error, subprocess.TimeoutExpired):
            raise Failure(f"not done in {limit} s: {' '.join(command)}") from None
        if isinstance(error, FileNotFoundError):
            raise Failure(f"{command[0]} is not installed") from None
        raise
    if process.returncode != 0:
        text = (errors.strip() or output.strip())[-2000:]
        raise Failure(f"exit status {process.returncode}: {' '.join(command)}\n{text}")
    return output


def children_of(pid):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(folder.name))
    return found


def end(process):
    """
    Ends a command and what it has started: the jobs of fio are sessions of their own. What is
    stuck in a mount ends only when that does.
    """
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped, it starts no others
        for pid in (process.pid, *children_of(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
