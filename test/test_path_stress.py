# SPDX-License-Identifier: GPL-2.0-only
"""Many clients, and many files, on the path-based interface."""

import os
import time
from pathlib import Path

import pytest

from fusetest.build import BUILD
from fusetest.child import call, run
from fusetest.mount import Mount
from test_fs_path import serve


# Directories that move while others work in them


def _logged(folder):
    """What there should be, by directory: the files made and not removed."""
    files, made = {}, 0
    for log in folder.iterdir():
        for line in log.read_text().splitlines():
            sign, directory, name = line.split()
            if sign == "+":
                made += 1
                files.setdefault(directory, set()).add(name)
            else:
                files[directory].remove(name)
    return files, made


def _found(folder):
    """What there is; directories say who they are."""
    files = {}
    for where, _, names in os.walk(folder):
        if where == str(folder):
            assert not names
            continue
        where = Path(where)
        identity = (where / "id").read_text()
        assert identity not in files, f"directory {identity} is there twice"
        files[identity] = set(names) - {"id"}
        for name in files[identity]:
            assert (where / name).read_text() == f"{identity} {name}"
    return files


def _nothing_is_hidden(folder):
    """The kernel does not wait for the server to hear that a file has been closed."""
    for _ in range(100):
        hidden = list(Path(folder).rglob(".fuse_hidden*"))
        if not hidden:
            return
        time.sleep(0.1)
    raise AssertionError(f"nobody has them open any more: {hidden}")


def move_about(mount, seconds, folders):
    logs = mount.base / "logs"
    logs.mkdir()
    command = [BUILD.program("test/tools/movers"), mount.path, logs, "8", str(seconds)]
    output = run(command, timeout=seconds + 60 * BUILD.slowdown).stdout
    print(output)
    wanted, made = _logged(logs)
    moved = sum(int(line.split()[3]) for line in output.splitlines())
    assert moved > 20 and made > 100, output
    for folder in folders:
        call(_nothing_is_hidden, folder, timeout=100 * BUILD.slowdown)
        found = call(_found, folder, timeout=100 * BUILD.slowdown)
        assert len(found) == 24
        assert {name: files for name, files in found.items() if files} == {
            name: files for name, files in wanted.items() if files
        }


@pytest.mark.sanitize
@pytest.mark.parametrize("program", ["passthrough", "passthrough_fh"])
def test_moving_directories(work, transport, program):
    with serve(work, transport, program) as mount:
        move_about(mount, 3, [mount.path, mount.source])


@pytest.mark.long
@pytest.mark.limit(400)
def test_moving_directories_for_a_minute(work, transport):
    with serve(work, transport, "passthrough") as mount:
        move_about(mount, 60, [mount.path, mount.source])


@pytest.mark.transport("dev-multi", "io_uring")
def test_moving_directories_in_memory(work, transport):
    with Mount(work, transport, program="example/memfs") as mount:
        move_about(mount, 3, [mount.path])


# A million files


def _forget_all(mount, until):
    """Lets the kernel forget, until the server has less memory; what it has in the end."""
    for _ in range(60):
        run(["sh", "-c", "echo 2 > /proc/sys/vm/drop_caches"])
        time.sleep(0.5)
        if mount.resident() < until:
            break
    return mount.resident()


def many_files(work, transport, count):
    options = ["entry_timeout=0", "attr_timeout=0"]
    with Mount(work, transport, program="example/memfs", options=options) as mount:
        command = [BUILD.program("test/tools/many_files"), mount.path, str(count)]
        output = run(command, timeout=1000 * BUILD.slowdown).stdout
        rows = [tuple(map(int, line.split())) for line in output.splitlines()]
        assert rows[-1][0] == count
        full = mount.resident()
        # What a node takes at least: its structure and name, and places in two indexes.
        left = _forget_all(mount, full - count * 64)
        print(output, f"{full} bytes with {count} files known to the kernel, {left} with none:",
              f"{(full - left) / count:.0f} per node")
        return rows, (full - left) / count


@pytest.mark.limit(300)
@pytest.mark.transport("dev-multi", "io_uring")
def test_five_thousand_files(work, transport):
    rows, _ = many_files(work, transport, 5_000)
    assert len(rows) == 10


@pytest.mark.long
@pytest.mark.limit(1500)
@pytest.mark.transport("dev-multi", "io_uring")
def test_a_million_files(work, transport):
    rows, per_node = many_files(work, transport, 1_000_000)
    first, last = rows[0][1], rows[-1][1]
    assert last < 2 * first, rows
    assert 64 <= per_node <= 160
