# SPDX-License-Identifier: GPL-2.0-only
"""
The library's interface does not depend on who compiles it, with which options, nor on which of two
successive versions it is: abidiff compares the types and functions of two builds, as far as the
public headers have them.
"""

import io
import os
import shutil
import tarfile

import pytest

from fusetest.build import BUILD, SOURCE_ROOT
from fusetest.child import run

BUILD_TIME = 900  # seconds; a build may share the machine with others
OPTIONS = ["-Dtests=false", "-Dexamples=false", "-Dutils=false", "-Dbuildtype=debug"]

# What abidiff's exit status says.
CHANGED, INCOMPATIBLE = 4, 8

pytestmark = [pytest.mark.long, pytest.mark.limit(3 * BUILD_TIME)]


class Compiled:
    """A library with debugging information, and the headers that belong to it."""

    def __init__(self, folder, source, *options, compiler="gcc"):
        environment = {**os.environ, "CC": compiler}
        limit = BUILD_TIME * BUILD.slowdown
        run(["meson", "setup", folder, source, *OPTIONS, *options], timeout=limit, env=environment)
        run(["ninja", "-C", folder, "lib/libfuse3.so.3.18.3"], timeout=limit, env=environment)
        self.library = folder / "lib" / "libfuse3.so.3.18.3"
        self.headers = source / "include"


@pytest.fixture(scope="module")
def present(session_work):
    folder = session_work / "abi-present"
    yield Compiled(folder, SOURCE_ROOT)
    shutil.rmtree(folder)


def abidiff(one, other, *options):
    """Its exit status, and what it says."""
    headers = ["--headers-dir1", one.headers, "--headers-dir2", other.headers]
    command = ["abidiff", *headers, *options, one.library, other.library]
    result = run(command, timeout=300 * BUILD.slowdown, check=False)
    assert "Functions changes summary" in result.stdout or result.returncode == 0, result.stdout
    return result.returncode, result.stdout


@pytest.mark.parametrize(
    "compiler, option",
    [
        ("clang", "-Db_lundef=true"),
        ("gcc", "-Denable-io-uring=false"),
        ("gcc", "-Dfault-injection=true"),
        ("gcc", "-Doptimization=3"),
    ],
    ids=["clang", "without io_uring", "with faults", "optimized"],
)
def test_other_build(work, present, compiler, option):
    other = Compiled(work / "other", SOURCE_ROOT, option, compiler=compiler)
    status, text = abidiff(present, other)
    assert status == 0, text


def unpacked(folder, revision):
    """A revision's sources."""
    command = ["git", "-C", SOURCE_ROOT, "archive", revision]
    archive = run(command, text=False, errors=None).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder)
    return folder


def last_release():
    """The newest tag; or, before the first one, where the list of symbols was changed last."""
    git = ["git", "-C", SOURCE_ROOT]
    if run([*git, "rev-parse", "--git-dir"], check=False).returncode != 0:
        pytest.skip("these sources come without their history")
    tag = run([*git, "describe", "--tags", "--abbrev=0"], check=False)
    if tag.returncode == 0:
        return tag.stdout.strip()
    return run([*git, "log", "-1", "--format=%H", "--", "lib/fuse_versionscript"]).stdout.strip()


def test_since_last_release(work, present):
    """There may be more functions by now."""
    former = Compiled(work / "former", unpacked(work / "source", last_release()))
    status, text = abidiff(former, present, "--no-added-syms")
    assert status == 0, text


@pytest.mark.parametrize(
    "file, before, after, status, words",
    [
        ("include/fuse_lowlevel.h", "uint64_t generation;", "uint32_t generation;", CHANGED,
         "fuse_entry_param"),
        ("lib/fuse_versionscript", "\t\tfuse_clean_cache;\n", "", CHANGED | INCOMPATIBLE,
         "fuse_clean_cache"),
    ],
    ids=["member", "symbol"],
)
def test_changes_are_noticed(work, present, file, before, after, status, words):
    """Otherwise the tests above would show nothing."""
    source = work / "source"
    kept_out = shutil.ignore_patterns(".git", ".build", "kernel-patches")
    shutil.copytree(SOURCE_ROOT, source, ignore=kept_out, symlinks=True)
    text = (source / file).read_text()
    assert text.count(before) == 1
    (source / file).write_text(text.replace(before, after))
    found, report = abidiff(present, Compiled(work / "changed", source))
    assert found == status and words in report, (found, report)
