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
@pytest.mark.parametrize("kind", ["write", "write-all", "open", "none"])
def test_synced_writes(work, transport, option, kind):
    """The disk is another mount, whose log has the requests."""
    flags = {"write": os.RWF_DSYNC, "write-all": os.RWF_SYNC}.get(kind, 0)
    more = os.O_DSYNC if kind == "open" else 0
    args = ["--nopassthrough", *([option] if option else [])]
    with Mount(work, "dev-multi", options=["debug"]) as below:
        with Mount(work, transport, source=below.path, args=args, expect=None) as mount:
            call(_write, mount.path / "file", flags, more)
            assert ("FSYNC" in below.log()) == (kind != "none"), below.log()
        assert (below.source / "file").read_bytes() == pattern.data(5000)
