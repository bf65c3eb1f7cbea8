# SPDX-License-Identifier: GPL-2.0-only
"""Where a kernel's source comes from: Debian's package of its version, or a path given."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import cache
from failure import Failure
from progress import say

HERE = Path(__file__).resolve().parent

# A third of all bytes, and nothing that is built here reads them.
NOT_UNPACKED = (
    "*/Documentation/devicetree/*",
    "*/arch/*/boot/dts/*",
    "*/drivers/gpu/drm/amd/include/*",
)


def _unpack(tarball, tree):
    say(f"unpacking {tarball.name}")
    command = ["tar", "-xf", tarball, "-C", tree, "--strip-components=1", "--no-same-owner"]
    command += [f"--exclude={pattern}" for pattern in NOT_UNPACKED]
    unpacked = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if unpacked.returncode:
        raise Failure(f"cannot unpack {tarball}: {unpacked.stderr.strip().splitlines()[-1]}")


class Package:
    """linux-source-RELEASE of Debian's archive; the tarball stays in the cache."""

    def __init__(self, release):
        self.release = release
        self.folder = cache.made("sources", f"linux-{release}", self._fetch)
        self.identity = (self.folder / "version").read_text().strip()

    def _fetch(self, folder):
        fetch = subprocess.run([HERE / "fetch", self.release, folder], stdin=subprocess.DEVNULL)
        if fetch.returncode:
            raise Failure(f"cannot fetch the source of Linux {self.release}; --source names one")

    def copy_to(self, tree):
        _unpack(self.folder / "linux.tar.xz", tree)


class Tarball:
    def __init__(self, path):
        self.path = path
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        self.identity = f"{path.name} {digest.hexdigest()}"

    def copy_to(self, tree):
        _unpack(self.path, tree)


class Tree:
    """A folder of the user's own. It is copied, since a build in it would leave things."""

    def __init__(self, path):
        self.path = path
        digest = hashlib.sha256()
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if name != ".git")
            for name in sorted(files):
                file = os.path.join(folder, name)
                status = os.lstat(file)
                digest.update(os.fsencode(f"{file}\0{status.st_size} {status.st_mtime_ns}\n"))
        self.identity = f"{path} {digest.hexdigest()}"

    def copy_to(self, tree):
        say(f"copying {self.path}")
        reader = subprocess.Popen(
            ["tar", "-cf-", "--exclude=./.git", "-C", self.path, "."], stdout=subprocess.PIPE
        )
        writer = subprocess.run(["tar", "-xf-", "-C", tree, "--no-same-owner"], stdin=reader.stdout)
        reader.stdout.close()
        if reader.wait() or writer.returncode:
            raise Failure(f"cannot copy {self.path}")


def given(path):
    path = Path(path).absolute()
    if path.is_dir():
        return Tree(path)
    if path.is_file():
        return Tarball(path)
    raise Failure(f"{path} is neither a folder nor a tarball")


def version_of(tree):
    """VERSION, PATCHLEVEL and so on of a source tree's Makefile, such as 7.3.0-rc7."""
    try:
        text = (tree / "Makefile").read_text()
        parts = [
            re.search(rf"^{name} *=[ \t]*(\S*)$", text, re.M).group(1)
            for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION")
        ]
    except (OSError, AttributeError) as error:
        raise Failure("this is no source tree of Linux: its Makefile says no version") from error
    return ".".join(parts[:3]) + parts[3]
