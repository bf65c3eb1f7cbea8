# SPDX-License-Identifier: GPL-2.0-only
"""fusermount3, installed set-uid root and run by users who may not mount.

Every test has a mount namespace of its own, with an /etc and a /run of its own, so that nothing
of it reaches the machine. There is no server behind these mounts: nothing may ask them anything.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusetest.build import BUILD
from fusetest.waiting import eventually

USER, OTHER = 65534, 65533
CLIENT = Path(__file__).parent / "fusetest" / "commfd_client.py"
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
CAP_SYS_ADMIN = 1 << 21


def has_ended(pid):
    """Gone, or waiting for a parent that need not be quick about it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def unescape(text):
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), text)


class Entry:
    """A line of mountinfo."""

    def __init__(self, line):
        mount, _, fs = line.rstrip("\n").partition(" - ")
        mount, fs = mount.split(" "), fs.split(" ")
        self.id, self.point = int(mount[0]), unescape(mount[4])
        self.flags = set(mount[5].split(","))
        self.type, self.source = unescape(fs[0]), unescape(fs[1])
        self.options = set(fs[2].split(","))


class Client:
    """A commfd_client.py that is running, and what it said."""

    def __init__(self, process):
        self.process = process
        line = process.stdout.readline()
        assert line, process.stderr.read()
        self.said = json.loads(line)
        self.mounted = self.said["device"] == "/dev/fuse"
        self.error = self.said["err"]
        self.program = self.said["program"]

    def kill(self):
        os.kill(self.said["pid"], signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class Sandbox:
    def __init__(self, work):
        self.work = work
        self.clients = []
        self.program = work / "bin" / "fusermount3"
        self._install()
        self.client_program = work / "client.py"
        shutil.copy(CLIENT, self.client_program)
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sleep", "infinity"]
        )
        comm = Path(f"/proc/{self.holder.pid}/comm")
        eventually(lambda: comm.read_text() == "sleep\n")
        self._furnish()

    def _install(self):
        self.program.parent.mkdir()
        shutil.copy(BUILD.program("util/fusermount3"), self.program)
        os.chown(self.program, 0, 0)
        self.program.chmod(0o4755)

    def _furnish(self):
        self.etc = self.work / "etc"
        self.etc.mkdir()
        for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf"):
            if os.path.exists(f"/etc/{name}"):
                shutil.copy(f"/etc/{name}", self.etc / name)
        (self.etc / "mtab").symlink_to("/proc/mounts")
        # A copy of a FUSE mount keeps it alive after it has been unmounted elsewhere.
        for entry in self.mounts(everywhere=True):
            self.root("umount", "-l", entry.point)
        self.root("mount", "--bind", self.etc, "/etc")
        self.root("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")

    def directory(self, name, uid=USER, mode=0o755):
        path = self.work / name
        path.mkdir()
        os.chown(path, uid, uid)
        path.chmod(mode)
        return path

    def file(self, name, uid=USER, mode=0o644):
        path = self.work / name
        path.write_text("")
        os.chown(path, uid, uid)
        path.chmod(mode)
        return path

    # Running things

    def command(self, arguments, user):
        inside = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--"]
        if user:
            inside += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
        return inside + [str(argument) for argument in arguments]

    def run(self, *arguments, user=USER, **keywords):
        return subprocess.run(
            self.command(arguments, user),
            capture_output=True,
            text=True,
            timeout=30 * BUILD.slowdown,
            **keywords,
        )

    def root(self, *arguments):
        result = self.run(*arguments, user=0)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def fusermount(self, *arguments, user=USER, **keywords):
        return self.run(self.program, *arguments, user=user, **keywords)

    def client(self, *arguments, user=USER, program=None, **environment):
        command = [PYTHON, self.client_program, program or self.program, *arguments]
        process = subprocess.Popen(
            self.command(command, user),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
            cwd="/",
        )
        client = Client(process)
        self.clients.append(client)
        return client

    def mount(self, path, options=None, **keywords):
        """Mounts, and has to succeed."""
        client = self.client(*(["-o", options] if options else []), "--", path, **keywords)
        assert client.mounted, client.error
        return client

    def refused(self, path, options=None, **keywords):
        """Mounts, has to fail, and returns the one line that says why."""
        before = len(self.mounts())
        client = self.client(*(["-o", options] if options else []), "--", path, **keywords)
        assert not client.mounted
        assert client.said["status"] == 1
        assert len(self.mounts()) == before
        assert re.fullmatch(r"fusermount3: .+\n", client.error), client.error
        return client.error

    def auto_unmount(self, path, **keywords):
        return self.mount(path, "auto_unmount", CLIENT_STAYS="1", **keywords)

    # Looking at mounts

    def entries(self):
        text = Path(f"/proc/{self.holder.pid}/mountinfo").read_text()
        return [Entry(line) for line in text.splitlines()]

    def mounts(self, everywhere=False):
        """The FUSE mounts of this test."""
        return [
            entry
            for entry in self.entries()
            if entry.type.partition(".")[0] in ("fuse", "fuseblk")
            and (everywhere or self.work in Path(entry.point).parents)
        ]

    def at(self, path):
        """What is mounted there, from bottom to top."""
        return [entry for entry in self.entries() if entry.point == str(path)]

    def is_mounted(self, path):
        return any(entry.type.startswith("fuse") for entry in self.at(path))

    def configure(self, text):
        (self.etc / "fuse.conf").write_text(text)

    def close(self):
        for client in self.clients:
            client.close()
        self.holder.kill()
        self.holder.wait()


@pytest.fixture
def sandbox(work):
    box = Sandbox(work)
    try:
        yield box
    finally:
        box.close()


@pytest.fixture
def own(sandbox):
    return sandbox.directory("own")


# What may be mounted, and where


def test_mount_and_unmount(sandbox, own):
    client = sandbox.mount(own, "subtype=test,fsname=name")
    assert client.error == "" and client.said["out"] == "" and client.said["status"] == 0
    (entry,) = sandbox.at(own)
    assert (entry.type, entry.source) == ("fuse.test", "name")
    assert {"nosuid", "nodev", "rw"} <= entry.flags
    assert {f"user_id={USER}", f"group_id={USER}"} <= entry.options
    assert "allow_other" not in entry.options
    result = sandbox.fusermount("-u", own)
    assert (result.returncode, result.stderr) == (0, "")
    assert not sandbox.at(own)


def test_options_after_the_mount_point(sandbox, own):
    client = sandbox.client(own, "-o", "ro", "-o", "noexec", POSIXLY_CORRECT="1")
    assert client.mounted
    assert {"ro", "noexec"} <= sandbox.at(own)[0].flags


def test_options_reach_the_kernel(sandbox, own):
    sandbox.mount(own, "ro,noexec,sync,dirsync,noatime,default_permissions,max_read=8192,,x-a.b=c")
    (entry,) = sandbox.at(own)
    assert {"ro", "noexec", "noatime"} <= entry.flags
    assert {"ro", "sync", "dirsync", "default_permissions", "max_read=8192"} <= entry.options
    assert (entry.type, entry.source) == ("fuse", "/dev/fuse")


@pytest.mark.parametrize(
    "escaped, plain",
    [
        (r"a\,b", "a,b"),
        (r"a\\b", r"a\b"),
        (r"a b\,allow_other", "a b,allow_other"),
        ("a\nb", "a\nb"),
        ("user_id=0#", "user_id=0#"),
        ("é" * 500, "é" * 500),
    ],
)
def test_device_name_is_taken_literally(sandbox, own, escaped, plain):
    sandbox.mount(own, f"fsname={escaped},subtype=s")
    (entry,) = sandbox.at(own)
    assert entry.source == plain
    assert f"user_id={USER}" in entry.options and "allow_other" not in entry.options
    assert sandbox.fusermount("-u", own).returncode == 0


def test_user_cannot_have_devices_and_set_uid_files(sandbox, own):
    client = sandbox.mount(own, "dev,suid")
    assert client.error.splitlines() == [
        "fusermount3: option 'dev' is for root only, ignored",
        "fusermount3: option 'suid' is for root only, ignored",
    ]
    assert {"nosuid", "nodev"} <= sandbox.at(own)[0].flags


def test_root_can(sandbox):
    path = sandbox.directory("root", uid=0)
    sandbox.mount(path, "dev,suid,allow_other", user=0)
    (entry,) = sandbox.at(path)
    assert not {"nosuid", "nodev"} & entry.flags
    assert {"allow_other", "user_id=0"} <= entry.options


@pytest.mark.parametrize(
    "option, reason",
    [
        ("bogus", "unknown option 'bogus'"),
        ("ro,bogus=1", "unknown option 'bogus=1'"),
        ("allow_other=1", "unknown option"),
        ("nonempty", "unknown option"),
        ("fd=3", "'fd=3' may not be given"),
        ("rootmode=100000", "may not be given"),
        ("user_id=0", "may not be given"),
        ("group_id=0", "may not be given"),
        ("max_read=", "'max_read=' needs a number"),
        ("max_read=1k", "needs a number"),
        ("max_read=-1", "needs a number"),
        ("max_read=4294967296", "is too large"),
        ("fsname=", "'fsname=' needs a value"),
        ("subtype=", "needs a value"),
        ("subtype=" + "a" * 4096, "is too long"),
        ("blkdev,fsname=/dev/null", "'blkdev' is for root only"),
        ("blksize=512", "for root only"),
        ("context=a:b:c:d", "for root only"),
        ("rootcontext=a:b:c:d", "for root only"),
        ("allow_root", "'allow_root'"),
        (r"x-a=b\,suid", "may not contain a comma"),
        ("allow_other", "needs 'user_allow_other'"),
    ],
)
def test_bad_option(sandbox, own, option, reason):
    assert reason in sandbox.refused(own, option)


def test_reserved_option_is_refused_for_root_too(sandbox, own):
    assert "may not be given" in sandbox.refused(own, "user_id=1", user=0)
    assert "not a block device" in sandbox.refused(own, "blkdev,fsname=/dev/null", user=0)
    assert "needs the block device" in sandbox.refused(own, "blkdev", user=0)


def test_writable_place_of_somebody_else(sandbox):
    path = sandbox.directory("shared", uid=0, mode=0o777)
    sandbox.mount(path)
    assert sandbox.is_mounted(path)


@pytest.mark.parametrize("uid, mode", [(0, 0o755), (OTHER, 0o755), (OTHER, 0o700), (0, 0o1777)])
def test_place_of_somebody_else(sandbox, uid, mode):
    path = sandbox.directory("theirs", uid=uid, mode=mode)
    error = sandbox.refused(path)
    assert "sticky" in error if mode & 0o1000 else "neither own it" in error


def test_place_behind_a_closed_door(sandbox):
    door = sandbox.directory("door", uid=OTHER, mode=0o700)
    (door / "own").mkdir()
    os.chown(door / "own", USER, USER)
    assert "Permission denied" in sandbox.refused(door / "own")


@pytest.mark.parametrize("path", ["/", "/etc", "/usr", "/tmp", "/root", "/proc", "/dev", "/sys"])
def test_place_of_the_system(sandbox, path):
    sandbox.refused(path)


def test_own_process_in_proc(sandbox):
    sleeper = subprocess.Popen(sandbox.command(["sleep", "60"], USER))
    try:
        proc = Path(f"/proc/{sleeper.pid}")
        eventually(lambda: (proc / "comm").read_text() == "sleep\n")
        assert proc.stat().st_uid == USER
        for path in (proc, proc / "task", proc / "cwd", proc / "environ"):
            sandbox.refused(path)
        assert "may be mounted on" in sandbox.refused(proc)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_file_as_mount_point(sandbox):
    path = sandbox.file("file")
    sandbox.mount(path)
    assert sandbox.is_mounted(path)
    assert sandbox.fusermount("-u", path).returncode == 0
    assert not sandbox.at(path)
    assert "neither own it" in sandbox.refused(sandbox.file("root-file", uid=0))


def test_other_things_are_no_mount_points(sandbox):
    fifo = sandbox.work / "fifo"
    os.mkfifo(fifo)
    os.chown(fifo, USER, USER)
    assert "neither a directory nor a regular file" in sandbox.refused(fifo)
    assert "No such file" in sandbox.refused(sandbox.work / "missing")
    assert "No such file" in sandbox.refused("")
    assert "Not a directory" in sandbox.refused(sandbox.file("file") / "below")


def test_device_is_missing(sandbox, own):
    sandbox.root("sh", "-c", "mount -t tmpfs none /mnt && cp -a /dev/null /mnt && "
                 "mount --move /mnt /dev")
    error = sandbox.refused(own)
    assert "cannot open /dev/fuse: No such file" in error and "module" in error


def test_without_set_uid(sandbox, own):
    plain = sandbox.work / "plain"
    shutil.copy(sandbox.program, plain)
    plain.chmod(0o755)
    assert "fusermount3 is not set-uid root" in sandbox.refused(own, program=plain)


# Links and races


def test_link_is_followed_to_a_place_of_ones_own(sandbox, own):
    link = sandbox.work / "link"
    link.symlink_to(own)
    sandbox.mount(link)
    assert sandbox.is_mounted(own)


def test_link_to_a_place_of_somebody_else(sandbox):
    link = sandbox.work / "link"
    link.symlink_to("/usr")
    assert "neither own it" in sandbox.refused(link)


SWAPPER = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
one, two = (name.encode() for name in sys.argv[1:])
print(flush=True)
while True:
    libc.renameat2(-100, one, -100, two, 2)  # RENAME_EXCHANGE
"""


def unmount_all(sandbox):
    for entry in sandbox.mounts():
        sandbox.run("umount", entry.point, user=0)
    return sandbox.mounts()


def test_swapping_the_mount_point(sandbox):
    """A directory of one's own and a link to somebody else's change places all the time."""
    base = sandbox.directory("base")
    target = sandbox.directory("target", uid=0)
    for name in ("point", "spare"):
        (base / name).mkdir() if name == "point" else (base / name).symlink_to(target)
        os.lchown(base / name, USER, USER)
    swapper = subprocess.Popen(
        sandbox.command([PYTHON, "-c", SWAPPER, base / "point", base / "spare"], USER),
        stdout=subprocess.PIPE,
    )
    assert swapper.stdout.readline()
    mounted = refused = 0
    try:
        for _ in range(60):
            client = sandbox.client(base / "point")
            mounted += client.mounted
            refused += not client.mounted
            client.close()
            assert not sandbox.at(target)
            assert {Path(entry.point).parent for entry in sandbox.mounts()} <= {base}
            # A rename that began before the mount may end after it, and take it along.
            eventually(lambda: not unmount_all(sandbox))
    finally:
        swapper.kill()
        swapper.wait()
        swapper.stdout.close()
    assert mounted and refused


def test_many_unmounts_at_once(sandbox, own):
    """One does it, and the ones that come late must not take what lies below."""
    sandbox.root("mount", "-t", "tmpfs", "-o", f"uid={USER},mode=755", "below", own)
    for _ in range(15):
        client = sandbox.mount(own)
        command = sandbox.command([sandbox.program, "-q", "-u", own], USER)
        rivals = [subprocess.Popen(command) for _ in range(4)]
        assert sorted(rival.wait() for rival in rivals) == [0, 1, 1, 1]
        client.close()
        assert [entry.type for entry in sandbox.at(own)] == ["tmpfs"]


under_strace = pytest.mark.skipif(
    BUILD.sanitizer != "" or not shutil.which("strace"),
    reason="strace has to hold the process up, and sanitizers do not work under it",
)


def held_up_unmount(sandbox, own, *only, call="umount2", nth=1):
    """An fusermount3 -u that does no more for half a second, by default once it has looked."""
    trace = sandbox.work / "trace"
    slow = subprocess.Popen(
        sandbox.command(
            ["strace", "-u", "nobody", "-o", trace, *only, "-e", f"trace={call}", "-e",
             f"inject={call}:delay_enter=500000:when={nth}", sandbox.program, "-u", own],
            0,
        ),
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: trace.exists() and trace.read_text().count(f"{call}(") == nth)
    return slow


@under_strace
def test_unmount_held_up_between_look_and_use(sandbox, own):
    sandbox.root("mount", "-t", "tmpfs", "-o", f"uid={USER},mode=755", "below", own)
    sandbox.mount(own)
    slow = held_up_unmount(sandbox, own)
    rival = sandbox.fusermount("-u", own)
    assert (slow.communicate()[1], slow.returncode) == ("", 0) and rival.returncode == 1
    assert "not a FUSE file system" in rival.stderr
    assert [entry.type for entry in sandbox.at(own)] == ["tmpfs"]


@under_strace
def test_unmount_held_up_while_another_program_unmounts(sandbox, own):
    """As umount(8) does for who has mounted: it takes no lock of ours."""
    sandbox.root("mount", "-t", "tmpfs", "-o", f"uid={USER},mode=755", "below", own)
    sandbox.mount(own)
    slow = held_up_unmount(sandbox, own)
    sandbox.root("umount", "-i", "-l", own)
    assert "nothing is mounted there" in slow.communicate()[1]
    assert slow.returncode == 1
    assert [entry.type for entry in sandbox.at(own)] == ["tmpfs"]


def test_unmount_of_what_covers_somebody_elses(sandbox, own):
    """It could not be told for sure from what it covers, were it not unmounted lazily."""
    sandbox.root("mount", "-t", "tmpfs", "-o", f"uid={USER},mode=755", "below", own)
    sandbox.mount(own)
    user = hold_open(sandbox, own)
    assert sandbox.fusermount("-u", own).returncode == 0
    assert [entry.type for entry in sandbox.at(own)] == ["tmpfs"]
    end(user)


def test_unmount_of_a_stack_above_somebody_elses(sandbox, own):
    """With mounts of one's own in between, too."""
    sandbox.root("mount", "-t", "tmpfs", "-o", f"uid={USER},mode=755", "below", own)
    stack(sandbox, own)
    for left in (2, 1, 0):
        user = hold_open(sandbox, own)
        assert sandbox.fusermount("-u", own).returncode == 0
        assert [entry.type for entry in sandbox.at(own)] == ["tmpfs"] + left * ["fuse"]
        end(user)


def test_unmount_of_a_stack_of_ones_own(sandbox, own):
    """Nobody else's mount can be hit, so what is in use stays."""
    stack(sandbox, own)
    for left in (2, 1, 0):
        user = hold_open(sandbox, own)
        result = sandbox.fusermount("-u", own)
        assert result.returncode == 1 and "busy" in result.stderr
        end(user)
        assert sandbox.fusermount("-u", own).returncode == 0
        assert [entry.type for entry in sandbox.at(own)] == left * ["fuse"]


def stack(sandbox, path):
    """Three mounts of the user's on each other, by way of a directory that is held below them."""
    mount = f"{PYTHON} {sandbox.client_program} {sandbox.program} . </dev/null"
    result = sandbox.run("sh", "-c", f'cd "$1" && {mount} && {mount} && {mount}', "-", path)
    assert result.returncode == 0, result.stderr
    assert len(sandbox.mounts()) == 3


@under_strace
def test_unmount_while_a_directory_above_is_renamed(sandbox):
    """Somebody else's mount below is found by another path than the one that was looked up."""
    base = sandbox.directory("base")
    point = base / "point"
    point.mkdir()
    os.chown(point, USER, USER)
    sandbox.root("mount", "-t", "tmpfs", "-o", f"uid={USER},mode=755", "below", point)
    sandbox.mount(point)
    user = hold_open(sandbox, point)
    slow = held_up_unmount(sandbox, point, "-P", "/proc/self/mountinfo", call="openat", nth=2)
    base.rename(sandbox.work / "renamed")
    assert "busy" not in slow.communicate()[1] and slow.returncode == 0
    assert [entry.type for entry in sandbox.at(sandbox.work / "renamed" / "point")] == ["tmpfs"]
    end(user)


# /etc/fuse.conf


def test_allow_other(sandbox, own):
    sandbox.configure("# comment\n\n  user_allow_other  # yes\n")
    client = sandbox.mount(own, "allow_other")
    assert client.error == ""
    assert "allow_other" in sandbox.at(own)[0].options


def test_mount_max(sandbox):
    sandbox.configure("mount_max = 2\n")
    places = [sandbox.directory(f"place{i}") for i in range(4)]
    sandbox.mount(sandbox.directory("root", uid=0), user=0)
    sandbox.mount(places[0])
    sandbox.mount(places[1])
    assert "'mount_max' in /etc/fuse.conf allows 2" in sandbox.refused(places[2])
    assert sandbox.fusermount("-u", places[0]).returncode == 0
    sandbox.mount(places[2])
    assert "mount_max" in sandbox.refused(places[3])
    sandbox.configure("mount_max=-1\n")
    sandbox.mount(places[3])
    sandbox.configure("mount_max=0\n")
    assert "mount_max" in sandbox.refused(places[0])


def test_wrong_settings_are_named_and_ignored(sandbox, own):
    sandbox.configure(
        "mount_max = many\nuser_allow_other = 1\nsecret\nmount_max = -2\nmount_max 3\n"
        "mount_max = 99999999999999999999\nmount_max =\nmount_max = 1 2"
    )
    client = sandbox.mount(own)
    assert client.error.splitlines() == [
        f"fusermount3: ignoring line {number} of /etc/fuse.conf: {reason}"
        for number, reason in enumerate(
            [
                "not a number of mounts",
                "unknown setting",
                "unknown setting",
                "not a number of mounts",
                "unknown setting",
                "not a number of mounts",
                "not a number of mounts",
                "not a number of mounts",
            ],
            1,
        )
    ]
    assert sandbox.fusermount("-u", own).returncode == 0
    (sandbox.etc / "fuse.conf").unlink()
    os.mkfifo(sandbox.etc / "fuse.conf")
    assert "ignoring /etc/fuse.conf: not a regular file" in sandbox.mount(own).error


def test_settings_that_cannot_be_opened(sandbox, own):
    """They may forbid what the defaults do not."""
    (sandbox.etc / "fuse.conf").symlink_to("fuse.conf")
    assert sandbox.refused(own) == (
        "fusermount3: cannot open /etc/fuse.conf: Too many levels of symbolic links\n"
    )


def test_settings_need_not_be_readable(sandbox, own):
    sandbox.configure("user_allow_other\n")
    (sandbox.etc / "fuse.conf").chmod(0o600)
    sandbox.mount(own, "allow_other")


# Unmounting


def test_unmount_of_somebody_else(sandbox):
    theirs = sandbox.directory("theirs", uid=OTHER, mode=0o777)
    root = sandbox.directory("root", uid=0, mode=0o777)
    sandbox.mount(theirs, user=OTHER)
    sandbox.mount(root, user=0)
    for path in (theirs, root):
        for arguments in (["-u"], ["-u", "-z"]):
            result = sandbox.fusermount(*arguments, path)
            assert result.returncode == 1
            assert result.stderr == (
                f"fusermount3: cannot unmount '{path}': another user has mounted it\n"
            )
        assert sandbox.is_mounted(path)
    assert sandbox.fusermount("-u", theirs, user=0).returncode == 0


def test_unmount_of_what_is_not_fuse(sandbox, own):
    sandbox.root("mount", "-t", "tmpfs", "-o", f"uid={USER}", f"fuse.user_id={USER}", own)
    link = sandbox.work / "link"
    link.symlink_to(own)
    for path, reason in (
        (own, "it is not a FUSE file system"),
        (sandbox.work, "it is not a FUSE file system"),
        ("/", "Invalid argument"),
        ("/proc", "not a FUSE"),
        (link, "it is a symbolic link"),
        (sandbox.work / "missing", "No such file"),
    ):
        result = sandbox.fusermount("-u", path)
        assert result.returncode == 1
        assert reason in result.stderr or path == "/"
        assert re.fullmatch(r"fusermount3: .+\n", result.stderr)
        result = sandbox.fusermount("-q", "-u", path)
        assert (result.returncode, result.stderr) == (1, "")
    assert [entry.type for entry in sandbox.at(own)] == ["tmpfs"]


def test_unmount_does_not_follow_a_link(sandbox, own):
    sandbox.mount(own)
    link = sandbox.work / "link"
    link.symlink_to(own)
    for arguments in (["-u"], ["-u", "-z"]):
        assert "symbolic link" in sandbox.fusermount(*arguments, link).stderr
    assert sandbox.is_mounted(own)


@pytest.mark.parametrize("form", ["{0}/", "{0}//", "{1}/./own", "own", "./own/"])
def test_unmount_by_other_names(sandbox, own, form):
    sandbox.mount(own)
    name = form.format(own, own.parent)
    result = sandbox.run(
        "sh", "-c", 'cd "$1" && shift && exec "$@"', "-", own.parent, sandbox.program, "-u", name
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert not sandbox.at(own)


def test_unmount_here(sandbox, own):
    """From inside a directory that gets mounted upon, "." means the mount."""
    script = (
        f'cd "$1"; {PYTHON} {sandbox.client_program} {sandbox.program} . </dev/null; '
        f"{sandbox.program} -u ."
    )
    result = sandbox.run("sh", "-c", script, "-", own)
    assert json.loads(result.stdout)["device"] == "/dev/fuse"
    assert (result.returncode, result.stderr) == (0, "")
    assert not sandbox.at(own)


def test_unmount_while_busy(sandbox, own):
    sandbox.mount(own)
    user = hold_open(sandbox, own)
    result = sandbox.fusermount("-u", own)
    assert result.returncode == 1 and "busy" in result.stderr
    assert sandbox.is_mounted(own)
    assert sandbox.fusermount("-u", "-z", own).returncode == 0
    assert not sandbox.at(own)
    end(user)


HOLD_OPEN = """
import os, sys, time
fd = os.open(sys.argv[1], os.O_PATH)
print(flush=True)
time.sleep(60)
"""


def hold_open(sandbox, path):
    """A process that makes the mount busy."""
    command = sandbox.command([PYTHON, "-c", HOLD_OPEN, path], USER)
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline()
    return process


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_unmount_with_odd_characters_in_the_path(sandbox):
    path = sandbox.directory("a b\tc\\d#\nü")
    sandbox.mount(path)
    assert sandbox.is_mounted(path)
    assert sandbox.fusermount("-u", path).returncode == 0
    client = sandbox.auto_unmount(path)
    client.kill()
    eventually(lambda: not sandbox.at(path))


# auto_unmount


@pytest.mark.parametrize("user", [USER, 0])
def test_auto_unmount(sandbox, own, user):
    client = sandbox.auto_unmount(own, user=user)
    time.sleep(0.2)
    assert sandbox.is_mounted(own)
    client.kill()
    eventually(lambda: not sandbox.at(own))
    eventually(lambda: has_ended(client.program))


def test_auto_unmount_of_a_mount_that_exists(sandbox, own):
    mounted = sandbox.mount(own)
    theirs = sandbox.directory("theirs", uid=OTHER)
    sandbox.mount(theirs, user=OTHER)
    for path, reason in ((theirs, "another user"), (sandbox.work, "not a FUSE")):
        client = sandbox.client("--auto-unmount", "--", path)
        assert client.said["status"] == 1 and reason in client.error
    ours, helper = socket.socketpair()
    process = subprocess.Popen(
        sandbox.command(
            [sandbox.program, "--auto-unmount", f"--comm-fd={helper.fileno()}", own], USER
        ),
        pass_fds=[helper.fileno()],
    )
    helper.close()
    time.sleep(0.2)
    assert process.poll() is None and sandbox.is_mounted(own)
    ours.send(b"ignored")
    time.sleep(0.2)
    assert process.poll() is None and sandbox.is_mounted(own)
    ours.close()
    assert process.wait(timeout=10) == 0
    assert not sandbox.at(own)
    mounted.close()


def test_watch_is_nearly_powerless(sandbox, own):
    client = sandbox.auto_unmount(own, CLIENT_INHERIT="20")
    proc = Path(f"/proc/{client.program}")
    eventually(lambda: os.readlink(proc / "fd" / "2") == "/dev/null")
    status = dict(
        line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line
    )
    assert status["Uid"].split() == [str(USER)] * 4
    assert status["Gid"].split() == [str(USER)] * 4
    for name in ("CapEff", "CapPrm"):
        assert int(status[name], 16) == CAP_SYS_ADMIN
    for name in ("CapInh", "CapAmb"):
        assert int(status[name], 16) == 0
    assert status["NoNewPrivs"] == "1"
    links = sorted(os.readlink(proc / "fd" / name) for name in os.listdir(proc / "fd"))
    assert len(links) == 5
    assert links[:3] == ["/dev/null"] * 3
    assert links[3] == "/run/fusermount3.lock"
    assert links[4].startswith("socket:")
    # The caller may send it signals, but it does not care for those that ask.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        assert sandbox.run("kill", f"-{int(number)}", client.program).returncode == 0
    time.sleep(0.1)
    client.kill()
    eventually(lambda: not sandbox.at(own))


def test_watch_leaves_a_successor_alone(sandbox, own):
    """The next mount gets the same id and the same connection number; it is another one still."""
    for _ in range(10):
        client = sandbox.auto_unmount(own)
        (before,) = sandbox.at(own)
        assert sandbox.fusermount("-u", own).returncode == 0
        successor = sandbox.mount(own)
        (after,) = sandbox.at(own)
        client.kill()
        eventually(lambda: has_ended(client.program))
        if before.id != after.id or kernel_is_at_least(6, 8):
            assert sandbox.is_mounted(own)
        successor.close()
        assert sandbox.fusermount("-u", own).returncode == 0


def kernel_is_at_least(*version):
    return tuple(int(part) for part in os.uname().release.split(".")[:2]) >= version


def test_watch_follows_a_rename_above(sandbox):
    base = sandbox.directory("base")
    (base / "point").mkdir()
    os.chown(base / "point", USER, USER)
    client = sandbox.auto_unmount(base / "point")
    base.rename(sandbox.work / "renamed")
    assert sandbox.is_mounted(sandbox.work / "renamed" / "point")
    client.kill()
    eventually(lambda: not sandbox.mounts())


def test_watch_does_not_take_what_is_on_top(sandbox, own):
    client = sandbox.auto_unmount(own)
    sandbox.root("mount", "-t", "tmpfs", "on-top", own)
    client.kill()
    eventually(lambda: has_ended(client.program))
    assert [entry.type for entry in sandbox.at(own)] == ["fuse", "tmpfs"]


# The process itself


def test_mount_is_taken_back_when_nobody_listens(sandbox, own):
    for options in ("ro", "auto_unmount"):
        client = sandbox.client("-o", options, own, CLIENT_DEAF="1")
        assert client.said["status"] == 1
        assert "cannot hand over the descriptor: Broken pipe" in client.error
        assert not sandbox.at(own)


@pytest.mark.parametrize(
    "value, reason",
    [
        (None, "no socket in _FUSE_COMMFD"),
        ("", "'' is not the number"),
        ("x", "'x' is not the number"),
        ("-1", "is not the number"),
        ("999", "is not the number"),
        ("99999999999999999999", "is not the number"),
        ("1", "'1' is not the number"),
    ],
)
def test_no_socket(sandbox, own, value, reason):
    environment = {**os.environ, **({} if value is None else {"_FUSE_COMMFD": value})}
    result = sandbox.fusermount("--", own, env=environment)
    assert result.returncode == 1
    assert re.fullmatch(r"fusermount3: .+\n", result.stderr)
    assert reason in result.stderr
    assert not sandbox.at(own)


def test_arguments(sandbox, own):
    for arguments, reason in (
        ([], "missing mount point"),
        ([own, own], "more than one mount point"),
        (["-z", own], "-z is only for -u"),
        (["-u", "-o", "ro", own], "-o is only for mounting"),
        (["-x", own], "invalid option"),
    ):
        result = sandbox.fusermount(*arguments)
        assert result.returncode == 1 and reason in result.stderr
    version = sandbox.fusermount("-V")
    assert version.returncode == 0
    assert re.fullmatch(r"fusermount3 version: \d+\.\d+\.\d+\n", version.stdout)
    assert sandbox.fusermount("--version").stdout == version.stdout
    usage = sandbox.fusermount("-h")
    assert usage.returncode == 0 and usage.stdout.startswith("usage: fusermount3 ")


def test_closed_stdio(sandbox, own):
    """The descriptors that are missing must not be taken by the device or the socket."""
    script = 'exec 0<&- 1>&- 2>&-; exec "$@"'
    starter = sandbox.work / "starter"
    starter.write_text(f"#!/bin/sh\n{script}\n")
    starter.chmod(0o755)
    client = sandbox.client(sandbox.program, "-o", "auto_unmount", own, program=starter,
                            CLIENT_STAYS="1")
    assert client.mounted
    proc = Path(f"/proc/{client.program}/fd")
    eventually(lambda: len(os.listdir(proc)) == 5)
    assert [os.readlink(proc / str(fd)) for fd in range(3)] == ["/dev/null"] * 3
    client.kill()
    eventually(lambda: not sandbox.at(own))


def test_tight_limits(sandbox, own):
    """What the caller allows its processes neither breaks a mount nor leaves half of one."""
    starter = sandbox.work / "starter"
    starter.write_text('#!/bin/sh\nulimit -n 8; ulimit -f 0; ulimit -c 0; exec "$@"\n')
    starter.chmod(0o755)
    client = sandbox.client(sandbox.program, "-o", "ro", own, program=starter)
    assert client.mounted or BUILD.sanitizer  # which need more for themselves
    assert client.mounted == sandbox.is_mounted(own)
    client.close()
    assert sandbox.fusermount("-u", own).returncode == (0 if client.mounted else 1)


@pytest.mark.skipif(BUILD.sanitizer != "", reason="sanitizers take more room than that")
def test_limits_of_memory_do_not_count(sandbox, own):
    """With them a caller could make the table of mounts end where it likes."""
    starter = sandbox.work / "starter"
    starter.write_text('#!/bin/sh\nulimit -S -v 2000000; ulimit -S -d 1000000; exec "$@"\n')
    starter.chmod(0o755)
    client = sandbox.client(sandbox.program, "-o", "auto_unmount", own, program=starter,
                            CLIENT_STAYS="1")
    assert client.mounted
    limits = Path(f"/proc/{client.program}/limits").read_text()
    for name in ("Max address space", "Max data size"):
        assert re.search(rf"^{name} +unlimited ", limits, re.M), limits
    client.kill()
    eventually(lambda: not sandbox.at(own))


SPY = """#!/bin/sh
{{ echo "$0 $*"; ls -l /proc/self/fd; env; id -ru; }} >>{log}
"""


def test_children_inherit_nothing(sandbox, own):
    """Where /etc/mtab is a file, mount(8) is run to write it: a spy stands in for it."""
    if BUILD.option("disable-mtab"):
        pytest.skip("built without support for /etc/mtab")
    log = sandbox.work / "log"
    for name in ("mount", "umount"):
        spy = sandbox.work / name
        spy.write_text(SPY.format(log=log))
        spy.chmod(0o755)
    (sandbox.etc / "mtab").unlink()
    (sandbox.etc / "mtab").write_text("")
    for name in ("umount", "mount"):
        sandbox.root("mount", "--bind", sandbox.work / name, shutil.which(name))
    options = "fsname=-a\\,b,subtype=t\\,ext4,x-one=1,x-mount.mkdir=0777,x-two"
    client = sandbox.mount(own, options, CLIENT_INHERIT="50", SECRET="leaked")
    seen = log.read_text()
    assert client.error == (
        "fusermount3: option 'x-mount.mkdir=0777' is for root only, ignored\n"
    )
    assert [entry.type for entry in sandbox.at(own)] == ["fuse.t,ext4"]
    assert (
        f"/bin/mount --no-canonicalize -i -f -t fuse.t_ext4 -o rw,nosuid,nodev,x-one=1,x-two "
        f"-- -a,b {own}\n" in seen
    )
    descriptors = dict(re.findall(r" (\d+) -> (\S+)", seen))
    listing = [fd for fd, target in descriptors.items() if target.startswith("/proc/")]
    assert set(descriptors) - set(listing) == {"0", "1", "2"}
    assert "/dev/fuse" not in seen and "socket:" not in seen
    assert "SECRET" not in seen and "_FUSE_COMMFD" not in seen
    assert seen.endswith("\n0\n")
    assert "x-mount" not in seen
    log.write_text("")
    assert sandbox.fusermount("-u", own).returncode == 0
    assert f"/bin/umount --no-canonicalize -i --fake -- {own}\n" in log.read_text()
