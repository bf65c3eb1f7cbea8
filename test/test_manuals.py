# SPDX-License-Identifier: GPL-2.0-only
"""The manual pages: whole, without mistakes of markup, and with every option that there is."""

import os
import re
import shutil
import subprocess

import pytest

from fusetest.build import BUILD, SOURCE_ROOT
from fusetest.child import run

PAGES = ["fuse3.5", "fusermount3.1", "fusestat.1", "mount.fuse3.8"]
# The first one is in every Debian that has groff.
CHECKS = {
    "groff": ["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z"],
    "man": ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"],
    "mandoc": ["mandoc", "-T", "lint", "-W", "warning"],
}


def page(name):
    return SOURCE_ROOT / "doc" / name


@pytest.mark.parametrize("check", [name for name in CHECKS if shutil.which(name)])
@pytest.mark.parametrize("name", PAGES)
def test_markup(name, check):
    command = [*CHECKS[check], str(page(name))]
    result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_something_checks_the_markup():
    assert any(map(shutil.which, CHECKS)), f"none of {', '.join(CHECKS)} is installed"


def text(name):
    """Without markup, so that options can be found in it."""
    source = page(name).read_text()
    source = re.sub(r"\\f[BIPR]", "", source)
    source = re.sub(r"^\.\w+ ?", "", source, flags=re.M)
    return re.sub(r"\\([-~])", r"\1", source).replace('"', "")


def options_of_help(program, *arguments):
    """The words that a program's help introduces: at a line's beginning, and behind -o."""
    output = run([BUILD.program(program), *arguments]).stdout
    found = set()
    for line in output.splitlines():
        match = re.match(r"\s+((?:-[-\w]+[=,]?\s*)+)(?:([\w]+)(=?))?", line)
        if not match:
            continue
        found |= set(re.findall(r"--?\w[-\w]*", match[1])) - {"-o"}
        if match[1].split()[-1:] == ["-o"] and match[2] and match[2] != "OPTION":
            found.add(match[2] + match[3])
    return found


@pytest.mark.parametrize(
    "name, program",
    [
        ("fuse3.5", "example/hello_ll"),
        ("fusermount3.1", "util/fusermount3"),
        ("fusestat.1", "util/fusestat"),
        ("mount.fuse3.8", "util/mount.fuse3"),
    ],
)
def test_every_option_is_there(name, program):
    options = options_of_help(program, "--help")
    assert len(options) >= 6, options
    missing = [option for option in options if option not in text(name)]
    assert not missing, missing


def test_options_of_the_mount_helper():
    words = re.findall(r"^ {7}(?!mount\.)(\w+=?)", run([BUILD.program("util/mount.fuse3"), "-h"]).stdout, re.M)
    assert words == ["setuid=", "drop_privileges", "pass_fuse_fd"]
    assert all(word in text("mount.fuse3.8") for word in words)


def test_settings_of_fuse_conf():
    """Those that fusermount3 reads are in its page, and in the file that is installed."""
    source = (SOURCE_ROOT / "util" / "fusermount3" / "config.c").read_text()
    names = set(re.findall(r'"(mount_max|user_\w+)"', source))
    assert names == {"mount_max", "user_allow_other"}
    for name in names:
        assert name in text("fusermount3.1")
        assert name in (SOURCE_ROOT / "util" / "fuse.conf").read_text()


def test_pages_are_each_others():
    for name in PAGES:
        for other in re.findall(r"^\.BR (\S+) \((\d)\)", page(name).read_text(), re.M):
            file = ".".join(other)
            elsewhere = file in ("mount.8", "umount.8", "fstab.5")
            assert elsewhere or os.path.exists(page(file)), file
