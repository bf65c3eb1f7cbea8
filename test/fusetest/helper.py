# SPDX-License-Identifier: GPL-2.0-only
"""fusermount3, put where the library looks for it, for one process and its children."""

import os
import shutil
from pathlib import Path

import pytest

from . import libc
from .build import BUILD


def folder():
    """The folder that was compiled into the library."""
    path = Path(BUILD.option("prefix", "/usr/local")) / BUILD.option("bindir", "bin")
    if (path / "setpriv").exists():
        pytest.skip(f"{path} cannot be covered: the tests need what is in it")
    return path


def install():
    """To be called in a child: it changes to a mount namespace of its own."""
    target = folder()
    built = BUILD.program("util/fusermount3")
    libc.own_mount_namespace()
    libc.mount("none", target, "tmpfs", 0, "mode=755")
    shutil.copy(built, target / "fusermount3")
    os.chmod(target / "fusermount3", 0o4755)
