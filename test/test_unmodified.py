# SPDX-License-Identifier: GPL-2.0-only
"""
Zero-copy for filesystems that have never heard of it: the examples as anybody would have written
them against libfuse 3, with one mount option more.
"""

import pytest

import test_fsx as fsx
import test_fs_path as path_based
import test_zero_copy as clients
from fusetest import pattern
from fusetest.child import call, run
from fusetest.mount import TRANSPORTS, Mount

MIB = 1 << 20
WRITES_ELSEWHERE = 8  # in other threads: the first three of a session, and the trial, need be

pytestmark = [pytest.mark.transport("zero-copies"), pytest.mark.limit(320)]


def passthrough_ll(work, transport):
    source = work / "source"
    source.mkdir()
    mount = Mount(
        work,
        transport,
        program="example/passthrough_ll",
        options=[f"source={source}", "cache=auto"],
    )
    mount.source = source
    return mount


def passthrough_fh(work, transport):
    return path_based.serve(work, transport, "passthrough_fh")


def passthrough(work, transport):
    return path_based.serve(work, transport, "passthrough")


WITH_DESCRIPTORS = pytest.mark.parametrize("serve", [passthrough_ll, passthrough_fh])


def was_slow(mount):
    """
    On a slow machine writes are handled in other threads than the ring's own, where they get
    memory, and that speaks against zero-copy for files like these.
    """
    stats = mount.stats()
    elsewhere = stats["copy_reasons"]["handler"]
    assert elsewhere <= 1 + stats["handed_over"], stats
    return elsewhere > WRITES_ELSEWHERE


def assert_by_descriptor(mount):
    """All but 5 in 100: the trial of write_buf(), and the first writes, in other threads."""
    stats = mount.stats()
    assert stats["bytes_read"] and stats["bytes_written"], stats
    data, copied = mount.zero_copied()
    assert was_slow(mount) or (data >= 0.95 and copied <= 0.05), stats


def use_descriptors(mount, use):
    with mount:
        call(clients.buffered, mount.path / "first")
        call(use, mount.path / "file")
        clients.assert_same_file(mount.source / "file", mount.path / "file")
    return mount.zero_copied()[0]


@pytest.mark.parametrize("use", clients.USES, ids=lambda use: use.__name__)
@WITH_DESCRIPTORS
def test_descriptors(work, transport, serve, use):
    mount = serve(work, transport)
    data = use_descriptors(mount, use)
    assert data >= 0.95 or was_slow(mount), mount.stats()


@pytest.mark.parametrize("use", [clients.buffered, clients.direct], ids=lambda use: use.__name__)
@WITH_DESCRIPTORS
def test_one_thread(work, transport, serve, use):
    """There is no other thread to have memory, however slow the machine is."""
    mount = serve(work, TRANSPORTS[transport].in_one_thread)
    assert use_descriptors(mount, use) >= 0.95, mount.stats()
    assert not was_slow(mount), mount.stats()


@WITH_DESCRIPTORS
def test_random_operations(work, transport, serve):
    with serve(work, transport) as mount:
        fsx.fsx(mount.path / "file", fsx.OPERATIONS)
        assert (mount.source / "file").read_bytes() == (mount.path / "file").read_bytes()
    assert_by_descriptor(mount)


def test_through_modules(work, transport):
    options = ["from_code=UTF-8", "to_code=UTF-8"]
    mount = path_based.serve(
        work, transport, "passthrough_fh", *options, modules="iconv:subdir"
    )
    with mount:
        for name, use in (("fïle", clients.buffered), ("other", clients.direct)):
            call(use, mount.path / name)
            clients.assert_same_file(mount.source / name, mount.path / name)
    assert_by_descriptor(mount)


def test_memory_only(work, transport):
    """read() and write(), into and out of memory: there is nothing to gain, and none is asked for."""
    with passthrough(work, transport) as mount:
        fsx.fsx(mount.path / "file", fsx.OPERATIONS // 10)
        assert (mount.source / "file").read_bytes() == (mount.path / "file").read_bytes()
    stats = mount.stats()
    assert stats["zero_copied_requests"] == stats["copied"] == 0, stats
    insisted = "io_uring_strict" in mount.transport.options
    assert ("in memory only" in mount.log()) != insisted, mount.log()


def test_memory_filesystem(work, transport):
    with Mount(work, transport, program="example/memfs") as mount:
        fsx.fsx(mount.path / "file", fsx.OPERATIONS // 10)
        call(clients.buffered, mount.path / "other")
    stats = mount.stats()
    assert stats["zero_copied_requests"] == 0, stats
    if "io_uring_strict" not in mount.transport.options:
        assert stats["copied"] == 0, stats


@WITH_DESCRIPTORS
def test_short_and_refused(work, transport, serve):
    """A full file system below: what was written is said, and the error when nothing was."""
    mount = serve(work, transport)
    run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", mount.source])
    try:
        with mount:
            call(fill, mount.path / "file")
            assert (mount.source / "file").stat().st_size <= MIB
    finally:
        run(["umount", mount.source])


def fill(path):
    """Writes until there is no more room; what was said to be there is there."""
    content = pattern.data(4 * MIB, 3)
    done = 0
    with open(path, "wb", buffering=0) as file:
        with pytest.raises(OSError) as caught:
            while done < len(content):
                done += file.write(content[done : done + 300_000])
    assert caught.value.errno == 28, caught.value
    assert 0 < done <= MIB
    assert path.read_bytes()[:done] == content[:done]
