# SPDX-License-Identifier: GPL-2.0-only
"""test/fs/zero_copy: the filesystem with a file for each way to answer reads and writes."""

import os
from pathlib import Path

from .mount import Mount

PROGRAM = "test/fs/zero_copy"


def serve(work, transport, *options, **kwargs):
    """A mount of it; .folder is where its data is."""
    folder = Path(work) / f"folder-{len(os.listdir(work))}"
    folder.mkdir()
    options = [f"folder={folder}", *options]
    mount = Mount(work, transport, program=PROGRAM, options=options, **kwargs)
    mount.folder = folder
    return mount


def report(mount):
    """What its handlers have seen since the start, by name. To be called in a child."""
    lines = (mount.path / "report").read_text().splitlines()
    return {name: int(count) for name, count in map(str.split, lines)}


def forget(path):
    """Lets go of what the kernel has cached of a file, so that it is read anew."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
