# SPDX-License-Identifier: GPL-2.0-only
"""Mount options: they show in the mount table, and they do what they say."""

import errno
import os
import shutil
import signal
import stat
import time
from pathlib import Path

import pytest

from fusetest import helper, libc
from fusetest.build import BUILD
from fusetest.child import Credentials, call, run
from fusetest.mount import TRANSPORTS, Mount, mount_entry

pytestmark = pytest.mark.transport("dev-multi", "rings")

NOBODY = Credentials(65534, 65534)


def errno_of(function, *args, credentials=None, **kwargs):
    def body():
        try:
            function(*args, **kwargs)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "fine"

    return call(body, credentials=credentials)


def test_names(work, transport):
    options = ["fsname=some/where", "subtype=mine"]
    with Mount(work, transport, options=options) as mount:
        entry = mount_entry(mount.path)
        assert (entry["source"], entry["type"]) == ("some/where", "fuse.mine")


def test_odd_names(work, transport):
    options = ["fsname=a\\,b\\\\c d=e", "subtype=x.y"]
    with Mount(work, transport, options=options) as mount:
        entry = mount_entry(mount.path)
        assert entry["source"] == "a,b\\c d=e"
        assert entry["type"] == "fuse.x.y"


@pytest.mark.parametrize("name", ["with space", "ünï\tcode", "comma,comma", "back\\slash"])
def test_odd_mount_points(work, transport, name):
    path = work / name
    path.mkdir()
    with Mount(work, transport, mountpoint=path) as mount:
        assert errno_of((mount.path / "file").touch) == "fine"


def test_relative_mount_point(work, transport):
    (work / "target").mkdir()
    mount = Mount(work, transport, mountpoint=work / "target", popen={"cwd": work})
    mount.command[mount.command.index(str(mount.path))] = "target"
    with mount:
        assert errno_of((mount.path / "file").touch) == "fine"


def test_mount_point_by_a_link(work, transport):
    (work / "target").mkdir()
    (work / "link").symlink_to("target")
    mount = Mount(work, transport, mountpoint=work / "target")
    mount.command[mount.command.index(str(mount.path))] = str(work / "link")
    with mount:
        assert errno_of((mount.path / "file").touch) == "fine"


def test_mount_point_within_the_source(work, transport):
    """It is shown, but looking below it must not have the server ask itself."""
    source = work / "source"
    (source / "target").mkdir(parents=True)
    (source / "file").write_text("x")
    with Mount(work, transport, source=source, mountpoint=source / "target") as mount:
        found = run(["find", mount.path], timeout=10, check=False).stdout.splitlines()
        assert str(mount.path / "file") in found
        assert sorted(call(os.listdir, mount.path)) == ["file", "target"]
        assert errno_of(os.listdir, mount.path / "target") in ("fine", "ELOOP")


@pytest.mark.parametrize(
    "option, present, absent",
    [
        ("", {"rw", "nosuid", "nodev"}, {"noexec", "noatime", "sync"}),
        ("ro", {"ro"}, {"rw"}),
        ("rw", {"rw"}, {"ro"}),
        ("noatime", {"noatime"}, {"relatime"}),
        ("noexec", {"noexec"}, set()),
        ("dev", set(), {"nodev"}),
        ("suid", set(), {"nosuid"}),
        ("dev,suid,exec,async,atime", {"rw"}, {"nodev", "nosuid", "noexec", "sync"}),
    ],
)
def test_flags(work, transport, option, present, absent):
    options = option.split(",") if option else []
    with Mount(work, transport, options=options) as mount:
        flags = set(mount_entry(mount.path)["options"])
        assert present <= flags and not absent & flags, flags


@pytest.mark.parametrize("option", ["sync", "dirsync"])
def test_super_block_flags(work, transport, option):
    with Mount(work, transport, options=[option]) as mount:
        assert option in mount_entry(mount.path)["super_options"]


def test_read_only(work, transport):
    source = work / "source"
    source.mkdir()
    (source / "file").write_text("x")
    with Mount(work, transport, source=source, options=["ro"]) as mount:
        assert call((mount.path / "file").read_text) == "x"
        assert errno_of(os.unlink, mount.path / "file") == "EROFS"
        assert errno_of(os.mkdir, mount.path / "new") == "EROFS"
        assert errno_of(os.open, mount.path / "file", os.O_WRONLY) == "EROFS"


def test_noexec_and_nosuid(work, transport):
    source = work / "source"
    source.mkdir()
    shutil.copy("/bin/true", source / "true")
    with Mount(work, transport, source=source, options=["noexec"]) as mount:
        assert errno_of(os.execv, mount.path / "true", ["true"]) == "EACCES"
    shutil.copy("/usr/bin/id", source / "id")
    os.chmod(source / "id", 0o4755)
    for options, uid in (([], "65534"), (["suid"], "0")):
        with Mount(work, transport, source=source, options=options) as mount:
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            assert run([*command, mount.path / "id", "-u"]).stdout.strip() == uid


def test_devices(work, transport):
    source = work / "source"
    source.mkdir()
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with Mount(work, transport, source=source) as mount:
        assert errno_of(os.open, mount.path / "null", os.O_RDONLY) == "EACCES"
    with Mount(work, transport, source=source, options=["dev"]) as mount:
        assert errno_of(os.open, mount.path / "null", os.O_RDONLY) == "fine"


def test_allow_other(work, transport):
    """passthrough_ll, because passthrough_hp as root asks for it by itself."""
    for options, wanted in (([], "EACCES"), (["allow_other"], "fine")):
        with Mount(
            work,
            transport,
            program="example/passthrough_ll",
            options=options,
            allow_other=False,
        ) as mount:
            assert errno_of(os.listdir, mount.path) == "fine"
            assert errno_of(os.listdir, mount.path, credentials=NOBODY) == wanted
            shown = "allow_other" in mount_entry(mount.path)["super_options"]
            assert shown == (wanted == "fine")


def test_allow_root(work, transport):
    """For root as the owner it keeps everybody else out."""
    with Mount(
        work,
        transport,
        program="example/passthrough_ll",
        options=["allow_root"],
        allow_other=False,
    ) as mount:
        assert errno_of(os.listdir, mount.path) == "fine"
        assert errno_of(os.listdir, mount.path, credentials=NOBODY) == "EACCES"


def test_default_permissions(work, transport):
    with Mount(work, transport, options=["default_permissions"]) as mount:
        call((mount.path / "file").write_text, "secret")
        call(os.chmod, mount.path / "file", 0o600)
        assert errno_of((mount.path / "file").read_text, credentials=NOBODY) == "EACCES"
        assert "default_permissions" in mount_entry(mount.path)["super_options"]


def test_max_read(work, transport):
    with Mount(work, transport, options=["max_read=16384"]) as mount:
        assert "max_read=16384" in mount_entry(mount.path)["super_options"]
        content = os.urandom(300_000)
        call((mount.path / "file").write_bytes, content)
        assert call((mount.path / "file").read_bytes) == content


def test_mounted_twice(work, transport):
    """A second mount lies over the first, which comes back when it goes."""
    (work / "target").mkdir()
    with Mount(work, transport, mountpoint=work / "target") as first:
        call((first.path / "first").touch)
        with Mount(work, transport, mountpoint=work / "target") as second:
            assert call(os.listdir, second.path) == []
        assert call(os.listdir, first.path) == ["first"]


def test_in_the_background(work, transport):
    """Without --foreground the program returns once the mount is usable."""
    mount = Mount(work, transport)
    command = [word for word in mount.command if word != "--foreground"]
    try:
        # A file for the output: a pipe would stay open as long as the server has it.
        with open(mount.log_path, "w") as log:
            run(command, timeout=20 * BUILD.slowdown, cwd=work, stdout=log, stderr=log)
        entry = mount_entry(mount.path)
        assert entry
        mount.minor = entry["minor"]
        assert errno_of((mount.path / "file").touch) == "fine"
        pids = [pid for pid in filter(str.isdigit, os.listdir("/proc")) if serves(pid, mount)]
        assert len(pids) == 1
        assert os.readlink(f"/proc/{pids[0]}/cwd") == "/"
        for number in (0, 1, 2):
            assert os.readlink(f"/proc/{pids[0]}/fd/{number}") == "/dev/null"
        assert os.getsid(int(pids[0])) == int(pids[0])
    finally:
        mount.unmount()
    deadline = time.monotonic() + 10 * BUILD.slowdown
    while serves(pids[0], mount):
        assert time.monotonic() < deadline, "the server is still there"
        time.sleep(0.01)
    assert mount.stats()["transport"] == mount.transport.stats["transport"]


def serves(pid, mount):
    try:
        return str(mount.path).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


# A mount that somebody else made


@pytest.fixture
def mounted_descriptor(work):
    """What a container runtime does: it mounts, and passes the descriptor on."""
    target = work / "target"
    target.mkdir()
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    data = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc.mount("elsewhere", target, "fuse.passed", libc.MS_NOSUID | libc.MS_NODEV, data)
    yield target, fd
    run(["umount", "-l", target], check=False)


def test_passed_descriptor(work, transport, mounted_descriptor):
    target, fd = mounted_descriptor
    mount = Mount(work, transport, mountpoint=target, popen={"pass_fds": [fd]})
    mount.command[mount.command.index(str(target))] = f"/dev/fd/{fd}"
    mount.minor = mount_entry(target)["minor"]
    mount.start()
    os.close(fd)
    call((target / "file").touch)
    assert (mount.source / "file").exists()
    assert mount_entry(target)["type"] == "fuse.passed"
    mount.close()


# What takes the set-uid helper


def with_helper(function, *args):
    helper.folder()  # skips the test where there is no way to do it

    def body():
        helper.install()
        return function(*args)

    return call(body, timeout=60 * BUILD.slowdown)


def _killed_with_auto_unmount(work, transport):
    mount = Mount(work, transport, options=["auto_unmount"], expect=None)
    mount.start()
    mount.signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while mount_entry(mount.path) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = mount_entry(mount.path)
    mount.kill()
    assert left is None


def test_auto_unmount(work, transport):
    with_helper(_killed_with_auto_unmount, work, transport)


def _ordinary_end_with_auto_unmount(work, transport):
    with Mount(work, transport, options=["auto_unmount"]) as mount:
        (mount.path / "file").touch()


def test_auto_unmount_without_need(work, transport):
    with_helper(_ordinary_end_with_auto_unmount, work, transport)


def without_privileges(transport):
    """What is left of a transport. By default nobody may pin as much as a queue has, and a bit."""
    stats = {**transport.stats, "zero_copy": False}
    if transport.dialect == "bufring":
        stats["pool"] = "plain"
    return stats


def _mount_as_nobody(work, transport):
    own = work / "own"
    own.mkdir()
    os.chown(own, NOBODY.uid, NOBODY.gid)
    for name in ("src", "stats"):
        (own / name).mkdir()
        os.chown(own / name, NOBODY.uid, NOBODY.gid)
    target = own / "target"
    target.mkdir()
    os.chown(target, NOBODY.uid, NOBODY.gid)
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    mount = Mount(
        work,
        transport,
        source=own / "src",
        mountpoint=target,
        prefix=prefix,
        allow_other=False,
        expect=without_privileges(TRANSPORTS[transport]),
    )
    os.chown(mount.stats_path.parent, NOBODY.uid, NOBODY.gid)
    # Root may not look into another user's mount: the look at it has to be the owner's.
    mount.look_as = prefix
    mount.start()
    assert errno_of((target / "file").touch, credentials=NOBODY) == "fine"
    assert (own / "src" / "file").stat().st_uid == NOBODY.uid
    assert errno_of(os.stat, target) == "EACCES"
    entry = mount_entry(target)
    assert {"nosuid", "nodev"} <= set(entry["options"])
    assert f"user_id={NOBODY.uid}" in entry["super_options"]
    run([*prefix, helper.folder() / "fusermount3", "-u", target])
    assert mount.wait() == 0, mount.log()
    mount.close()


@pytest.mark.transport("dev-multi", "io_uring", "pool", "zero-copy", "ring", "ring-zero-copy")
def test_ordinary_user(work, transport):
    with_helper(_mount_as_nobody, work, transport)
