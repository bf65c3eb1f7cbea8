# SPDX-License-Identifier: GPL-2.0-only
"""
The kernel patches by themselves: that they apply, and what the raw interface does, without the
library. How the library fares with them is for all other tests, in a guest that has them.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fusetest import guest
from fusetest.rig import cache, sources

if guest.inside():
    pytest.skip("this is a guest of the rig", allow_module_level=True)

HERE = Path(__file__).resolve().parent
PATCHES = HERE.parent / "kernel-patches"
TESTS = PATCHES / "test"
# what "all" of the raw tests runs
RUNS = {
    "7.2": ["bufring"] * 12 + ["hostile"],
    "7.3": ["shared"] * 8 + ["hostile-shared"],
}
# random commands in the debugging kernel, where those of 7.3 come with much more I/O
COMMANDS = {"7.2": 1_000_000, "7.3": 100_000}
UM = ["--cpus", "2", "--timeout", "3600"]
DEBUG = [
    "--debug",
    *("--config", HERE / "vm" / "config" / "uniprocessor.config"),
    *("--cpus", "1", "--mem", "3072", "--timeout", "14400"),
]


def series_of(release):
    return PATCHES / f"linux-{release}"


@pytest.fixture(scope="module", params=sorted(RUNS))
def release(request):
    return request.param


def the_tarball(release, config):
    """A source as the rig has fetched it, or fetches it when there is time for that."""
    path = cache.root() / "sources" / f"linux-{release}" / "linux.tar.xz"
    if not path.exists() and not config.getoption("--all"):
        pytest.skip(f"there is no {path}, and only --all fetches it")
    return sources.Package(release).folder / path.name


@pytest.fixture(scope="module")
def tarball(release, request):
    return the_tarball(release, request.config)


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def tree(request, tmp_path_factory):
    """As much of Linux 7.2 as the check of its series looks at."""
    tarball = the_tarball("7.2", request.config)
    folder = tmp_path_factory.mktemp("linux")
    parts = ["Documentation/filesystems", "fs/fuse", "include", "io_uring", "scripts", "[A-Z]*"]
    run("tar", "-xf", tarball, "-C", folder, "--strip-components=1", "--wildcards",
        "--no-wildcards-match-slash", "--exclude=*/Documentation/[!f]*",
        *(f"*/{part}" for part in parts))
    return folder


def check_series(source, series):
    done = subprocess.run([TESTS / "check.sh", source, series], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.limit(600)
def test_series(release, tarball):
    status, said, complaints = check_series(tarball, series_of(release))
    assert (status, complaints) == (0, "")
    assert said.split() == sorted(patch.name for patch in series_of(release).iterdir())


@pytest.mark.limit(600)
@pytest.mark.parametrize(
    "was, is_now, complaint",
    [
        (" \tif (!fch->connected) {", " \tif (fch->connected) {", "does not apply"),
        ("@@ -26,10 +27,21 ", "@@ -28,10 +29,21 ", "applies elsewhere"),
        ("\n+\tkfree(br);", "\n+        kfree(br);", "checkpatch.pl complains"),
    ],
)
def test_spoilt_series(tree, tmp_path, was, is_now, complaint):
    """What the check says of such, or it would not be worth much."""
    series = tmp_path / "series"
    shutil.copytree(series_of("7.2"), series)
    (patch,) = series.glob("*-fuse-add-buffer-rings-*")
    text = patch.read_text()
    assert was in text
    patch.write_text(text.replace(was, is_now, 1))
    status, _, complaints = check_series(tree, series)
    assert status == 1
    assert f"{patch.name}" in complaints and complaint in complaints


@pytest.fixture(scope="module")
def programs(release, tarball, tmp_path_factory):
    """Those of the raw tests, built with the header of the patched kernel."""
    folder = tmp_path_factory.mktemp("patches")
    header = "include/uapi/linux/fuse.h"
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    unpack = ["--strip-components=1", "--wildcards", f"*/{header}"]
    run("tar", "-xf", tarball, "-C", folder, *unpack)
    for patch in sorted(series_of(release).iterdir()):
        run("git", "apply", f"--include={header}", patch, cwd=folder, env=environment)
    shutil.copytree(TESTS, folder / "test")
    run("make", "-C", folder / "test", f"KERNEL={folder}")
    return folder / "test"


def check_raw(release, programs, options, commands):
    kernel = ["--kernel", f"{release}+patches", *options]
    status, output = guest.run([*kernel, "--share", programs], [programs / "all", commands])
    assert status == 0, output
    names = "|".join(sorted(set(RUNS[release]), key=len, reverse=True))
    runs = re.split(rf"^({names})\b.*\n", output, flags=re.M)[1:]
    ran, texts = runs[::2], runs[1::2]
    assert ran == RUNS[release], output
    for text in texts[:-1]:
        assert int(re.search(r"^re(?:quests|ads) (\d+) ", text, re.M).group(1)) > 1000, text
    sent = re.search(r"^(\d+) random commands", texts[-1], re.M)
    assert int(sent.group(1)) >= commands, texts[-1]


@pytest.mark.long
@pytest.mark.limit(7200)
def test_raw_interface(release, programs):
    check_raw(release, programs, UM, 100_000)


@pytest.mark.long
@pytest.mark.limit(86400)
def test_raw_interface_in_debug_kernel(release, programs):
    """The guest fails by itself where KASAN, lockdep or kmemleak have something to report."""
    check_raw(release, programs, DEBUG, COMMANDS[release])


@pytest.mark.long
@pytest.mark.limit(86400)
def test_many_mounts_in_debug_kernel():
    tests = ["--all", "--transports=ring-zero-copy", HERE / "test_many_mounts.py"]
    status, output = guest.run_pytest(["--kernel", "7.2+patches", *DEBUG], tests)
    assert status == 0 and "1 passed" in output, output
