# SPDX-License-Identifier: GPL-2.0-only
"""Commands in a guest with another kernel, for tests on the machine itself."""

import os
import subprocess
import sys
from pathlib import Path

from .build import BUILD

RUN = Path(__file__).resolve().parents[1] / "vm" / "run"

# What a guest has of its own, and does not show of the machine unless it is named.
HIDDEN = ("/tmp/", "/var/tmp/", "/run/", "/dev/shm/")


def inside():
    """Is this a guest already?"""
    return os.uname().release.endswith("-vm")


def run(options, command):
    """The command's status, or the rig's, and all that was written."""
    words = [str(word) for word in (RUN, *options, "--", *command)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def run_pytest(options, arguments):
    """The same for tests of this build."""
    share = ["--share", BUILD.dir] if str(BUILD.dir).startswith(HIDDEN) else []
    build = ["--env", f"FUSE_BUILD_DIR={BUILD.dir}"]
    command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
    return run([*options, *share, *build], command)
