# SPDX-License-Identifier: GPL-2.0-only
"""Random reads, writes, truncations and mappings, each checked against a model."""

import re

import pytest

from fusetest import kernel
from fusetest.build import BUILD
from fusetest.child import run
from fusetest.mount import TRANSPORTS, Mount

OPERATIONS = 100_000


def fsx(path, operations, *arguments):
    """Runs fsx and returns how often it did each kind of operation."""
    command = [BUILD.program("test/tools/fsx"), "-n", operations, "-s", 20, *arguments, path]
    output = run(command, timeout=300 * BUILD.slowdown).stdout
    assert re.search(rf"^{operations} operations, seed 20: 0 differences$", output, re.M), output
    rows = re.findall(r"^([a-z_]+) +(\d+) +(\d+)$", output, re.M)
    return {name: int(done) for name, done, _ in rows}


@pytest.mark.limit(320)
def test_every_transport(place, transport, request):
    # Of what is the same but for who reads from /dev/fuse, one has all of them.
    few = transport in ("dev-single", "dev-clone-fd") and not request.config.getoption("--all")
    operations = OPERATIONS // 10 if few else OPERATIONS
    counts = fsx(place.path / "file", operations)
    # Every kind was done, none of them merely found to be unsupported.
    for name in ("read", "write", "mmap_read", "mmap_write", "truncate", "extend"):
        assert counts[name] > operations // 100, counts
    for name in ("fallocate", "punch_hole", "copy_range", "fsync", "drop_cache", "reopen"):
        assert counts[name] > operations // 1000, counts
    assert (place.source / "file").read_bytes() == (place.path / "file").read_bytes()


@pytest.mark.limit(320)
@pytest.mark.transport("dev-multi", "rings")
def test_mixed(place, transport):
    """Reads and writes through the page cache, past it, and by mapping, of the same file."""
    operations = OPERATIONS if TRANSPORTS[transport].is_zero_copy else OPERATIONS // 10
    counts = fsx(place.path / "file", operations, "-x")
    for name in ("read", "write", "mmap_read", "mmap_write"):
        assert counts[name] > operations / 100, counts
    assert (place.source / "file").read_bytes() == (place.path / "file").read_bytes()


@pytest.mark.parametrize("arguments", [["-d"], ["-a"]], ids=["o_direct", "append"])
@pytest.mark.transport("dev-multi", "rings")
def test_other_ways_to_write(place, arguments):
    fsx(place.path / "file", OPERATIONS // 10, *arguments)


MODES = {
    "passthrough": [],
    "nosplice": ["--nopassthrough", "--nosplice"],
    "nocache": ["--nopassthrough", "--nocache"],
    "direct-io": ["--nopassthrough", "--direct-io"],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.transport("dev-multi", "rings")
def test_modes(work, transport, mode):
    if mode == "passthrough":
        kernel.skip_if_locks_are_proved()
    with Mount(work, transport, args=MODES[mode]) as mount:
        # Files of a mount with direct I/O cannot be mapped and written to by turns.
        extra = ["-m"] if mode == "direct-io" else []
        fsx(mount.path / "file", OPERATIONS // 10, *extra)
