# SPDX-License-Identifier: GPL-2.0-only
"""File contents that say where they belong, and workloads that check them."""

import mmap
import os
import random

from .child import Child

SIZES = (
    1,
    2,
    511,
    512,
    513,
    4095,
    4096,
    4097,
    65535,
    65536,
    65537,
    131072,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    4 << 20,
)
OFFSETS = (0, 1, 511, 4095, 4096, 4097, 131071, (1 << 20) + 7)


def data(length, seed=0):
    """Bytes that look random and are the same for the same seed."""
    return random.Random(seed).randbytes(length)


def pwrite_all(fd, content, offset):
    view = memoryview(content)
    while view:
        done = os.pwrite(fd, view, offset)
        assert done > 0
        view, offset = view[done:], offset + done


def pread_all(fd, length, offset):
    pieces = []
    while length:
        piece = os.pread(fd, length, offset)
        if not piece:
            break
        pieces.append(piece)
        length, offset = length - len(piece), offset + len(piece)
    return b"".join(pieces)


def assert_same(found, wanted, what=""):
    """Like assert ==, but with a message that a person can read."""
    if found == wanted:
        return
    assert len(found) == len(wanted), f"{what}: {len(found)} bytes, not {len(wanted)}"
    at = next(i for i, (a, b) in enumerate(zip(found, wanted)) if a != b)
    raise AssertionError(
        f"{what}: first difference at {at}: {found[at:at + 16]!r}, not {wanted[at:at + 16]!r}"
    )


def sizes_at_odd_offsets(path):
    """Every size at every offset, written and read back, over what was there before."""
    reference = bytearray()
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        for seed, size in enumerate(SIZES):
            for offset in OFFSETS:
                content = data(size, seed * 100 + offset)
                pwrite_all(fd, content, offset)
                if len(reference) < offset + size:
                    reference.extend(bytes(offset + size - len(reference)))
                reference[offset : offset + size] = content
                assert_same(pread_all(fd, size, offset), content, f"{size} at {offset}")
        os.fsync(fd)
        assert_same(pread_all(fd, len(reference) + 1, 0), bytes(reference), "whole file")
    finally:
        os.close(fd)
    with open(path, "rb") as file:
        assert_same(file.read(), bytes(reference), "opened again")
    return bytes(reference)


def direct_io(path, unit=4096):
    """Aligned reads and writes past the page cache. False if the file system has none."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o644)
    except OSError:
        return False
    try:
        total = 4 << 20
        buffer = mmap.mmap(-1, total)
        content = data(total, 7)
        buffer[:] = content
        at = 0
        for size in (unit, 3 * unit, 128 * 1024, 1 << 20, 2 << 20):
            size = min(size, total - at)
            assert os.pwritev(fd, [memoryview(buffer)[at : at + size]], at) == size
            at += size
        while at < total:
            at += os.pwritev(fd, [memoryview(buffer)[at:]], at)
        back = mmap.mmap(-1, total)
        for size in (unit, 64 * 1024, 1 << 20, total):
            for offset in range(0, min(total, 8 * size), size):
                view = memoryview(back)[:size]
                assert os.preadv(fd, [view], offset) == min(size, total - offset)
                assert_same(bytes(view), content[offset : offset + size], f"{size}@{offset}")
                view.release()
        assert os.preadv(fd, [memoryview(back)[:unit]], total) == 0
    finally:
        os.close(fd)
    with open(path, "rb") as file:
        assert_same(file.read(), content, "read through the page cache")
    return True


def _write_stripes(path, index, count, stripe, rounds):
    fd = os.open(path, os.O_RDWR)
    try:
        for step in range(rounds):
            offset = (step * count + index) * stripe
            pwrite_all(fd, data(stripe, index * 1000 + step), offset)
    finally:
        os.close(fd)


def concurrent_writers(path, count=8, stripe=37_111, rounds=12):
    """Several processes write stripes of one file, which do not end at page borders."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
    writers = [
        Child(_write_stripes, path, index, count, stripe, rounds) for index in range(count)
    ]
    for writer in writers:
        writer.result(60)
    fd = os.open(path, os.O_RDONLY)
    try:
        for step in range(rounds):
            for index in range(count):
                offset = (step * count + index) * stripe
                assert_same(
                    pread_all(fd, stripe, offset),
                    data(stripe, index * 1000 + step),
                    f"stripe {step} of writer {index}",
                )
        assert os.fstat(fd).st_size == rounds * count * stripe
    finally:
        os.close(fd)


def mapped(path, length=1_000_003):
    """A shared mapping and read/write agree with each other."""
    content = bytearray(data(length, 3))
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        pwrite_all(fd, bytes(content), 0)
        with mmap.mmap(fd, length) as mapping:
            assert_same(mapping[:], bytes(content), "mapped")
            for offset in (0, 4095, 65_537, length - 1000):
                mapping[offset : offset + 999] = content[offset : offset + 999] = data(999, offset)
            assert_same(pread_all(fd, length, 0), bytes(content), "read beside the mapping")
            late = data(5000, 11)
            pwrite_all(fd, late, 300_000)
            content[300_000:305_000] = late
            assert_same(mapping[:], bytes(content), "written beside the mapping")
            mapping.flush()
        os.fsync(fd)
    finally:
        os.close(fd)
    return bytes(content)
