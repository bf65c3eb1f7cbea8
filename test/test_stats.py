# SPDX-License-Identifier: GPL-2.0-only
"""The statistics file: its keys, that it adds up, and that no reader ever sees half of it."""

import json
import mmap
import os
import time

import pytest

from fusetest import pattern
from fusetest.child import Child, call, run
from fusetest.mount import Mount, possible_cpus

pytestmark = pytest.mark.sanitize

COUNTERS = {
    "requests",
    "replies",
    "errors",
    "bytes_read",
    "bytes_written",
    "zero_copied_requests",
    "zero_copied_bytes",
    "enters",
    "commits",
    "polls_hit",
    "polls_missed",
    "handed_over",
    "linked",
    "broken",
    "unlinked",
    "copied",
    "paged",
    "pool_bytes",
    "copied_bytes",
    "shared_requests",
    "shared_bytes",
}
REASONS = {
    "device",
    "queue",
    "declined",
    "memory",
    "several_buffers",
    "retry",
    "no_descriptor",
    "handler",
    "looked_at",
    "file",
}
KEYS = COUNTERS | {
    "copy_reasons",
    "transport",
    "dialect",
    "pool",
    "zero_copy",
    "queues",
    "per_queue",
}


def use(folder):
    content = pattern.data(1 << 20)
    (folder / "file").write_bytes(content)
    fd = os.open(folder / "file", os.O_RDONLY | os.O_DIRECT)
    total = os.preadv(fd, [mmap.mmap(-1, 1 << 20)], 0)
    os.close(fd)
    for _ in range(10):
        try:
            os.stat(folder / "missing")
        except FileNotFoundError:
            pass
    return total


def test_contents(work, transport):
    with Mount(work, transport) as mount:
        assert call(use, mount.path) == 1 << 20
        kind = mount.transport
    stats = mount.stats()
    assert set(stats) == KEYS
    assert stats["transport"] == kind.stats["transport"]
    assert stats["dialect"] == kind.stats["dialect"]
    assert stats["pool"] == kind.stats["pool"]
    assert stats["zero_copy"] is kind.is_zero_copy
    if kind.is_zero_copy:
        assert stats["zero_copied_bytes"] == stats["bytes_read"] + stats["bytes_written"]
        assert 0 < stats["zero_copied_requests"] == stats["linked"]
    else:
        assert stats["zero_copied_requests"] == 0 == stats["zero_copied_bytes"]
        assert stats["linked"] == 0
    assert stats["broken"] == stats["unlinked"] == stats["copied"] == 0
    for key in COUNTERS:
        assert isinstance(stats[key], int) and stats[key] >= 0, key
    # Every request was answered, but for those that have no answer.
    assert 0 < stats["replies"] <= stats["requests"]
    assert 1 <= stats["errors"] < stats["replies"]
    assert stats["bytes_read"] >= 1 << 20
    assert stats["bytes_written"] == 1 << 20
    if kind.is_uring:
        assert stats["queues"] == possible_cpus() == len(stats["per_queue"])
        assert 0 < stats["commits"] and 0 < stats["enters"]
    else:
        assert stats["commits"] == stats["enters"] == stats["handed_over"] == 0
    assert_every_byte_is_accounted_for(stats)
    for queue in stats["per_queue"]:
        assert set(queue) == COUNTERS | {"copy_reasons"}
        assert set(queue["copy_reasons"]) == REASONS
    for key in COUNTERS:
        parts = sum(queue[key] for queue in stats["per_queue"])
        # FUSE_INIT and FORGET go by /dev/fuse, which is no queue.
        assert parts <= stats[key], key
        if kind.is_uring and key in ("bytes_read", "bytes_written", "commits"):
            assert parts == stats[key], key


def assert_every_byte_is_accounted_for(stats):
    data = stats["bytes_read"] + stats["bytes_written"]
    where = {key: stats[key] for key in ("zero_copied_bytes", "pool_bytes", "copied_bytes")}
    assert sum(where.values()) == data > 0, stats
    reasons = stats["copy_reasons"]
    assert set(reasons) == REASONS
    if stats["zero_copy"]:
        assert not any(reasons.values()), stats
        return
    # What an ordinary file has goes from there to a ring's memory, and is not copied besides.
    assert where["pool_bytes" if stats["queues"] else "copied_bytes"] == data, stats
    why = "queue" if stats["queues"] else "device"
    assert reasons[why] == sum(reasons.values()) >= 2, stats


def test_polls(work):
    for microseconds in (0, 200):
        options = [f"io_uring_poll_us={microseconds}"]
        with Mount(work, "io_uring", options=options) as mount:
            call(use, mount.path)
        stats = mount.stats()
        polls = stats["polls_hit"] + stats["polls_missed"]
        assert (polls > 0) == (microseconds > 0), stats


def test_queue_depth(work):
    for depth in (1, 2, 32):
        with Mount(work, "io_uring", options=[f"io_uring_q_depth={depth}"]) as mount:
            workers = [Child(pattern.sizes_at_odd_offsets, mount.path / f"{i}") for i in range(4)]
            for worker in workers:
                worker.result(60)


@pytest.mark.transport("dev-multi", "rings")
def test_rewritten_every_second(work, transport):
    with Mount(work, transport) as mount:
        seen = []
        end = time.monotonic() + 4.3
        step = 0
        while time.monotonic() < end:
            step += 1
            call((mount.path / f"file-{step}").touch)
            try:
                status = os.stat(mount.stats_path)
                requests = mount.stats()["requests"]
            except FileNotFoundError:
                assert not seen, "the file was gone for a moment"
                continue
            if not seen or seen[-1][0] != status.st_mtime_ns:
                seen.append((status.st_mtime_ns, requests))
            time.sleep(0.02)
        assert 4 <= len(seen) <= 7, seen
        counts = [requests for _, requests in seen]
        assert counts == sorted(counts) and counts[-1] > counts[0]
    # The last word is spoken at the end, and nothing else lies beside the file.
    assert mount.stats()["requests"] >= counts[-1]
    assert os.listdir(mount.stats_path.parent) == [mount.stats_path.name]


def _read_all_the_time(path, seconds):
    end = time.monotonic() + seconds
    reads, inodes = 0, set()
    while time.monotonic() < end:
        with open(path) as file:
            text = file.read()
            inodes.add(os.fstat(file.fileno()).st_ino)
        assert set(json.loads(text)) == KEYS
        reads += 1
    return reads, len(inodes)


@pytest.mark.transport("dev-multi", "rings")
def test_never_torn(work, transport):
    with Mount(work, transport) as mount:
        deadline = time.monotonic() + 5
        while not mount.stats_path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        readers = [Child(_read_all_the_time, mount.stats_path, 4) for _ in range(2)]
        run(["cp", "-r", "/usr/include/linux", mount.path])
        for reader in readers:
            reads, inodes = reader.result(20)
            assert reads > 100 and inodes >= 3


def test_existing_file_is_replaced(work):
    mount = Mount(work, "dev-multi")
    mount.stats_path.write_text("old " * 100_000)
    with mount:
        pass
    assert mount.stats()["transport"] == "dev"
