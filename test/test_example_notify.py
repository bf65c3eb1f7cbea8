# SPDX-License-Identifier: GPL-2.0-only
"""
The examples of notifications, as their comments say how to try them: what the kernel has cached
is right because it was told, and, without being told, wrong.
"""

import os
import time

import pytest

from fusetest.child import call
from fusetest.mount import Mount
from fusetest.waiting import eventually

INTERVAL = 0.05

pytestmark = pytest.mark.sanitize


class Example(Mount):
    def __init__(self, work, transport, name, *own, interval=INTERVAL):
        super().__init__(
            work,
            transport,
            program=f"example/{name}",
            program_args=[*own, f"--interval={interval}"],
        )

    def check(self, status):
        super().check(status)
        assert "cannot" not in self.log(), self.log()


# notify_inval_inode


def counter_grows(path):
    """Every content is whole, and later ones follow."""
    values = [0]

    def read():
        text = path.read_text()
        value = int(text)
        assert text == f"{value:11}\n" and value >= values[-1]
        if value > values[-1]:
            values.append(value)
        return len(values) > 5

    eventually(read, "five contents")


def test_inval_inode(work, transport):
    with Example(work, transport, "notify_inval_inode") as m:
        assert call(os.listdir, m.path) == ["counter"]
        call(counter_grows, m.path / "counter")


def stays(path, read):
    eventually(lambda: os.stat(path), "a file")
    for _ in range(3):
        first = read(path)  # and has the kernel ask once more for its time of access
    for _ in range(10):
        time.sleep(INTERVAL)
        assert read(path) == first


def text_of(path):
    return path.read_text()


@pytest.mark.transport("dev-multi", "io_uring")
def test_inval_inode_matters(work, transport):
    with Example(work, transport, "notify_inval_inode", "--no-notify") as m:
        call(stays, m.path / "counter", text_of)


def cached_between_changes(path):
    """The kernel asks once for each change, not once for each reader."""
    first = path.read_bytes()
    return all(path.read_bytes() == first for _ in range(200))


@pytest.mark.transport("dev-multi", "io_uring")
def test_inval_inode_keeps_the_cache(work, transport):
    with Example(work, transport, "notify_inval_inode", interval=3600) as m:
        assert call(cached_between_changes, m.path / "counter")
        requests = lambda: m.stats()["requests"]  # noqa: E731
        time.sleep(1.2)  # statistics are a second old at most
        before = requests()
        assert call(cached_between_changes, m.path / "counter")
        time.sleep(1.2)
        assert requests() - before < 1000, "each read asked for the data"


# notify_inval_entry


def names_follow(path):
    """Whatever is listed is there or has just been replaced; what was replaced is gone."""
    seen = []

    def look():
        (name,) = os.listdir(path)
        try:
            os.stat(path / name)
        except FileNotFoundError:
            return False
        if name not in seen:
            seen.append(name)
        return len(seen) >= 5

    eventually(look, "five names")
    for name in seen[:-1]:
        with pytest.raises(FileNotFoundError):
            os.stat(path / name)


def next_name_appears(path):
    """That there is no such name was remembered, too."""
    (name,) = os.listdir(path)
    number = int(name[5:])
    missing = [f"name-{number + i}" for i in range(10, 500)]
    for name in missing:
        assert not (path / name).exists()

    def one_appeared():
        (name,) = os.listdir(path)
        return name in missing and (path / name).exists()

    eventually(one_appeared, "a name that was missing")


@pytest.mark.parametrize("how", [[], ["--expire"]], ids=["inval", "expire"])
def test_inval_entry(work, transport, how):
    with Example(work, transport, "notify_inval_entry", *how, interval=4 * INTERVAL) as m:
        call(names_follow, m.path)
        call(next_name_appears, m.path)


def old_name_stays(path):
    def looked_up():
        (name,) = os.listdir(path)  # which may change right behind
        return (path / name).exists() and name

    name = eventually(looked_up, "a name")
    eventually(lambda: os.listdir(path) != [name], "another name")
    time.sleep(5 * INTERVAL)
    os.stat(path / name)


@pytest.mark.transport("dev-multi", "io_uring")
def test_inval_entry_matters(work, transport):
    with Example(work, transport, "notify_inval_entry", "--no-notify", interval=0.4) as m:
        call(old_name_stays, m.path)


# notify_store_retrieve


def report(path):
    return {name: int(value) for name, value in
            map(str.split, (path / "report").read_text().splitlines())}


def store_and_retrieve(path):
    values = set()

    def read():
        values.add(int((path / "counter").read_text()))
        return len(values) >= 10

    eventually(read, "ten values")
    found = eventually(lambda: report(path)["matched"] >= 10 and report(path), "ten found again")
    assert found["differed"] == 0, found
    assert found["reads"] <= 3, f"the stored data were not used: {found}"
    assert found["stored"] - found["matched"] <= 2, found


def test_store_retrieve(work, transport):
    with Example(work, transport, "notify_store_retrieve") as m:
        call(store_and_retrieve, m.path)


# notify_prune


def stat_many(path, first, last):
    for number in range(first, last + 1):
        os.stat(path / str(number))


def pruned(path, keep):
    with open(path / "3"):
        stat_many(path, 1, 2000)
        eventually(lambda: report(path)["known"] <= keep, f"{keep} inodes")
        assert report(path)["most"] > keep, "there was nothing to prune"
        before = report(path)["known"]
        stat_many(path, 3, 3)
        assert report(path)["known"] == before, "a file that is open was pruned"
    stat_many(path, 1, 2000)
    eventually(lambda: report(path)["known"] <= keep, f"{keep} inodes once more")


@pytest.mark.kernel("6.18")
def test_prune(work, transport):
    with Example(work, transport, "notify_prune", "--keep=100") as m:
        call(pruned, m.path, 100)


def not_pruned(path):
    stat_many(path, 1, 500)
    time.sleep(0.5)
    assert report(path)["known"] == 500


@pytest.mark.transport("dev-multi", "io_uring")
def test_prune_matters(work, transport):
    with Example(work, transport, "notify_prune", "--keep=100000") as m:
        call(not_pruned, m.path)


# Ends


@pytest.mark.parametrize(
    "name", ["notify_inval_inode", "notify_inval_entry", "notify_store_retrieve", "notify_prune"]
)
def test_end_while_notifying(work, name):
    """Notifications all the time, and clients, until the mount is gone."""
    for transport in ("dev-multi", "io_uring"):
        for _ in range(3):
            mount = Example(work, transport, name, interval=0.0005)
            with mount:
                call(look_around, mount.path)


def look_around(path):
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        for name in ("counter", "1", "report", "name-1", "name-100"):
            try:
                (path / name).read_text()
            except FileNotFoundError:
                pass
