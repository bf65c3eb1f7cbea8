# SPDX-License-Identifier: GPL-2.0-only
"""
Programs of a newer Debian, as they were compiled there against another libfuse3.so.4, with this
library in its place: each does its job on a tree of 10,000 files, and all contents are compared.

bindfs is not among them, since Debian 13 has it with libfuse 2. convmvfs does the same job,
and converts names besides; here from UTF-8 to UTF-8. fuse-overlayfs keeps from the library all
options that it does not know itself, and so there is no asking it for io_uring.
"""

import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fusetest.build import BUILD
from fusetest.child import run
from fusetest.debian import SUITE, fetched
from fusetest.mount import TRANSPORTS, unescape

PACKAGES = """e2fsprogs erofs-utils erofsfuse fuse-convmvfs fuse-overlayfs fuse2fs fuse3
    openssh-client openssh-server squashfs-tools squashfuse sshfs""".split()
FILES = 10_000
LOW_LEVEL = {"squashfuse_ll", "erofsfuse", "fuse-overlayfs"}
PATIENCE = 900  # seconds for what walks over all files

pytestmark = [
    pytest.mark.long,
    pytest.mark.transport("dev-multi", "io_uring", "zero-copies"),
    pytest.mark.limit(4 * PATIENCE),
]
path_based = pytest.mark.path_based


@pytest.fixture(scope="module")
def debian():
    """A folder with that Debian in it."""
    return fetched("binaries", SUITE, PACKAGES, timeout=3600)


def make_tree(folder):
    """All kinds of names and sizes, the same each time."""
    chance = random.Random(7)
    folder.mkdir()
    count = 0
    for outer in range(20):
        for inner in range(10):
            place = folder / f"d{outer}" / ("ünïcode" if inner == 3 else f"with blank {inner}")
            place.mkdir(parents=True)
            for number in range(FILES // 200):
                size = chance.choice((0, 1, 100, 1000, 4095, 4096, 4097, 9000))
                if number == 0 and inner == 0:
                    size = 1_234_567
                path = place / f"file-{number}"
                path.write_bytes(chance.randbytes(size))
                path.chmod(chance.choice((0o644, 0o600, 0o755)))
                os.utime(path, ns=(10**18, 10**18 + count * 10**9))
                count += 1
            # Some programs change the owner of what a link points to, which has to be there.
            (place / "link").symlink_to(".")
    assert count == FILES


@pytest.fixture(scope="module")
def tree(session_work):
    folder = session_work / "binaries-tree"
    make_tree(folder)
    yield folder
    shutil.rmtree(folder)


class Guest:
    """
    Debian's files, in mount and network namespaces that last as long as this. What is written is
    written elsewhere: /data is the test's own, /tree the tree, /ours the library.
    """

    def __init__(self, debian, work, tree):
        self.work = work
        self.root, self.data = work / "root", work / "data"
        for folder in (self.root, self.data, work / "scratch", work / "ours"):
            folder.mkdir()
        self._copy_libraries(work / "ours")
        command = ["unshare", "--mount", "--net", "--propagation", "private", "sleep", "infinity"]
        self.holder = subprocess.Popen(command)
        while Path(f"/proc/{self.holder.pid}/comm").read_text() != "sleep\n":
            time.sleep(0.005)
        self._mount(debian, tree)
        self.outside("ip", "link", "set", "lo", "up")

    def _copy_libraries(self, ours):
        """With liburing: it need not be the same one there."""
        library = BUILD.dir / "lib" / "libfuse3.so.4"
        self.library = ours / library.resolve().name
        shutil.copy(library, self.library)
        (ours / "libfuse3.so.4").symlink_to(self.library.name)
        for line in run(["ldd", library]).stdout.splitlines():
            if "liburing" in line:
                shutil.copy(line.split()[2], ours / line.split()[0])

    def _mount(self, debian, tree):
        scratch = self.work / "scratch"
        self.outside("mount", "-t", "tmpfs", "tmpfs", scratch)
        self.outside("mkdir", scratch / "upper", scratch / "work")
        layers = f"lowerdir={debian},upperdir={scratch}/upper,workdir={scratch}/work"
        if "\toverlay\n" in Path("/proc/filesystems").read_text():
            self.outside("mount", "-t", "overlay", "-o", layers, "overlay", self.root)
        else:
            self.outside("cp", "-a", f"{debian}/.", scratch / "upper")
            self.outside("mount", "--bind", scratch / "upper", self.root)
        self.outside("mkdir", "-p", *(self.root / name for name in ("tree", "data", "ours", "mnt")))
        for source, name in ((tree, "tree"), (self.data, "data"), (self.work / "ours", "ours")):
            self.outside("mount", "--bind", source, self.root / name)
        self.outside("mount", "--rbind", "/dev", self.root / "dev")
        self.outside("mount", "--rbind", "/sys", self.root / "sys")
        self.outside("mount", "-t", "proc", "proc", self.root / "proc")
        self.outside("mount", "-t", "tmpfs", "tmpfs", self.root / "run")

    def command(self, *arguments):
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt",
                f"--net=/proc/{self.holder.pid}/ns/net", "--", *map(str, arguments)]

    def outside(self, *arguments):
        return run(self.command(*arguments), timeout=60).stdout

    def inside(self, *arguments, **keywords):
        command = self.command("chroot", self.root, "env", "LANG=C.UTF-8", *arguments)
        return run(command, timeout=PATIENCE * BUILD.slowdown, **keywords).stdout

    def shell(self, script):
        return self.inside("sh", "-euc", script)

    def start(self, *arguments, log, **variables):
        variables = [f"{name}={value}" for name, value in variables.items()]
        command = self.command("chroot", self.root, "env", "LANG=C.UTF-8", *variables, *arguments)
        with open(log, "ab") as file:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def is_mounted(self):
        wanted = str(self.root / "mnt")
        text = Path(f"/proc/{self.holder.pid}/mountinfo").read_text()
        return any(unescape(line.split()[4]) == wanted for line in text.splitlines())

    def close(self):
        self.holder.kill()
        self.holder.wait()


@pytest.fixture
def guest(debian, work, tree):
    guest = Guest(debian, work, tree)
    try:
        yield guest
    finally:
        guest.close()


class Server:
    """
    A program with our library, serving /mnt in the guest. One that does not pass options on
    has no statistics either.
    """

    def __init__(self, guest, transport, *command, passes_options=True):
        self.guest, self.transport = guest, TRANSPORTS[transport]
        self.passes_options = passes_options
        self.command, self.log_path = command, guest.work / "server.log"
        self.stats_path = guest.data / "stats.json"

    def __enter__(self):
        command = [*self.command, "-f"]
        if self.passes_options:
            command += ["-o", ",".join([*self.transport.options, "stats=/data/stats.json"])]
        self.process = self.guest.start(*command, log=self.log_path, LD_LIBRARY_PATH="/ours")
        deadline = time.monotonic() + 30 * BUILD.slowdown
        while not self.guest.is_mounted():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)
        self._check_library()
        return self

    def _check_library(self):
        """It is ours that the program has in its memory, and no other one."""
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        numbers = {line.split()[4] for line in maps.splitlines() if "libfuse3" in line}
        assert numbers == {str(self.guest.library.stat().st_ino)}, maps

    def log(self):
        return self.log_path.read_text(errors="replace")

    def __exit__(self, kind, error, trace):
        if error is not None:
            self.process.kill()
            self.process.wait()
            if hasattr(error, "add_note"):
                error.add_note(f"server's log:\n{self.log()}")
            return
        self.guest.outside("umount", self.guest.root / "mnt")
        status = self.process.wait(60 * BUILD.slowdown)
        assert status == 0, self.log()
        if not self.passes_options:
            return
        stats = json.loads(self.stats_path.read_text())
        # What is path-based here answers from memory, and lets the library know it from the start.
        zero_copy = self.transport.is_zero_copy and self.command[0] in LOW_LEVEL
        wanted = {**self.transport.stats, "zero_copy": zero_copy}
        assert {key: stats[key] for key in wanted} == wanted, self.log()
        assert stats["requests"] > FILES, stats
        if zero_copy and self.transport.may_decline:
            reasons = stats["copy_reasons"]
            assert reasons["declined"] > 0.9 * sum(reasons.values()), "has not learned from answers"


def contents(guest, folder):
    """Of everything below it: name, type, mode, size, target, and a checksum."""
    guest.shell(f"""
        cd {folder}
        exec >/data/listing
        find . -mindepth 1 '(' -name lost+found -prune ')' -o -printf '%P|%y|%m|%l|' \\
            '(' -type f -printf '%s|%Ts\\n' -o -printf '\\n' ')' | sort
        find . '(' -name lost+found -prune ')' -o -type f -print0 | sort -z | xargs -0 sha256sum
    """)
    return (guest.data / "listing").read_text()


def assert_same(guest, one, other):
    found, wanted = contents(guest, one).splitlines(), contents(guest, other).splitlines()
    assert len(wanted) > 2 * FILES
    different = sorted(set(found) ^ set(wanted))
    assert not different, f"{len(different)} differences: {different[:10]}"


# What a user does with a file system that can be written to; with as few processes as can be
CHANGES = """
    cd "$1"
    for file in */*/file-7; do echo appended >>"$file"; done
    for file in d1/*/file-8; do mv "$file" "$file.moved"; done
    for file in d1/*/file-11; do echo replaced >"$file.new"; mv "$file.new" "$file"; done
    rm */*/file-9
    chmod 0711 */*/file-10
    mkdir -p new/a/b
    cp -a d3 new/a/b/copy
    ln -s nowhere new/link
    rm -r d4
    mv d5 new/d5
    truncate -s 5000 d6/ünïcode/file-1
    dd if=/dev/zero of=new/large bs=1M count=20 status=none
    find . ! -type l ! -path '*/d7/*/file-1' -exec touch -d @1700000000 '{}' +
"""


def change(guest, folder):
    (guest.data / "changes").write_text(CHANGES)
    guest.inside("sh", "-eu", "/data/changes", folder)


# Low-level programs


def make_squashfs(guest):
    guest.shell("mksquashfs /tree /data/image -quiet -no-progress -comp gzip >/dev/null")


def test_squashfuse_ll(guest, transport):
    make_squashfs(guest)
    with Server(guest, transport, "squashfuse_ll", "/data/image", "/mnt"):
        assert_same(guest, "/mnt", "/tree")


def test_erofsfuse(guest, transport):
    guest.shell("mkfs.erofs --quiet /data/image /tree")
    with Server(guest, transport, "erofsfuse", "/data/image", "/mnt"):
        assert_same(guest, "/mnt", "/tree")


@pytest.mark.transport("dev-multi")
def test_fuse_overlayfs(guest, transport):
    guest.shell("mkdir /data/upper /data/work && cp -a /tree /data/plain")
    layers = "lowerdir=/tree,upperdir=/data/upper,workdir=/data/work"
    overlay = ["fuse-overlayfs", "-o", layers, "/mnt"]
    with Server(guest, transport, *overlay, passes_options=False):
        assert_same(guest, "/mnt", "/tree")
        change(guest, "/mnt")
        change(guest, "/data/plain")
        assert_same(guest, "/mnt", "/data/plain")
    with Server(guest, transport, *overlay, passes_options=False):
        assert_same(guest, "/mnt", "/data/plain")
    assert not (guest.data / "upper" / "d7" / "with blank 1" / "file-1").exists(), "copied up"


# Path-based programs


@path_based
def test_squashfuse(guest, transport):
    make_squashfs(guest)
    with Server(guest, transport, "squashfuse", "/data/image", "/mnt"):
        assert_same(guest, "/mnt", "/tree")


@path_based
def test_convmvfs(guest, transport):
    guest.shell("cp -a /tree /data/served && cp -a /tree /data/plain")
    options = "srcdir=/data/served,icharset=UTF-8,ocharset=UTF-8"
    with Server(guest, transport, "convmvfs", "/mnt", "-o", options):
        assert_same(guest, "/mnt", "/tree")
        change(guest, "/mnt")
        change(guest, "/data/plain")
        assert_same(guest, "/mnt", "/data/plain")
    assert_same(guest, "/data/served", "/data/plain")


@path_based
def test_fuse2fs(guest, transport):
    """An ext4 image, written to; e2fsck agrees with what came of it."""
    guest.shell("""
        truncate -s 500M /data/image
        mke2fs -q -F -t ext4 -d /tree /data/image
        cp -a /tree /data/plain
    """)
    with Server(guest, transport, "fuse2fs", "/data/image", "/mnt", "-o", "rw"):
        assert_same(guest, "/mnt", "/tree")
        change(guest, "/mnt")
        change(guest, "/data/plain")
        assert_same(guest, "/mnt", "/data/plain")
    guest.inside("e2fsck", "-fn", "/data/image")


@pytest.fixture
def sshd(guest):
    """A server that takes one key, on a loopback that nobody else has."""
    guest.shell("""
        mkdir -p /run/sshd /root/.ssh
        chmod 700 /root/.ssh
        ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
        ssh-keygen -q -t ed25519 -N '' -f /run/hostkey
        cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
        printf '127.0.0.1 %s\\n' "$(cat /run/hostkey.pub)" >/root/.ssh/known_hosts
        printf 'HostKey /run/hostkey\\nListenAddress 127.0.0.1\\nPermitRootLogin yes\\n' >/run/sshd_config
        printf 'UsePAM no\\nSubsystem sftp internal-sftp\\nMaxStartups 100\\n' >>/run/sshd_config
    """)
    log = guest.work / "sshd.log"
    process = guest.start("/usr/sbin/sshd", "-D", "-e", "-f", "/run/sshd_config", log=log)
    deadline = time.monotonic() + 30 * BUILD.slowdown
    while "Server listening" not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    yield
    process.terminate()
    process.wait(20)


@path_based
def test_sshfs(guest, sshd, transport):
    guest.shell("cp -a /tree /data/remote && cp -a /tree /data/plain")
    with Server(guest, transport, "sshfs", "root@127.0.0.1:/data/remote", "/mnt"):
        assert_same(guest, "/mnt", "/tree")
        change(guest, "/mnt")
        change(guest, "/data/plain")
        assert_same(guest, "/mnt", "/data/plain")
    assert_same(guest, "/data/remote", "/data/plain")
