# SPDX-License-Identifier: GPL-2.0-only
"""The file-system suite over the examples on the path-based interface."""

from pathlib import Path

import pytest

import test_fs_basic as suite
from conftest import Place, Pool
from fusetest import child
from fusetest.mount import Mount

pytestmark = [pytest.mark.client, pytest.mark.sanitize]

PROGRAMS = ["passthrough", "passthrough_fh"]

# What a filesystem of paths cannot do.
NOT_HERE = {
    # The interface has no files without names.
    "test_unnamed_file",
    # A directory that was removed has no path. (Files have a hidden one.)
    "test_removed_folder_that_is_open",
    # These examples give paths to system calls, which take no longer ones than PATH_MAX.
    "test_deep_trees",
}

globals().update(
    (name, value)
    for name, value in vars(suite).items()
    if name.startswith("test_") and name not in NOT_HERE
)


class PathPool(Pool):
    """Mounts of passthrough or passthrough_fh, whose root is a folder by the module subdir."""

    def __init__(self, work, program):
        super().__init__(work)
        self.program = program

    def get(self, transport):
        mount = self.mounts.get(transport)
        if mount is not None and not mount.alive:
            self.bury(mount)
            mount = None
        if mount is None:
            mount = serve(self.work, transport, self.program)
            mount.start()
            self.mounts[transport] = mount
        return mount


def serve(work, transport, program, *options, **kwargs):
    """A mount of an example that passes on a new folder, which is .source."""
    source = Path(work) / f"source-{len(list(Path(work).iterdir()))}"
    source.mkdir()
    source.chmod(0o755)
    options = ["modules=subdir", f"subdir={source}", *options]
    mount = Mount(work, transport, program=f"example/{program}", options=options, **kwargs)
    mount.source = source
    return mount


@pytest.fixture(scope="module", params=PROGRAMS)
def pool(session_work, request):
    path = session_work / f"pool-path-{request.param}"
    path.mkdir()
    path.chmod(0o755)
    pool = PathPool(path, request.param)
    try:
        yield pool
        pool.close()
    finally:
        for mount in pool.mounts.values():
            mount.kill()


@pytest.fixture
def place(pool, transport):
    return pool.place(transport)


@pytest.fixture
def d(place):
    return place.path
