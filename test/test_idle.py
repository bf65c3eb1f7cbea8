# SPDX-License-Identifier: GPL-2.0-only
"""An idle mount costs no processor time and hardly any memory."""

import time

import pytest

from fusetest.build import BUILD
from fusetest.child import run
from fusetest.mount import Mount, possible_cpus

MIB = 1 << 20


@pytest.fixture(autouse=True)
def ordinary_build():
    if BUILD.sanitizer:
        pytest.skip("a sanitizer takes time and memory of its own")


@pytest.mark.transport("dev-multi", "rings")
def test_no_processor_time(work, transport):
    with Mount(work, transport, statistics=False) as mount:
        rings = sum("io_uring" in link for link in mount.fds().values())
        assert (rings >= possible_cpus()) == mount.transport.is_uring
        run(["cp", "-r", "/usr/include/linux", mount.path])
        run(["rm", "-r", mount.path / "linux"])
        before = settled(mount)
        time.sleep(10)
        assert mount.cpu_ticks() - before == 0


def settled(mount):
    """Waits until what was dirty is written, and what was deleted is forgotten."""
    for _ in range(20):
        before = mount.cpu_ticks()
        time.sleep(2)
        if mount.cpu_ticks() == before:
            return before
    raise AssertionError("the server does not come to rest")


def test_resident_memory(work):
    """At most 2 MiB per queue more than the same server takes on /dev/fuse."""
    with Mount(work, "dev-multi") as mount:
        base = mount.resident()
    with Mount(work, "io_uring") as mount:
        resident = mount.resident()
    assert resident - base <= 2 * MIB * possible_cpus(), f"{resident} bytes, {base} on /dev/fuse"
    # And absolutely, the program's own pages included.
    assert resident <= 2 * MIB * possible_cpus() + 6 * MIB
