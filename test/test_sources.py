# SPDX-License-Identifier: GPL-2.0-only
"""
Debian's source packages of filesystems, compiled as they are against the installed headers and
library: each does its job on a small tree, and all contents are compared.

They were written for several interfaces: exfat and xmount for that of 3.0, on paths; erofsfuse for
that of 3.0, low-level; fuse2fs for that of 3.5, on paths.

- exfat passes no options on, and so there is no asking it for io_uring, nor for statistics. It
  always runs with -s, and asks for a block device: it is the one that is mounted as fuseblk.
- exfat and xmount have no option to stay in the foreground but -d.
- xmount and e2fsprogs drop the library's folder from what pkg-config told them, as if it were
  always one of the system's; so the linker has to be told by another way, LIBRARY_PATH.
- fuse2fs ends with 0 whatever fuse_main() returned; the others do not.
"""

import hashlib
import os
import random
import shutil
import stat
from pathlib import Path

import pytest

from fusetest.build import BUILD
from fusetest.child import call, run
from fusetest.debian import SUITE, fetched
from fusetest.mount import Mount

PACKAGES = ["e2fsprogs", "erofs-utils", "fuse-exfat", "xmount"]
BUILD_TIME = 1500  # seconds; a build may share the machine with others
MEGABYTE = 1 << 20

pytestmark = [
    pytest.mark.long,
    pytest.mark.limit(5 * BUILD_TIME),
    pytest.mark.transport("dev-multi", "io_uring"),
]
path_based = pytest.mark.path_based


@pytest.fixture(scope="module")
def sources():
    """A folder with the packages in it."""
    return fetched("sources", f"{SUITE}-sources", PACKAGES, timeout=1800)


class Installed:
    """This library in a folder of its own, and an environment in which others find it there."""

    def __init__(self, root):
        run(["meson", "install", "-C", BUILD.dir, "--no-rebuild", "--destdir", root], timeout=300)
        self.library = next(root.rglob("libfuse3.so.4")).resolve()
        folder = str(self.library.parent)
        system = run(["pkg-config", "--variable", "pc_path", "pkg-config"]).stdout.strip()
        self.environment = {
            **os.environ,
            "PKG_CONFIG_SYSROOT_DIR": str(root),
            "PKG_CONFIG_LIBDIR": f"{folder}/pkgconfig:{system}",
            "LIBRARY_PATH": folder,
            "LD_LIBRARY_PATH": folder,
        }

    def run(self, *command, **keywords):
        limit = BUILD_TIME * BUILD.slowdown
        return run(command, timeout=limit, env=self.environment, **keywords).stdout


@pytest.fixture(scope="module")
def installed(session_work):
    if BUILD.sanitizer:
        pytest.skip("programs built without the sanitizer cannot use a library built with it")
    return Installed(session_work / "sources-installed")


class Package:
    """A source package, built in a copy, with nothing in it changed."""

    def __init__(self, sources, installed, work, name):
        self.installed, self.folder = installed, work / f"built-{name}"
        run(["cp", "-a", sources / name, self.folder], timeout=300)

    def run(self, *command):
        return self.installed.run(*command, cwd=self.folder)

    def program(self, name):
        """A program of it, which is linked to the library by its name."""
        path = self.folder / name
        assert "[libfuse3.so.4]" in run(["readelf", "-d", path]).stdout
        return path


@pytest.fixture(scope="module")
def erofs(sources, installed, session_work):
    package = Package(sources, installed, session_work, "erofs-utils")
    package.run("./autogen.sh")
    package.run("./configure", "--enable-fuse", "--with-zlib", "--without-uuid",
                "--without-selinux", "--disable-lz4", "--disable-lzma")
    package.run("make", "-j2")
    return package


@pytest.fixture(scope="module")
def exfat(sources, installed, session_work):
    package = Package(sources, installed, session_work, "fuse-exfat")
    package.run("./configure")
    package.run("make", "-j2")
    return package


@pytest.fixture(scope="module")
def e2fsprogs(sources, installed, session_work):
    """What fuse2fs needs of it."""
    package = Package(sources, installed, session_work, "e2fsprogs")
    package.run("./configure", "--disable-nls", "--enable-fuse2fs", "--enable-libuuid",
                "--enable-libblkid")
    package.run("make", "-j2", "libs")
    package.run("make", "-j2", "-C", "misc", "fuse2fs")
    return package


@pytest.fixture(scope="module")
def xmount(sources, installed, session_work):
    """It looks for its own plugins where it is to be installed."""
    package = Package(sources, installed, session_work, "xmount")
    package.run("cmake", "-B", "b", f"-DCMAKE_INSTALL_PREFIX={package.folder}/installed")
    package.run("cmake", "--build", "b")
    package.run("cmake", "--install", "b")
    return package


class Served(Mount):
    """A program with the installed library. Its command line is its own."""

    def __init__(self, work, transport, package, program, *command, **keywords):
        self.installed = package.installed
        environment = {"LD_LIBRARY_PATH": self.installed.environment["LD_LIBRARY_PATH"]}
        super().__init__(work, transport, program=str(package.program(program)),
                         env=environment, **keywords)
        options = ",".join(self.all_options)
        words = {"OPTIONS": options, "POINT": str(self.path)}
        self.command = [self.command[0], *(words.get(str(word), str(word)) for word in command)]

    def start(self, *arguments, **keywords):
        super().start(*arguments, **keywords)
        maps = Path(f"/proc/{self.pid}/maps").read_text()
        numbers = {line.split()[4] for line in maps.splitlines() if "libfuse3" in line}
        assert numbers == {str(self.installed.library.stat().st_ino)}, maps


# The tree, and what happens to it


def make_tree(folder, links=True):
    """The same each time, with sizes around those of pages and blocks."""
    chance = random.Random(11)
    for outer in range(4):
        for inner in range(3):
            place = folder / f"d{outer}" / ("ünïcode" if inner == 2 else f"with blank {inner}")
            place.mkdir(parents=True)
            for number in range(25):
                size = chance.choice((0, 1, 1000, 4095, 4096, 4097, 70_000))
                data = chance.randbytes(size // 2) + bytes(size - size // 2)
                (place / f"file-{number}").write_bytes(data)
            if links:
                (place / "link").symlink_to("file-1")
    (folder / "d0" / "large").write_bytes(chance.randbytes(5 * MEGABYTE))


def change(folder):
    """What a user does; the same wherever it is done."""
    for path in sorted(folder.glob("*/*/file-7")):
        with path.open("ab") as file:
            file.write(b"appended\n" * 1000)
    for path in sorted(folder.glob("d1/*/file-8")):
        path.rename(path.with_suffix(".moved"))
    for path in sorted(folder.glob("*/*/file-9")):
        path.unlink()
    (folder / "new" / "a").mkdir(parents=True)
    shutil.copytree(folder / "d2", folder / "new" / "a" / "copy", symlinks=True)
    shutil.rmtree(folder / "d3")
    os.truncate(folder / "d0" / "large", 3 * MEGABYTE + 17)
    with (folder / "d0" / "large").open("r+b") as file:
        file.seek(MEGABYTE + 5)
        file.write(b"in the middle" * 10_000)


def listing(folder):
    """Of everything below it: what it is, and a checksum, or where it points."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[name] = ("link", os.readlink(path))
        elif stat.S_ISDIR(mode):
            found[name] = ("folder",)
        else:
            data = path.read_bytes()
            assert len(data) == path.stat().st_size
            found[name] = ("file", len(data), hashlib.sha256(data).hexdigest())
    found.pop("lost+found", None)
    return found


def assert_same(mounted, wanted):
    found, wanted = call(listing, mounted, timeout=300), listing(wanted)
    assert len(wanted) > 100
    assert found == wanted


# The programs


def test_erofsfuse(work, transport, erofs):
    """A compressed image, to read."""
    tree = work / "tree"
    make_tree(tree)
    image = work / "image"
    erofs.run("mkfs/mkfs.erofs", "--quiet", "-zdeflate", image, tree)
    command = ["fuse/erofsfuse", image, "POINT", "-f", "-o", "OPTIONS"]
    with Served(work, transport, erofs, *command) as mount:
        assert_same(mount.path, tree)
        assert mount.entry()["type"] == "fuse.erofsfuse"


@path_based
def test_fuse2fs(work, transport, e2fsprogs):
    """An ext4 image, written to; e2fsck agrees with what came of it."""
    tree = work / "tree"
    make_tree(tree)
    image = work / "image"
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, "100M"], timeout=300)
    command = ["misc/fuse2fs", image, "POINT", "-f", "-o", "OPTIONS"]
    with Served(work, transport, e2fsprogs, *command) as mount:
        assert_same(mount.path, tree)
        call(change, mount.path, timeout=300)
        change(tree)
        assert_same(mount.path, tree)
    run(["e2fsck", "-fn", image], timeout=300)
    with Served(work, transport, e2fsprogs, *command) as mount:
        assert_same(mount.path, tree)


@pytest.fixture
def device(work):
    """A block device of 100 MiB."""
    image = work / "image"
    with image.open("wb") as file:
        file.truncate(100 * MEGABYTE)
    path = run(["losetup", "--find", "--show", image]).stdout.strip()
    yield path
    run(["losetup", "--detach", path])


@path_based
def test_exfat(work, exfat, device):
    """Made by another program, filled and changed; and that program has no complaints."""
    tree = work / "tree"
    make_tree(tree, links=False)
    run(["mkfs.exfat", device])
    command = ["fuse/mount.exfat-fuse", "-d", device, "POINT"]

    def serve():
        return Served(work, "dev-single", exfat, *command, statistics=False)

    with serve() as mount:
        assert mount.entry()["type"] == "fuseblk"
        call(shutil.copytree, tree, mount.path, dirs_exist_ok=True, timeout=300)
        assert_same(mount.path, tree)
    with serve() as mount:
        call(change, mount.path, timeout=300)
        change(tree)
        assert_same(mount.path, tree)
    run(["fsck.exfat", "-n", device], timeout=300)
    with serve() as mount:
        assert_same(mount.path, tree)


def virtual_disk(mount):
    """The disk as xmount shows it, without the footer behind it."""
    (path,) = mount.path.glob("*.vhd")
    data = path.read_bytes()
    assert data[-512:].startswith(b"conectix")
    return hashlib.sha256(data[:-512]).hexdigest()


def write_to_disk(mount):
    (path,) = mount.path.glob("*.vhd")
    with path.open("r+b") as file:
        for offset in (0, 3 * MEGABYTE + 100, 7 * MEGABYTE):
            file.seek(offset)
            file.write(b"written" * 5000)


@path_based
def test_xmount(work, transport, xmount):
    """A raw image, seen as one of another kind, with what is written to it kept elsewhere."""
    data = bytearray(random.Random(12).randbytes(20 * MEGABYTE))
    image = work / "image"
    image.write_bytes(data)
    command = ["installed/bin/xmount", "-d", "-o", "OPTIONS", "--in", "raw", image,
               "--out", "vhd", "--cache", work / "cache", "POINT"]
    with Served(work, transport, xmount, *command) as mount:
        assert call(virtual_disk, mount) == hashlib.sha256(data).hexdigest()
        call(write_to_disk, mount)
    assert image.read_bytes() == data
    for offset in (0, 3 * MEGABYTE + 100, 7 * MEGABYTE):
        data[offset : offset + 35_000] = b"written" * 5000
    with Served(work, transport, xmount, *command) as mount:
        assert call(virtual_disk, mount) == hashlib.sha256(data).hexdigest()
