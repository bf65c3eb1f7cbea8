# SPDX-License-Identifier: GPL-2.0-only
"""test/fs/allops: its mount, its counts, its commands. What touches the mount is for clients."""

import contextlib
import os
import tempfile
from pathlib import Path

from .mount import Mount


class AllOps(Mount):
    """options may be any of the program's own; see test/fs/allops/main.c."""

    def __init__(self, work, transport, options=(), **kwargs):
        descriptor, report = tempfile.mkstemp(prefix="report-", dir=work)
        os.close(descriptor)
        self.report_path = Path(report)
        super().__init__(
            work,
            transport,
            program="test/fs/allops",
            options=[f"report={report}", *options],
            **kwargs,
        )

    def calls(self):
        """How often each operation was called, by name."""
        return _numbers((self.path / ".calls").read_text())

    def nodes(self):
        """Lookup count, links and opens of each inode, by number."""
        return {node[0]: tuple(node[1:]) for node in _rows((self.path / ".nodes").read_text())}

    def control(self, command):
        """Carries out a command; its error is raised."""
        fd = os.open(self.path / ".control", os.O_WRONLY)
        try:
            os.write(fd, os.fsencode(command))
        finally:
            os.close(fd)

    def retrieved(self):
        """(inode number, offset, data) of the last retrieval; None if it has not come."""
        head, _, data = _content(self.path / ".retrieved").partition(b"\n")
        if not head:
            return None
        ino, offset, size = map(int, head.split())
        assert len(data) == size
        return ino, offset, data

    @contextlib.contextmanager
    def moved(self, *names):
        """In the body each of these is called at least once."""
        before = self.calls()
        yield
        after = self.calls()
        still = [name for name in names if after[name] == before[name]]
        assert not still, f"was not called: {still}"

    @contextlib.contextmanager
    def unmoved(self, *names):
        """In the body none of these is called."""
        before = self.calls()
        yield
        after = self.calls()
        moved = {name: after[name] - before[name] for name in names if after[name] != before[name]}
        assert not moved, f"was called: {moved}"

    def report(self):
        """What the server wrote in the end: (calls, nodes)."""
        calls, _, nodes = self.report_path.read_text().partition("\n\n")
        return _numbers(calls), {node[0]: tuple(node[1:]) for node in _rows(nodes)}

    def check(self, status):
        super().check(status)
        if status != 0 or self.aborted:
            return
        calls, nodes = self.report()
        assert calls["mishaps"] == 0, self.log()
        assert (calls["init"], calls["destroy"]) == (1, 1)
        still_open = {ino: node for ino, node in nodes.items() if node[2]}
        assert not still_open, f"never released: {still_open}"


def _content(path):
    """Without open(), which asks whether it is a terminal, and that is a request, too."""
    fd = os.open(path, os.O_RDONLY)
    pieces = []
    while piece := os.read(fd, 1 << 20):
        pieces.append(piece)
    os.close(fd)
    return b"".join(pieces)


def _rows(text):
    return [tuple(map(int, line.split())) for line in text.splitlines()]


def _numbers(text):
    return {name: int(number) for name, number in map(str.split, text.splitlines())}


class Servers:
    """One server per transport for a module's tests, made anew when a test broke it."""

    def __init__(self, work, options=()):
        self.work = Path(tempfile.mkdtemp(prefix="servers-", dir=work))
        self.work.chmod(0o755)
        self.options, self.made, self.folders = options, {}, 0

    def get(self, transport):
        server = self.made.get(transport)
        if server is not None and not server.alive:
            server.kill()
            server = None
        if server is None:
            server = AllOps(self.work, transport, self.options)
            server.start()
            self.made[transport] = server
        return server

    def folder(self):
        """A name for a folder that no other test has."""
        self.folders += 1
        return f"t{self.folders}"

    def close(self):
        problems = []
        for server in self.made.values():
            try:
                server.close()
            except AssertionError as error:
                problems.append(f"{server.transport}: {error}")
        assert not problems, "\n".join(problems)

    def kill(self):
        for server in self.made.values():
            server.kill()
