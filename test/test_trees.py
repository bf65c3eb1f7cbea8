# SPDX-License-Identifier: GPL-2.0-only
"""Real trees and the programs that people run on them."""

import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from fusetest import pattern
from fusetest.build import BUILD, SOURCE_ROOT
from fusetest.child import Child, call, run
from fusetest.mount import Mount


def diff(one, other, timeout=300):
    run(["diff", "-r", "--no-dereference", one, other], timeout=timeout * BUILD.slowdown)


def listing(folder):
    """Type, mode, owner, size, time, link target and name of everything in a tree."""
    form = r"%y %m %U:%G %s %T@ %n %l %P\n"
    command = ["find", folder, "-mindepth", "1", "(", "-type", "d", "-printf"]
    command += [form.replace("%s ", "").replace("%n ", ""), "-o", "-printf", form, ")"]
    return sorted(run(command, timeout=120 * BUILD.slowdown).stdout.splitlines())


@pytest.fixture(scope="session")
def headers(session_work):
    """A copy of /usr/include."""
    path = session_work / "include"
    run(["cp", "-a", "/usr/include", path], timeout=120 * BUILD.slowdown)
    return path


@pytest.fixture(scope="session")
def share(session_work):
    """Parts of /usr/share: small files, links, many names."""
    path = session_work / "share"
    path.mkdir()
    copied = 0
    for part in sorted(Path("/usr/share").iterdir()):
        if part.is_symlink() or not part.is_dir():
            continue
        size = int(run(["du", "-sk", part]).stdout.split()[0])
        if size < 40_000 and copied + size < 150_000:
            run(["cp", "-a", part, path], timeout=120 * BUILD.slowdown)
            copied += size
    return path


@pytest.mark.parametrize("where", ["headers", "share"])
@pytest.mark.long_without_rings
def test_reading_a_tree(work, transport, where, request):
    source = request.getfixturevalue(where)
    with Mount(work, transport, source=source) as mount:
        diff(source, mount.path)
        assert listing(source) == listing(mount.path)


@pytest.mark.long_without_rings
@pytest.mark.limit(300)
def test_copying_a_tree(work, transport, headers):
    with Mount(work, transport) as mount:
        run(["cp", "-a", headers, mount.path / "copy"], timeout=120 * BUILD.slowdown)
        diff(headers, mount.path / "copy")
        run(["cp", "-a", mount.path / "copy", mount.path / "again"], timeout=120 * BUILD.slowdown)
        assert listing(mount.path / "again") == listing(headers)
        run(["rm", "-r", mount.path / "copy"], timeout=120 * BUILD.slowdown)
        source = mount.source
        assert [entry.name for entry in source.iterdir()] == ["again"]
        assert listing(source / "again") == listing(headers)
    diff(headers, source / "again")


def test_small_tree(place):
    """What every transport does every time: a tree of 2 MiB there and back."""
    origin = place.source.parent.parent / f"origin-{place.name}"
    for index in range(150):
        folder = origin / f"{index % 10}" / f"{index % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file-{index}").write_bytes(pattern.data(index * 200, index))
        os.symlink(f"file-{index}", folder / f"link-{index}")
    run(["cp", "-a", origin, place.path / "copy"])
    diff(origin, place.path / "copy")
    archive = place.path / "all.tar"
    run(["tar", "-C", place.path, "--format=posix", "-cf", archive, "copy"])
    (place.source / "from-tar").mkdir()
    run(["tar", "-C", place.path / "from-tar", "-xf", archive])
    diff(origin, place.path / "from-tar" / "copy")
    assert listing(origin) == listing(place.path / "from-tar" / "copy")
    shutil.rmtree(origin)


def git(folder, *arguments, timeout=120):
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "C",
        "GIT_COMMITTER_EMAIL": "c@example.org",
    }
    command = ["git", "-C", folder, "-c", "safe.directory=*", *arguments]
    return run(command, timeout=timeout * BUILD.slowdown, env=environment).stdout


def make_repository(folder, commits, files):
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for commit in range(commits):
        for index in range(files):
            part = folder / f"part-{index % 20}"
            part.mkdir(exist_ok=True)
            text = f"{commit} {index}\n" * (index % 50 + 1)
            (part / f"file-{index}").write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", f"commit {commit}")


def use_repository(d):
    make_repository(d / "one", commits=5, files=200)
    assert git(d / "one", "status", "--porcelain") == ""
    git(d, "clone", "-q", "--no-hardlinks", "one", "two")
    git(d, "clone", "-q", "one", "linked")
    for name in ("one", "two", "linked"):
        assert git(d / name, "status", "--porcelain") == ""
        git(d / name, "fsck", "--full", "--strict")
        assert git(d / name, "rev-list", "--count", "HEAD").strip() == "5"
    git(d / "two", "gc", "-q", "--aggressive", "--prune=now")
    git(d / "two", "fsck", "--full", "--strict")
    (d / "two" / "part-3" / "file-3").write_text("changed\n")
    assert git(d / "two", "status", "--porcelain") == " M part-3/file-3\n"
    git(d / "two", "stash", "-q")
    git(d / "two", "checkout", "-q", "HEAD~2")
    assert git(d / "two", "status", "--porcelain") == ""


@pytest.mark.limit(300)
def test_git(place):
    call(use_repository, place.path, timeout=250 * BUILD.slowdown)
    diff(place.path, place.source)


def _insert(path, writer, count):
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    connection.execute("PRAGMA synchronous=NORMAL")
    for row in range(count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO t VALUES (?, ?, ?)", (writer, row, pattern.data(300, row))
        )
        connection.execute("COMMIT")
        if row % 50 == 0:
            connection.execute("SELECT count(*) FROM t").fetchone()
    connection.close()


def _database(path, writers, count):
    connection = sqlite3.connect(path, isolation_level=None)
    assert connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal"
    connection.execute("CREATE TABLE t (writer, row, data, PRIMARY KEY (writer, row))")
    children = [Child(_insert, path, writer, count) for writer in range(writers)]
    for child in children:
        child.result(200 * BUILD.slowdown)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = connection.execute("SELECT writer, count(*), max(row) FROM t GROUP BY writer")
    assert rows.fetchall() == [(writer, count, count - 1) for writer in range(writers)]
    connection.close()


@pytest.mark.limit(300)
def test_sqlite_with_four_writers(place):
    call(_database, place.path / "database", 4, 250, timeout=250 * BUILD.slowdown)
    connection = sqlite3.connect(f"file:{place.source / 'database'}?mode=ro", uri=True)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (1000,)
    connection.close()


def project_files():
    """This project's files as they are, whether under version control or not."""
    command = ["git", "-C", SOURCE_ROOT, "-c", "safe.directory=*", "ls-files", "-z"]
    result = run([*command, "--cached", "--others", "--exclude-standard"], check=False)
    if result.returncode == 0:
        names = [name for name in result.stdout.split("\0") if name]
        return [name for name in names if (SOURCE_ROOT / name).exists()]
    files = (path for path in SOURCE_ROOT.rglob("*") if path.is_file())
    return [str(path.relative_to(SOURCE_ROOT)) for path in files]


@pytest.mark.long_without_rings
@pytest.mark.limit(900)
def test_this_project_builds_inside(work, transport):
    """Configured, compiled and its unit tests run, sources and build both in the mount."""
    limit = 600 * BUILD.slowdown
    with Mount(work, transport) as mount:
        tree = mount.path / "project"

        def copy():
            for name in project_files():
                target = tree / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(SOURCE_ROOT / name, target)

        call(copy)
        environment = {**os.environ, "CCACHE_DISABLE": "1"}
        run(["meson", "setup", tree / "build", tree], timeout=limit, env=environment)
        run(["ninja", "-C", tree / "build"], timeout=limit, env=environment)
        programs = call(lambda: sorted(unit_programs(tree / "build")))
        assert programs
        for program in programs:
            run([program], timeout=120 * BUILD.slowdown, cwd=tree / "build")
        before = time.monotonic()
        again = run(["ninja", "-C", tree / "build", "-n"], timeout=60).stdout
        assert "no work to do" in again, f"{time.monotonic() - before}: {again}"


def unit_programs(build):
    folder = build / "test" / "unit"
    return [
        str(path)
        for path in folder.iterdir()
        if path.is_file() and os.access(path, os.X_OK) and not path.suffix
    ]
