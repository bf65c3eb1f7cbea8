# SPDX-License-Identifier: GPL-2.0-only
"""
mount.fuse3, as mount(8) runs it and as an administrator does. Every test has a mount
namespace with a /sbin and an /etc of its own, in which the helper is installed.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fusetest.build import BUILD
from fusetest.child import run
from fusetest.mount import SANITIZER_REPORT, unescape

pytestmark = pytest.mark.sanitize

USER, NAME = 12345, "mountuser"
WORDS = "print-words"  # a program that writes down what it was given
PRINT_WORDS = """#!/bin/sh
{
	printf '%s\\n' "$0" "$#" "$@"
	echo "-- $(id -u) $(id -g) $HOME $USER"
	grep -E '^(Cap|NoNewPrivs|Groups)' /proc/self/status
} >"$PRINT_TO"
exit "${PRINT_STATUS:-0}"
"""


class Sandbox:
    """A namespace whose /sbin has the helper under the names that mount(8) looks for."""

    def __init__(self, work):
        self.work = work
        self.bin = work / "bin"
        self.bin.mkdir()
        self.words = work / "words"
        self.words.touch()
        self.words.chmod(0o666)
        program = self.bin / WORDS
        program.write_text(PRINT_WORDS)
        program.chmod(0o755)
        for name in ("passthrough_hp", "passthrough_ll", "hello_ll"):
            os.symlink(BUILD.program(f"example/{name}"), self.bin / name)
        self.source, self.point = work / "source", work / "mnt"
        self.source.mkdir()
        (self.source / "file").write_text("contents\n")
        self.point.mkdir()
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sleep", "infinity"]
        )
        comm = Path(f"/proc/{self.holder.pid}/comm")
        while comm.read_text() != "sleep\n":
            time.sleep(0.005)
        self.furnish()

    def furnish(self):
        sbin, etc = self.work / "sbin", self.work / "etc"
        sbin.mkdir()
        real = os.path.realpath("/sbin")
        for name in os.listdir(real):
            os.symlink(f"/hostsbin/{name}", sbin / name)
        for name in ("mount.fuse", "mount.fuse3"):
            (sbin / name).unlink(missing_ok=True)
            shutil.copy(BUILD.program("util/mount.fuse3"), sbin / name)
        shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True,
                        ignore=lambda folder, names: [
                            n for n in names if folder == "/etc" and n not in
                            ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf",
                             "ld.so.conf.d", "mtab", "fuse.conf")])
        with open(etc / "passwd", "a") as file:
            file.write(f"{NAME}:x:{USER}:{USER}::/home/{NAME}:/bin/sh\n")
        with open(etc / "group", "a") as file:
            file.write(f"{NAME}:x:{USER}:\nextra:x:{USER + 1}:{NAME}\n")
        self.etc = etc
        # mount(8) takes PATH away, and this is one of the folders that are left.
        for program in self.bin.iterdir():
            shutil.copy(program, sbin / program.name, follow_symlinks=False)
        # Links lead to where the real folder can still be seen.
        host = self.work / "hostsbin"
        host.mkdir()
        for link in sbin.iterdir():
            if link.is_symlink() and not (self.bin / link.name).exists():
                target = f"{host}/{link.name}"
                link.unlink()
                os.symlink(target, link)
        self.root("mount", "--bind", real, host)
        self.root("mount", "--bind", sbin, real)
        self.root("mount", "--bind", etc, "/etc")
        self.root("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")

    # Running things

    def run(self, *arguments, user=0, **environment):
        command = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--"]
        if user:
            command += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
        path = f"{self.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = {"PATH": path, "PRINT_TO": str(self.words), **environment}
        return run(
            [*command, *arguments],
            check=False,
            timeout=30 * BUILD.slowdown,
            cwd=self.work,
            env={**os.environ, **environment},
        )

    def root(self, *arguments):
        result = self.run(*arguments)
        assert result.returncode == 0, result.stdout
        return result.stdout

    def mount(self, *arguments, **keywords):
        return self.run("mount", *arguments, **keywords)

    def helper(self, *arguments, **keywords):
        return self.run("/sbin/mount.fuse3", *arguments, **keywords)

    def refused(self, *arguments, status=1, **keywords):
        """The helper fails, mounts nothing, and its one line is returned."""
        result = self.helper(*arguments, **keywords)
        assert result.returncode == status, result.stdout
        assert self.entry() is None
        assert re.fullmatch(r"mount\.fuse3: [^\n]+\n", result.stdout), result.stdout
        assert self.words.read_text() == ""
        return result.stdout

    # Looking

    def printed(self):
        """What the printing program was given, and what it was, by name."""
        given, _, rest = self.words.read_text().partition("\n-- ")
        lines = rest.splitlines()
        facts = dict(line.split(":\t", 1) for line in lines[1:] if ":\t" in line)
        return given.split("\n")[2:], lines[0].split(), facts

    def entry(self):
        found = None
        for line in Path(f"/proc/{self.holder.pid}/mountinfo").read_text().splitlines():
            fields, _, rest = line.partition(" - ")
            if unescape(fields.split()[4]) == str(self.point):
                kind, source, options = rest.split(" ")
                found = (kind, unescape(source), set(fields.split()[5].split(",")),
                         set(options.split(",")))
        return found

    def server(self):
        """The pid of what serves the mount: whoever has the device open."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                names = [os.readlink(f"/proc/{pid}/fd/{fd}")
                         for fd in os.listdir(f"/proc/{pid}/fd")]
                program = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                continue
            if "/dev/fuse" in names and program.startswith(f"{BUILD.dir}/"):
                return int(pid)
        return None

    def unmount(self):
        self.root("umount", self.point)
        deadline = time.monotonic() + 10 * BUILD.slowdown
        while self.server():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def close(self):
        pid = self.server()
        if self.entry():
            self.run("umount", "-l", self.point)
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.holder.kill()
        self.holder.wait()


@pytest.fixture
def box(work):
    box = Sandbox(work)
    try:
        yield box
    finally:
        box.close()


def status_of(pid, name):
    text = Path(f"/proc/{pid}/status").read_text()
    return re.search(rf"^{name}:\s*(.*)$", text, re.M)[1]


# As users mount


def test_type_names_the_program(box):
    result = box.mount("-t", "fuse.passthrough_hp", box.source, box.point)
    assert (result.returncode, result.stdout) == (0, "")
    kind, source, flags, options = box.entry()
    assert (kind, source) == ("fuse.passthrough_hp", str(box.source))
    assert box.root("cat", box.point / "file") == "contents\n"
    assert not {"nodev", "nosuid"} & flags, "mount(8) was not asked for these"
    box.unmount()


def test_source_names_the_program(box):
    result = box.mount("-t", "fuse3", f"passthrough_hp#{box.source}", box.point, "-o", "ro,nodev")
    assert (result.returncode, result.stdout) == (0, "")
    kind, source, flags, options = box.entry()
    assert kind == "fuse.passthrough_hp" and {"ro", "nodev"} <= flags and "nosuid" not in flags
    assert box.root("cat", box.point / "file") == "contents\n"
    box.unmount()


def test_absolute_program_without_source(box):
    program = BUILD.program("example/passthrough_ll")
    result = box.mount("-t", "fuse3", program, box.point, "-o", f"source={box.source}")
    assert (result.returncode, result.stdout) == (0, "")
    assert box.root("cat", box.point / "file") == "contents\n"
    box.unmount()


def test_type_fuse3_with_program(box):
    result = box.mount("-t", "fuse3.passthrough_hp", box.source, box.point)
    assert (result.returncode, result.stdout) == (0, "")
    assert box.root("cat", box.point / "file") == "contents\n"
    box.unmount()


def test_fstab(box):
    """Options that are for other readers of the line do not reach the program."""
    (box.etc / "fstab").write_text(
        f"passthrough_hp#{box.source} {box.point} fuse3 "
        "noauto,user,nofail,_netdev,x-systemd.automount,comment=text,allow_other 0 0\n"
    )
    result = box.mount(box.point)
    assert (result.returncode, result.stdout) == (0, "")
    kind, source, flags, options = box.entry()
    assert {"nodev", "nosuid", "noexec"} <= flags and "allow_other" in options
    assert box.root("cat", box.point / "file") == "contents\n"
    box.unmount()


def test_fstab_for_users(box):
    """mount(8) is set-uid, and says to the helper whose mount it is."""
    (box.etc / "fstab").write_text(f"{WORDS}#src {box.point} fuse3 noauto,user,opt 0 0\n")
    result = box.mount(box.point, user=USER)
    assert (result.returncode, result.stdout) == (0, "")
    given, who, facts = box.printed()
    assert given[:2] == ["src", str(box.point)] and given[2] == "-o"
    options = given[3].split(",")
    assert {"nosuid", "nodev", "noexec", "opt"} <= set(options)
    assert not {"dev", "suid", "user"} & set(options), options
    assert who[:2] == [str(USER), str(USER)]


def test_link_names_the_program(box):
    os.symlink("mount.fuse3", box.work / "sbin" / "mount.fuse.passthrough_hp")
    result = box.run("/sbin/mount.fuse.passthrough_hp", box.source, box.point)
    assert (result.returncode, result.stdout) == (0, "")
    assert box.entry()[0] == "fuse.passthrough_hp"
    box.unmount()


def test_program_fails(box):
    result = box.mount("-t", "fuse.passthrough_hp", box.work / "missing", box.point)
    assert result.returncode != 0 and "missing" in result.stdout
    assert box.entry() is None
    assert box.helper(WORDS, box.point, PRINT_STATUS="77").returncode == 77


# What the program is given


def arguments(box, *command, **environment):
    result = box.helper(*command, **environment)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout
    return box.printed()[0]


def test_arguments(box):
    point = str(box.point)
    assert arguments(box, WORDS, point) == [point, "-o", "dev,suid"]
    assert arguments(box, f"{WORDS}#src", point) == ["src", point, "-o", "dev,suid"]
    assert arguments(box, f"{WORDS}#", point) == ["", point, "-o", "dev,suid"]
    assert arguments(box, f"{WORDS}#a#b", point)[0] == "a#b"
    assert arguments(box, "src", point, "-t", f"fuse.{WORDS}")[:2] == ["src", point]
    assert arguments(box, "a#b", point, "-t", f"fuseblk.{WORDS}")[0] == "a#b"
    assert arguments(box, "", point, "-t", f"fuse3.{WORDS}")[0] == point
    assert arguments(box, "src", point, "-t", WORDS)[0] == "src"
    assert arguments(box, WORDS, point, "-n", "-s", "-t", "fuse3")[0] == point


@pytest.mark.parametrize(
    "given, wanted",
    [
        ("ro", "ro,dev,suid"),
        ("nodev,nosuid", "nodev,nosuid"),
        ("rw,nodev", "rw,nodev,suid"),
        ("defaults,auto,noauto,user,users,nouser,owner,group,nofail,_netdev", "dev,suid"),
        ("x-systemd.requires=net,X-mount.mkdir,comment=a,uhelper=b,,", "dev,suid"),
        ("user=joe:pw,users", "user=joe:pw,dev,suid"),
        ("automatic,username=me,xattr", "automatic,username=me,xattr,dev,suid"),
        (r"fsname=a\,b,c=d\\", r"fsname=a\,b,c=d\\,dev,suid"),
        (r"fsname=x\,setuid=root", r"fsname=x\,setuid=root,dev,suid"),
    ],
)
def test_options(box, given, wanted):
    assert arguments(box, WORDS, box.point, "-o", given) == [str(box.point), "-o", wanted]


@pytest.mark.parametrize("how", ["user=al", "user=al,pass_fuse_fd"])
def test_user_that_no_program_asked_for(box, how):
    result = box.helper("hello_ll", box.point, "-o", how)
    assert (result.returncode, result.stdout) == (0, "")
    assert box.root("cat", box.point / "hello") == "Hello World!\n"
    box.unmount()


def test_several_option_lists(box):
    given = arguments(box, WORDS, box.point, "-o", "one,nodev", "-o", "nosuid,two")
    assert given[1:] == ["-o", "one,nodev,nosuid,two"]


@pytest.mark.parametrize(
    "text",
    ["a b", "$(touch {0}/hit)", "`touch {0}/hit`", ";touch {0}/hit", "'\"\\", "a\nb", "é", "*"],
)
def test_nothing_is_interpreted(box, text):
    """There is no shell, and one word stays one word."""
    text = text.format(box.work)
    folder = box.work / f"point {len(text)}"
    folder.mkdir()
    given = "\n".join(arguments(box, f"{WORDS}#{text}", folder, "-o", f"opt={text}"))
    assert given == "\n".join([text, str(folder), "-o", f"opt={text},dev,suid"])
    assert not (box.work / "hit").exists()


def test_relative_mount_point_of_mount(box):
    script = f"cd {box.work} && exec mount -t fuse.passthrough_hp source mnt"
    result = box.run("sh", "-c", script)
    assert (result.returncode, result.stdout) == (0, "")
    assert box.entry()
    box.unmount()


# As somebody else


def test_setuid(box):
    result = box.helper(f"{WORDS}#src", box.point, "-o", f"setuid={NAME},ro")
    assert result.returncode == 0, result.stdout
    given, who, facts = box.printed()
    assert given == ["src", str(box.point), "-o", "ro"], "no 'dev' and 'suid' for users"
    assert who == [str(USER), str(USER), f"/home/{NAME}", NAME]
    assert facts["Groups"].split() == [str(USER), str(USER + 1)]
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    assert facts["NoNewPrivs"] == "0", "fusermount3 has to work for it"


def test_setuid_of_oneself(box):
    result = box.helper(WORDS, box.point, "-o", f"setuid={NAME}", user=USER)
    assert result.returncode == 0, result.stdout
    assert box.printed()[1][:2] == [str(USER), str(USER)]


def test_setuid_for_users(box):
    line = box.refused(WORDS, box.point, "-o", "setuid=root", user=USER)
    assert "'setuid=' is for root only" in line


def test_setuid_of_nobody_known(box):
    line = box.refused(WORDS, box.point, "-o", "setuid=nosuchuser")
    assert "there is no user 'nosuchuser'" in line
    assert "needs the name" in box.refused(WORDS, box.point, "-o", "setuid=")


# Without privileges


def assert_unprivileged(facts):
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts[name], 16) == 0, name
    assert facts["NoNewPrivs"] == "1"


def test_drop_privileges_of_the_program(box):
    result = box.helper(WORDS, box.point, "-o", "drop_privileges,ro", PRINT_STATUS="0")
    assert result.returncode == 0
    given, who, facts = box.printed()
    assert re.fullmatch(r"/dev/fd/\d+", given[0]) and given[1:] == ["-o", "ro,dev,suid"]
    assert who[:2] == ["0", "0"]
    assert_unprivileged(facts)


@pytest.mark.parametrize("user", [None, NAME])
def test_drop_privileges(box, user):
    """A server that could neither have mounted nor unmount, and cannot get anything back."""
    options = "drop_privileges,allow_other" + (f",setuid={user}" if user else "")
    program = BUILD.program("example/passthrough_ll")
    options += f",source={box.source}"
    result = box.mount("-t", "fuse3", program, box.point, "-o", options)
    assert (result.returncode, result.stdout) == (0, "")
    kind, source, flags, mount_options = box.entry()
    uid = USER if user else 0
    assert kind == "fuse.passthrough_ll" and f"user_id={uid}" in mount_options
    assert ("nosuid" in flags) == ("nodev" in flags) == bool(user)
    pid = box.server()
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    assert_unprivileged({name: status_of(pid, name) for name in names})
    assert status_of(pid, "Uid").split() == [str(uid)] * 4
    assert box.root("cat", box.point / "file") == "contents\n"
    box.unmount()


def test_columns_of_the_mount_table(box):
    program = BUILD.program("example/hello_ll")
    for options, wanted in (
        ("pass_fuse_fd", ("fuse.hello_ll", program)),
        ("pass_fuse_fd,fsname=my name,subtype=kind", ("fuse.kind", "my name")),
    ):
        result = box.helper(program, box.point, "-o", options)
        assert (result.returncode, result.stdout) == (0, "")
        assert box.entry()[:2] == wanted
        assert box.root("cat", box.point / "hello") == "Hello World!\n"
        box.unmount()


MTAB_SPY = """#!/bin/sh
echo "${{0##*/}}" >>{log}
"""


@pytest.mark.skipif(BUILD.option("disable-mtab", False), reason="built without it")
@pytest.mark.parametrize("switch, wanted", [([], "mount\numount\n"), (["-n"], "")])
def test_mtab_that_is_a_file(box, switch, wanted):
    log = box.work / "log"
    log.touch()
    (box.etc / "mtab").unlink()
    (box.etc / "mtab").touch()
    for name in ("umount", "mount"):
        spy = box.work / name
        spy.write_text(MTAB_SPY.format(log=log))
        spy.chmod(0o755)
        box.root("mount", "--bind", spy, shutil.which(name))
    box.helper(WORDS, box.point, *switch, "-o", "pass_fuse_fd", PRINT_STATUS="9")
    assert log.read_text() == wanted


def test_pass_fuse_fd_keeps_privileges(box):
    result = box.helper(WORDS, box.point, "-o", "pass_fuse_fd")
    assert result.returncode == 0
    facts = box.printed()[2]
    assert int(facts["CapEff"], 16) != 0 and facts["NoNewPrivs"] == "0"


def test_nothing_stays_mounted_when_the_program_fails(box):
    result = box.helper(WORDS, box.point, "-o", "drop_privileges", PRINT_STATUS="9")
    assert result.returncode == 9
    assert box.entry() is None
    result = box.helper("hello_ll", box.point, "-o", "drop_privileges,nonsense")
    assert result.returncode == 1 and "nonsense" in result.stdout
    assert box.entry() is None


def test_killed_program_leaves_no_mount(box):
    script = box.bin / "suicide"
    script.write_text("#!/bin/sh\nkill -9 $$\n")
    script.chmod(0o755)
    assert box.helper("suicide", box.point, "-o", "drop_privileges").returncode == 128 + 9
    assert box.entry() is None


def test_dropping_needs_privileges(box):
    line = box.refused(WORDS, box.point, "-o", "drop_privileges", user=USER, status=32)
    assert "(drop_privileges and pass_fuse_fd are for root)" in line


def test_auto_unmount_with_dropped_privileges(box):
    line = box.refused(WORDS, box.point, "-o", "drop_privileges,auto_unmount")
    assert "exclude each other" in line


def test_bad_mount_options_with_dropped_privileges(box):
    assert "needs a number" in box.refused(
        WORDS, box.point, "-o", "drop_privileges,max_read=many"
    )
    assert "exclude each other" in box.refused(
        WORDS, box.point, "-o", "drop_privileges,allow_other,allow_root"
    )
    line = box.refused(WORDS, box.work / "none", "-o", "drop_privileges", status=32)
    assert "bad mount point" in line and "No such file" in line


# Wrong calls


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "the source is missing"),
        ([WORDS], "the mount point is missing"),
        (["-o", "ro", WORDS, "POINT"], "source and mount point come first"),
        ([WORDS, "-o", "ro"], "the mount point is missing"),
        ([WORDS, ""], "the mount point is missing"),
        ([WORDS, "POINT", "more"], "'more' is one argument too many"),
        ([WORDS, "POINT", "-x"], "unknown option '-x'"),
        ([WORDS, "POINT", "-o"], "-o needs an argument"),
        ([WORDS, "POINT", "-N", "/proc/1/ns/mnt"], "other namespaces"),
        (["#src", "POINT"], "names no program"),
        (["", "POINT"], "names no program"),
        (["src", "POINT", "-t", "fuse."], "names no program"),
        (["-oallow_other", "POINT"], "source and mount point come first"),
        ([f"{WORDS}#-oallow_other", "POINT"], "looks like an option"),
        (["--option", "POINT", "-t", f"fuse.{WORDS}"], "source and mount point come first"),
    ],
)
def test_wrong_calls(box, arguments, words):
    arguments = [box.point if word == "POINT" else word for word in arguments]
    assert words in box.refused(*arguments)


@pytest.mark.parametrize(
    "program, words",
    [
        ("no-such-program", "No such file or directory (in no directory of PATH)"),
        ("/no/such/program", "No such file or directory"),
        ("/etc/passwd", "Permission denied"),
        ("/etc", "Permission denied"),
    ],
)
def test_no_program(box, program, words):
    line = box.refused(f"{program}#src", box.point, status=32)
    assert f"cannot run '{program}'" in line and words in line
    assert words in box.refused("src", box.point, "-t", f"fuse.{program}", "-o",
                                "drop_privileges", status=32)


def test_current_directory_is_not_searched(box):
    shutil.copy(box.bin / WORDS, box.work / "here")
    inside = ["sh", "-c", f'cd {box.work} && exec env "PATH=::/usr/bin:/bin:" "$@"', "sh"]
    result = box.run(*inside, "/sbin/mount.fuse3", "here", box.point)
    assert result.returncode == 32 and "cannot run 'here'" in result.stdout
    result = box.run(*inside, "/sbin/mount.fuse3", "./here", box.point)
    assert (result.returncode, box.printed()[0][0]) == (0, str(box.point)), result.stdout


def test_without_path(box):
    """As some service managers run it."""
    command = ["env", "-u", "PATH", "-u", "HOME", "/sbin/mount.fuse3", WORDS, str(box.point)]
    result = box.run(*command)
    assert (result.returncode, result.stdout) == (0, "")
    assert box.printed()[1][2] == "/root"


def test_check_only(box):
    result = box.helper("hello_ll#src", box.point, "-f", "-v", "-o", "ro")
    assert result.returncode == 0
    assert result.stdout == f"mount.fuse3: 'hello_ll' 'src' '{box.point}' '-o' 'ro,dev,suid'\n"
    assert box.entry() is None
    assert box.helper(WORDS, box.point, "-f", "-o", "drop_privileges").returncode == 0
    assert box.entry() is None and box.words.read_text() == ""
    assert "cannot run" in box.refused("missing", box.point, "-f", status=32)


def test_help_and_version(box):
    result = box.helper("--help")
    assert result.returncode == 0 and "setuid=USER" in result.stdout
    assert box.helper("-h").stdout == result.stdout
    assert box.helper("--version").stdout == "mount.fuse3 version: 3.18.3\n"


def test_closed_standard_streams(box):
    """The device must not become the program's standard output."""
    script = f"exec /sbin/mount.fuse3 hello_ll {box.point} -o pass_fuse_fd <&- >&- 2>&-"
    assert box.run("sh", "-c", script).returncode == 0
    assert box.root("cat", box.point / "hello") == "Hello World!\n"
    assert not SANITIZER_REPORT.search(box.root("ls", box.point))
    box.unmount()
