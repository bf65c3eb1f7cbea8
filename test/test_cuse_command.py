# SPDX-License-Identifier: GPL-2.0-only
"""The command line of example/cuse, as far as no device is needed. test_cuse.py has the rest."""

import pytest

from fusetest.build import BUILD
from fusetest.child import run

pytestmark = pytest.mark.sanitize


def cuse(*arguments):
    return run([BUILD.program("example/cuse"), *arguments], check=False)


def test_no_kernel_for_it():
    """Said at once, before the program goes to the background."""
    script = 'mount -t tmpfs none /dev && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", BUILD.program("example/cuse")]
    result = run(command, check=False)
    assert result.returncode == 1
    assert "there is no /dev/cuse; perhaps 'modprobe cuse' helps" in result.stdout


def test_help():
    result = cuse("--help")
    assert result.returncode == 0
    for word in ("usage: ", "--name=NAME", "--restricted", "-s ", "stats=PATH"):
        assert word in result.stdout


def test_version():
    result = cuse("-V")
    assert result.returncode == 0 and "FUSE library version 3.18.3" in result.stdout


def test_name_is_needed():
    result = cuse("--name=", "-f")
    assert result.returncode == 1 and "DEVNAME=... is missing" in result.stdout


def test_unknown_option():
    result = cuse("-o", "nonsense", "-f")
    assert result.returncode == 1 and "nonsense" in result.stdout
