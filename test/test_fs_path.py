# SPDX-License-Identifier: GPL-2.0-only
"""The file-system suite over the examples on the path-based interface."""

from functools import partial
from pathlib import Path

import pytest

import test_fs_basic as suite
from fusetest.mount import Mount

# How threads come by requests is nothing to paths: test_fs_basic.py has all transports.
pytestmark = [
    pytest.mark.client,
    pytest.mark.sanitize,
    pytest.mark.transport("dev-single", "dev-multi", "rings"),
]

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


def serve(work, transport, program, *options, modules="subdir", **kwargs):
    """A mount of an example that passes on a new folder, which is .source."""
    source = Path(work) / f"source-{len(list(Path(work).iterdir()))}"
    source.mkdir()
    source.chmod(0o755)
    options = [f"modules={modules}", f"subdir={source}", *options]
    mount = Mount(work, transport, program=f"example/{program}", options=options, **kwargs)
    mount.source = source
    return mount


@pytest.fixture(scope="module", params=PROGRAMS)
def new_mount(request):
    return partial(serve, program=request.param)
