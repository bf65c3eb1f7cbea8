# SPDX-License-Identifier: GPL-2.0-only
"""The folder outside the checkout in which sources and kernels are kept.

Everything in it is a folder that was filled under another name and then renamed: what
has its name is whole. The lock of that name is held meanwhile, so that of concurrent runs
one does the work, the others wait for it.
"""

import contextlib
import fcntl
import os
import shutil
import signal
from pathlib import Path

from failure import Failure
from progress import say

PARTIAL = ".partial"
INTERRUPTS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def root():
    path = os.environ.get("FUSE_VM_CACHE")
    if not path:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        path = os.path.join(base, "fuse-vm")
    return Path(path).absolute()


def _folder(*names):
    path = root().joinpath(*names)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"cannot make the cache's folder {path}: {error.strerror}") from error
    return path


@contextlib.contextmanager
def _lock(kind, name):
    with open(_folder("locks") / f"{kind}-{name}", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run, which makes {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove(folder):
    """Without being interrupted: what is left here would be left for good."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    shutil.rmtree(folder, ignore_errors=True)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _sweep(kind):
    """Removes what runs that were killed had begun; nobody has its lock any more."""
    for partial in _folder(kind).glob(f"*{PARTIAL}"):
        with open(_folder("locks") / f"{kind}-{partial.stem}", "w") as file:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(partial)


def _to_disk(folder):
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file)


def made(kind, name, make):
    """The folder KIND/NAME, which make(folder) fills if it is not there yet."""
    path = _folder(kind) / name
    if path.exists():
        return path
    if os.environ.get("FUSE_VM_BUILD") == "0":
        raise Failure(f"there is no {path}, and FUSE_VM_BUILD=0 says not to make it")
    _sweep(kind)
    with _lock(kind, name):
        if path.exists():
            return path
        partial = path.with_name(name + PARTIAL)
        _remove(partial)
        partial.mkdir()
        try:
            make(partial)
            _to_disk(partial)
            partial.rename(path)
        finally:
            _remove(partial)
    return path


def entries(kind):
    """The whole folders of one kind."""
    path = root() / kind
    if not path.is_dir():
        return []
    folders = (entry for entry in path.iterdir() if entry.is_dir())
    return sorted(folder for folder in folders if folder.suffix != PARTIAL)
