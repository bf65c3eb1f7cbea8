# SPDX-License-Identifier: GPL-2.0-only
"""Writes that are to be on the disk when they end are, whichever way they go."""

import os

import pytest

from fusetest import pattern
from fusetest.child import call
from fusetest.mount import Mount

pytestmark = [pytest.mark.sanitize, pytest.mark.transport("dev-multi", "io_uring")]


def _write(path, flags, more):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | more, 0o644)
    assert os.pwritev(fd, [pattern.data(5000)], 0, flags) == 5000
    os.close(fd)


@pytest.mark.parametrize("option", [None, "--direct-io"], ids=["cached", "direct"])
@pytest.mark.parametrize(
    "flags, more, syncs",  # how many of those there are at least
    [
        pytest.param(0, 0, 0, id="none"),
        pytest.param(os.RWF_DSYNC, 0, 1, id="write"),
        pytest.param(os.RWF_SYNC, 0, 1, id="write-all"),
        pytest.param(0, os.O_DSYNC, 1, id="open"),
        # The file's own kind of write leaves things out that this one is to have on the disk.
        pytest.param(os.RWF_SYNC, os.O_DSYNC, 2, id="write-all-open"),
    ],
)
def test_synced_writes(work, transport, option, flags, more, syncs):
    """The disk is another mount, whose log has the requests."""
    args = ["--nopassthrough", *([option] if option else [])]
    with Mount(work, "dev-multi", options=["debug"]) as below:
        with Mount(work, transport, source=below.path, args=args, expect=None) as mount:
            call(_write, mount.path / "file", flags, more)
            done = below.log().count("FSYNC: node")
            assert done >= syncs and (done == 0) == (syncs == 0), below.log()
        assert (below.source / "file").read_bytes() == pattern.data(5000)
