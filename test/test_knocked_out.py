# SPDX-License-Identifier: GPL-2.0-only
"""Tests that have to fail where what they are about is broken on purpose."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusetest.build import BUILD

if os.uname().release.endswith("-vm"):
    pytest.skip("this is a guest of the rig", allow_module_level=True)

HERE = Path(__file__).resolve().parent
RUN = HERE / "vm" / "run"

pytestmark = [pytest.mark.long, pytest.mark.limit(2400)]


def in_guest(kernel, *pytest_arguments):
    command = [RUN, *kernel, "--cpus", "2", "--mem", "3072", "--timeout", "900"]
    folder = str(BUILD.dir)
    if folder.startswith(("/tmp/", "/var/tmp/", "/run/", "/dev/shm/")):
        command += ["--share", folder]
    command += ["--env", f"FUSE_BUILD_DIR={folder}", "--"]
    command += [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run([*command, *pytest_arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("kernel", ["7.3"])
def test_stale_memory_is_noticed(kernel):
    patch = HERE / "knocked_out" / f"linux-{kernel}-clearing.patch"
    tests = [HERE / "test_stale_memory.py", "--transports=zero-copy", "-k", "end_of_file"]
    status, output = in_guest(["--kernel", kernel, "--patch", patch], *tests)
    assert status == 1, output
    assert "free memory's pattern" in output and " passed" not in output, output
