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
        spent = [ticks_in(mount, 10)]
        # What is dirty gets written, what is deleted forgotten, and the last idle threads end,
        # each at its time: a mount that comes to rest does so within a minute.
        while spent[-1] and len(spent) < 7:
            spent.append(ticks_in(mount, 10))
        assert spent[-1] == 0, f"ticks in each 10 s: {spent}"


def ticks_in(mount, seconds):
    before = mount.cpu_ticks()
    time.sleep(seconds)
    return mount.cpu_ticks() - before


def test_resident_memory(work):
    """
    At most 2 MiB per queue more than the same server takes on /dev/fuse, unless memory is pinned,
    which is then there from the start.
    """
    with Mount(work, "dev-multi") as mount:
        base = mount.resident()
    with Mount(work, "io_uring", options=["io_uring_pin=none"], expect=None) as mount:
        resident = mount.resident()
    assert resident - base <= 2 * MIB * possible_cpus(), f"{resident} bytes, {base} on /dev/fuse"
    # And absolutely, the program's own pages included.
    assert resident <= 2 * MIB * possible_cpus() + 6 * MIB
