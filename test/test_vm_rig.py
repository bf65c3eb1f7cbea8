# SPDX-License-Identifier: GPL-2.0-only
"""The VM rig: test/vm/run boots, hands everything back, and leaves nothing behind."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from fusetest.rig import console

if os.uname().release.endswith("-vm"):
    pytest.skip("this is a guest of the rig", allow_module_level=True)

TOP = Path(__file__).resolve().parent.parent
RIG = TOP / "test" / "vm"
RUN = RIG / "run"


def run(*arguments, program=RUN, **options):
    command = [str(argument) for argument in (program, *arguments)]
    return subprocess.run(command, capture_output=True, timeout=110, **options)


def needs_kernel(*arguments):
    """Builds it if need be, which takes minutes the first time."""
    built = subprocess.run([RUN, *arguments, "--build-only"], stderr=subprocess.PIPE, text=True)
    if built.returncode == 3 and os.environ.get("FUSE_VM_BUILD") == "0":
        pytest.skip(built.stderr.strip().splitlines()[-1])
    assert built.returncode == 0, built.stderr


class Rig:
    def __init__(self, *kernel):
        self.kernel = ("--kernel", "7.3", *kernel)

    def __call__(self, *arguments, **options):
        """run([option...], "--", command...)"""
        return run(*self.kernel, *arguments, **options)

    def shell(self, script, *arguments, **options):
        return self(*arguments, "--", "sh", "-c", script, **options)

    def start(self, script, *arguments, **options):
        command = [RUN, *self.kernel, *arguments, "--", "sh", "-c", script]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, bufsize=0, **options)


@pytest.fixture(scope="module", params=["um", pytest.param("x86_64", marks=pytest.mark.long)])
def rig(request):
    needs_kernel("--kernel", "7.3", "--arch", request.param)
    return Rig("--arch", request.param)


# What the command gets and gives


@pytest.mark.parametrize("status", (0, 1, 7, 90, 124, 255))
def test_status(rig, status):
    result = rig.shell(f"exit {status}")
    assert (result.returncode, result.stdout, result.stderr) == (status, b"", b"")


def test_status_of_signal_and_missing_program(rig):
    assert rig.shell("kill -9 $$").returncode == 128 + signal.SIGKILL
    missing = rig("--", "/nonexistent/program")
    assert missing.returncode == 127
    assert b"/nonexistent/program" in missing.stderr


def test_output_byte_for_byte(rig, tmp_path):
    data = os.urandom(3_000_001) + bytes(range(256)) + b"no newline at the end"
    (tmp_path / "data").write_bytes(data)
    result = rig.shell(f"cat {tmp_path}/data; cat {tmp_path}/data >&2")
    assert result.returncode == 0
    assert result.stdout == data
    assert result.stderr == data


def test_output_at_once(rig):
    process = rig.start("echo first; sleep 3; echo second")
    assert process.stdout.readline() == b"first\n"
    begin = time.monotonic()
    assert process.stdout.readline() == b"second\n"
    assert time.monotonic() - begin > 2
    assert process.wait(30) == 0


def test_slow_reader_gets_all(rig):
    """More than all buffers on the way hold; the guest is ready long before the reader."""
    process = rig.start("head -c 2000000 /dev/zero; exit 5")
    time.sleep(8)
    assert len(process.stdout.read()) == 2_000_000
    assert process.wait(30) == 5


def test_reader_that_leaves(rig):
    process = rig.start("yes")
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(30) == 128 + signal.SIGPIPE


def test_arguments_environment_folder(rig, tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    values = ["it's", 'a "b" $HOME', "", "line\nline", "\u00e9"]
    script = 'pwd; echo "$GIVEN|$TAKEN|$EMPTY|$HOME|$PATH"; for i; do echo "<$i>"; done'
    settings = ("--env", "GIVEN=a=b c", "--env", "TAKEN", "--env", "EMPTY=")
    environment = os.environ | {"TAKEN": "it's", "NOT_TAKEN": "x"}
    result = rig(*settings, "--", "sh", "-c", script, "sh", *values, cwd=folder, env=environment)
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    lines = [str(folder), f"a=b c|it's||/root|{path}", *(f"<{value}>" for value in values)]
    assert result.stdout.decode() == "\n".join(lines) + "\n"
    assert rig.shell('test -z "$NOT_TAKEN"', env=environment).returncode == 0


@pytest.mark.parametrize("cpus", (1, 2, 4))
def test_machine(rig, cpus):
    script = """
        uname -r; id -u; nproc; cat /sys/module/fuse/parameters/enable_uring
        stat -f -c %T /tmp /run /var/tmp /dev/shm; ls /sys/fs/fuse/connections | wc -l
        ip -br address show lo | grep -c 127.0.0.1; grep MemTotal /proc/meminfo
    """
    result = rig.shell(script, "--cpus", cpus, "--mem", 1024)
    lines = result.stdout.decode().splitlines()
    assert re.fullmatch(r"7\.3\..*-vm", lines[0])
    assert lines[1:10] == ["0", str(cpus), "Y", *["tmpfs"] * 4, "0", "1"]
    assert 900_000 < int(lines[10].split()[1]) <= 1 << 20


def test_fuse_mount(rig):
    script = """
        mkdir /tmp/m && exec 5<>/dev/fuse &&
        mount -i -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0 none /tmp/m &&
        ls /sys/fs/fuse/connections | wc -l; grep -c " /tmp/m fuse " /proc/mounts
    """
    assert rig.shell(script).stdout == b"1\n1\n"


def test_leftovers_do_not_delay_the_end(rig):
    begin = time.monotonic()
    result = rig.shell("sleep 100 & (setsid sleep 100 &); echo done; exit 4")
    assert (result.returncode, result.stdout) == (4, b"done\n")
    assert time.monotonic() - begin < 60


# Files


def test_nothing_of_the_host_is_written_but_results(rig, tmp_path):
    results = tmp_path / "results"
    victims = [tmp_path / "victim", TOP / "vm-victim", Path("/etc/vm-victim"), Path("/vm-victim")]
    victims[0].write_text("as it was")
    script = f"""
        exec 2>/dev/null
        spoil()
        {{
            for victim in {" ".join(map(str, victims))}; do
                echo broken >$1$victim; rm $1$victim; mkdir $1$victim
            done
        }}
        spoil
        mount -o remount,rw / && spoil
        mkdir /tmp/again
        mount -t hostfs -o / none /tmp/again || mount -t 9p -o trans=virtio root /tmp/again
        spoil /tmp/again
        echo kept >$VM_RESULTS/file && mkdir $VM_RESULTS/folder && echo $VM_RESULTS
    """
    result = rig.shell(script, "--results", results)
    assert result.stdout.decode() == f"{results}\n", result.stderr
    assert (results / "file").read_text() == "kept\n"
    assert (results / "folder").is_dir()
    assert victims[0].read_text() == "as it was"
    assert not any(victim.exists() for victim in victims[1:])


def test_large_result(rig, tmp_path):
    script = "head -c 20000000 /dev/urandom >$VM_RESULTS/data; md5sum <$VM_RESULTS/data"
    result = rig.shell(script, "--results", tmp_path)
    digest = subprocess.check_output(["md5sum"], stdin=open(tmp_path / "data"))
    assert result.stdout == digest
    assert (tmp_path / "data").stat().st_size == 20_000_000


@pytest.fixture
def hidden():
    """A folder of the host where the guest has a tmpfs, and which pytest does not name."""
    path = Path("/var/tmp") / f"vm-rig-{os.getpid()}"
    (path / "bin").mkdir(parents=True)
    (path / "data").write_text("of the host\n")
    program = path / "bin" / "program"
    program.write_text('#!/bin/sh\ncat "${0%/*}/../data"\n')
    program.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_hidden_paths_that_are_named(rig, hidden):
    assert rig.shell("ls /var/tmp").stdout == b""
    assert rig(f"--share={hidden}/bin", "--", "ls", "/var/tmp").stdout.decode() == f"{hidden.name}\n"
    assert rig("--", hidden / "bin" / "program").stdout == b"of the host\n"
    assert rig("--", "cat", hidden / "data").stdout == b"of the host\n"
    assert rig("--", "cat", "data", cwd=hidden).stdout == b"of the host\n"
    by_variable = rig.shell("cat $DATA", "--env", f"DATA={hidden}/data")
    assert by_variable.stdout == b"of the host\n"
    assert rig("--", "touch", hidden / "new").returncode == 1


# Ends


def in_namespace(kind, namespace):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "ns" / kind) == namespace:
                found.append(process.name)
        except OSError:
            pass
    return found


def namespaces_of_guest(folder):
    """Of the processes whose arguments name the run's folder; the outer ones are in ours."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(folder) in (process / "cmdline").read_bytes():
                found |= {(kind, os.readlink(process / "ns" / kind)) for kind in ("pid", "mnt")}
        except OSError:
            pass
    return found - {(kind, os.readlink(f"/proc/self/ns/{kind}")) for kind in ("pid", "mnt")}


class Running:
    """A guest that sleeps, and what has to be gone with it."""

    def __init__(self, rig, folder, *arguments):
        self.folder = folder
        self.process = rig.start(
            "echo begun; sleep 1000", *arguments, env=os.environ | {"TMPDIR": str(folder)}
        )
        assert self.process.stdout.readline() == b"begun\n"
        self.namespaces = namespaces_of_guest(folder)
        assert {kind for kind, _ in self.namespaces} == {"pid", "mnt"}
        assert str(folder) not in Path("/proc/mounts").read_text()
        assert all(in_namespace(*namespace) for namespace in self.namespaces)

    def ends(self, status):
        assert self.process.wait(30) == status
        self.error = self.process.stderr.read().decode()
        return self

    def is_gone(self):
        for namespace in self.namespaces:
            assert not in_namespace(*namespace)
        assert not list(self.folder.iterdir())


def test_timeout(rig, tmp_path):
    running = Running(rig, tmp_path, "--timeout", "15").ends(124)
    assert running.error == "vm: timed out after 15 s\n"
    running.is_gone()


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
def test_signal(rig, tmp_path, number):
    running = Running(rig, tmp_path)
    running.process.send_signal(number)
    assert running.ends(128 + number).error == f"vm: ended by {number.name}\n"
    running.is_gone()


def test_sigkill(rig, tmp_path):
    running = Running(rig, tmp_path)
    running.process.kill()
    running.ends(-signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(in_namespace(*namespace) for namespace in running.namespaces):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_guest_switches_itself_off(rig):
    for key in "ob":
        result = rig.shell(f"echo {key} >/proc/sysrq-trigger; sleep 100", "--timeout", "90")
        assert result.returncode == 91
        assert re.search(rb"vm: the guest (ended|restarted) without a status", result.stderr)


# Reports of the kernel


PROVOKE = "/sys/kernel/debug/provoke-crash/DIRECT"


def test_warning(rig):
    result = rig.shell(f"echo WARNING >{PROVOKE}; echo after; exit 5")
    assert result.returncode == 90
    assert result.stdout == b"after\n"
    assert re.search(rb"WARNING: .* at lkdtm_\w+", result.stderr)
    assert result.stderr.endswith(b"a problem (the command's status: 5)\n")


def test_crash(rig):
    result = rig.shell(f"echo EXCEPTION >{PROVOKE}; sleep 100", "--timeout", "20")
    assert result.returncode == 90
    assert re.search(rb"Kernel panic|BUG: kernel NULL pointer dereference", result.stderr)


def test_task_that_cannot_be_killed(rig):
    """It is reported, and keeps neither the guest from ending nor output from arriving."""
    script = f"""
        echo 3 >/proc/sys/kernel/hung_task_timeout_secs
        echo before; sh -c 'echo HUNG_TASK >{PROVOKE}' & sleep 9; echo after; exit 6
    """
    result = rig.shell(script, "--timeout", "80")
    assert result.returncode == 90
    assert result.stdout == b"before\nafter\n"
    assert re.search(rb"INFO: task sh:\d+ blocked", result.stderr)
    assert result.stderr.endswith(b"a problem (the command's status: 6)\n")


def test_ordinary_messages_are_no_report(rig, tmp_path):
    log = tmp_path / "log"
    result = rig.shell("echo 'a warning, and no bug' >/dev/kmsg", "--log", log)
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"a warning, and no bug" in log.read_bytes()


REPORTS = (
    "WARNING: fs/fuse/dev.c:12 at fuse_dev_do_read+0x1/0x2, CPU#1: server/12",
    "WARNING: CPU: 1 PID: 12 at fs/fuse/dev.c:12 fuse_dev_do_read+0x1/0x2",
    "WARNING: possible circular locking dependency detected",
    "WARNING: suspicious RCU usage",
    "BUG: KASAN: slab-use-after-free in fuse_request_end+0x1/0x2",
    "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "BUG: sleeping function called from invalid context at fs/fuse/dev.c:12",
    "BUG: scheduling while atomic: server/12/0x00000002",
    "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [server:12]",
    "kernel BUG at fs/fuse/dev.c:12!",
    "Oops: general protection fault, probably for non-canonical address 0x1: 0000 [#1] SMP",
    "UBSAN: array-index-out-of-bounds in fs/fuse/dev.c:12:3",
    "INFO: task server:12 blocked for more than 122 seconds.",
    "rcu: INFO: rcu_preempt self-detected stall on CPU",
    "INFO: trying to register non-static key.",
    "kmemleak: unreferenced object 0xffff888100000000 (size 64):",
    "Kernel panic - not syncing: Kernel mode fault at addr 0x0, ip 0x603a86b0",
)
NO_REPORTS = (
    "fuse: init (API version 7.46)",
    "device-mapper: a debug message about WARNING: nothing",
    "Warning: tempdir /tmp is not on tmpfs",
    "kmemleak: Kernel memory leak detector initialized (mem pool available: 15000)",
    "rcu: RCU lockdep checking is enabled.",
    "clocksource: timekeeping watchdog on CPU0: Marking clocksource 'tsc' as unstable",
    "debug: unmapping init [mem 0x60001000-0x6001bfff]",
)


@pytest.mark.parametrize("prefix", ("", "[   12.345678] ", "[   12.345678] [T123] "))
def test_report_is_told_from_messages(prefix):
    for line in REPORTS:
        log = console.Log()
        log.feed(f"{prefix}before\n{prefix}{line}\r\n{prefix}after\n".encode())
        assert log.reports() == [f"{prefix}before", f"{prefix}{line}", f"{prefix}after"], line
    for line in NO_REPORTS:
        log = console.Log()
        log.feed(f"{prefix}{line}\n".encode())
        assert log.reports() == [], line


def test_report_in_pieces_and_without_newline():
    log = console.Log()
    for byte in b"[    1.0] first\n[    1.0] BUG: last":
        log.feed(bytes([byte]))
    assert log.reports() == []
    log.close()
    assert log.reports() == ["[    1.0] first", "[    1.0] BUG: last"]


def test_no_line_of_reports_is_printed_twice():
    log = console.Log()
    log.feed(b"".join(b"WARNING: %d\n" % number for number in range(300)))
    assert log.reports() == [f"WARNING: {number}" for number in range(300)]


# Wrong use


@pytest.mark.parametrize(
    "arguments, reason",
    (
        (["--kernel", "6.1", "--", "true"], "6.1"),
        (["--kernel", "7.3", "--arch", "arm64", "--", "true"], "arm64"),
        (["--kernel", "7.3", "--cpus", "0", "--", "true"], "--cpus"),
        (["--kernel", "7.3", "--cpus", "9", "--", "true"], "--cpus"),
        (["--kernel", "7.3", "--timeout", "soon", "--", "true"], "--timeout"),
        (["--kernel", "7.3", "--frobnicate", "--", "true"], "--frobnicate"),
        (["--kernel", "7.3", "true"], "true"),
        (["--kernel", "7.3", "--"], "no command"),
        (["--kernel", "7.3"], "no command"),
        (["--", "true"], "--kernel is missing"),
        (["--kernel", "7.3", "--patch", "/nonexistent", "--", "true"], "/nonexistent"),
        (["--kernel", "7.3", "--config", "/nonexistent", "--", "true"], "/nonexistent"),
        (["--kernel", "7.3", "--env", "NO_SUCH_VARIABLE", "--", "true"], "NO_SUCH_VARIABLE"),
        (["--kernel", "7.3", "--share", "/nonexistent", "--", "true"], "/nonexistent"),
    ),
)
def test_usage(arguments, reason):
    result = run(*arguments)
    assert result.returncode == 2
    assert reason in result.stderr.decode().splitlines()[-1]


# Building, with trees that are no kernels but take no minutes


@pytest.fixture
def fake(tmp_path):
    return Fake(tmp_path)


class Fake:
    """A source tree whose `linux` is made by a recipe of this test, and a cache for it."""

    MAKEFILE = """
VERSION = 7
PATCHLEVEL = {patchlevel}
SUBLEVEL = 0
EXTRAVERSION = -fake

allnoconfig:
	cp $(KCONFIG_ALLCONFIG) .config
mrproper:
	rm .config
linux:
	@echo "  LINK linux"
	echo built >>{base}/builds
	{recipe}
	echo '#!/bin/sh' >linux && chmod +x linux && touch System.map
"""

    def __init__(self, base):
        self.base, self.tree, self.cache = base, base / "tree", base / "cache"
        self.tree.mkdir()
        self.environment = os.environ | {"FUSE_VM_CACHE": str(self.cache)}
        self.environment.pop("FUSE_VM_BUILD", None)

    def write(self, recipe="true", patchlevel=3):
        text = self.MAKEFILE.format(base=self.base, recipe=recipe, patchlevel=patchlevel)
        (self.tree / "Makefile").write_text(text)

    def command(self, *arguments, program=RUN, source=None, kernel="7.3"):
        source = source or self.tree
        return [program, "--kernel", kernel, "--source", source, "--build-only", *arguments]

    def build(self, *arguments, **options):
        return run(*self.command(*arguments, **options)[1:], env=self.environment,
                   program=options.get("program", RUN))

    def builds(self):
        path = self.base / "builds"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def kernels(self):
        """What is there under a final name; nothing else may be there either."""
        left = list((self.cache / "kernels").glob("*.partial"))
        assert not left
        return sorted(path for path in (self.cache / "kernels").iterdir() if path.is_dir())


def test_built_once(fake):
    fake.write()
    for _ in range(2):
        result = fake.build()
        assert result.returncode == 0, result.stderr
    assert fake.builds() == 1
    (kernel,) = fake.kernels()
    assert {path.name for path in kernel.iterdir()} == {"linux", "config", "System.map", "about.json"}
    assert not (fake.tree / "linux").exists()
    listed = run("--list", env=fake.environment).stdout.decode().split()
    assert listed[:5] == ["7.3", "7.3.0-fake", "um", "unpatched", "-"]
    assert listed[-1] == str(kernel)


def test_built_anew_for_another_source(fake):
    fake.write()
    assert fake.build().returncode == 0
    (fake.tree / "more.c").write_text("int x;\n")
    assert fake.build().returncode == 0
    assert fake.builds() == 2
    assert len(fake.kernels()) == 2


def test_tarball(fake):
    fake.write()
    tarball = fake.base / "linux.tar.gz"
    subprocess.run(["tar", "-czf", tarball, "-C", fake.base, "tree"], check=True)
    for _ in range(2):
        assert fake.build(source=tarball).returncode == 0
    assert fake.builds() == 1


@pytest.fixture
def copied(fake):
    """The rig in a checkout whose series of patches is this test's."""
    top = fake.base / "top"
    shutil.copytree(RIG, top / "test" / "vm")
    shutil.copytree(TOP / "scripts", top / "scripts")
    fake.write()
    (top / "kernel-patches" / "linux-7.3").mkdir(parents=True)
    return top


PATCH = """
--- a/file
+++ b/file
@@ -1 +1 @@
-{before}
+{after}
"""


def test_patches(fake, copied):
    program = copied / "test" / "vm" / "run"
    series = copied / "kernel-patches" / "linux-7.3"
    (fake.tree / "file").write_text("one\n")
    fake.write(recipe=f"cp file {fake.base}/patched")
    none = fake.build(program=program, kernel="7.3+patches")
    assert none.returncode == 3
    assert "no patches for Linux 7.3" in none.stderr.decode()

    (series / "0002.patch").write_text(PATCH.format(before="two", after="three"))
    (series / "0001.patch").write_text(PATCH.format(before="one", after="two"))
    assert fake.build(program=program, kernel="7.3+patches").returncode == 0
    assert (fake.base / "patched").read_text() == "three\n"
    (series / "0002.patch").write_text(PATCH.format(before="two", after="four"))
    assert fake.build(program=program, kernel="7.3+patches").returncode == 0
    assert (fake.base / "patched").read_text() == "four\n"
    assert fake.build(program=program, kernel="7.3").returncode == 0
    assert (fake.base / "patched").read_text() == "one\n"
    assert (fake.builds(), len(fake.kernels())) == (3, 3)

    (series / "0002.patch").write_text(PATCH.format(before="zwei", after="drei"))
    failed = fake.build(program=program, kernel="7.3+patches")
    assert failed.returncode == 3
    assert "0002.patch does not apply" in failed.stderr.decode().splitlines()[-1]
    assert len(fake.kernels()) == 3


def test_failed_build(fake):
    fake.write(recipe="echo 'dev.c:1: error: no such thing' >&2; false")
    for count in (1, 2):
        result = fake.build()
        assert result.returncode == 3
        last = result.stderr.decode().splitlines()[-1]
        assert "dev.c:1: error: no such thing" in last
        assert Path(re.search(r"all of it: (.*)\)", last).group(1)).exists()
        assert (fake.builds(), fake.kernels()) == (count, [])
    fake.write()
    assert fake.build().returncode == 0


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
def test_interrupted_build(fake, number):
    fake.write(recipe=f"[ -e {fake.base}/go ] || sleep 5")
    process = subprocess.Popen(fake.command(), env=fake.environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not fake.builds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    killed = number == signal.SIGKILL
    assert process.wait(30) == (-number if killed else 128 + number)
    if not killed:
        assert fake.kernels() == []
    (fake.base / "go").touch()
    assert fake.build().returncode == 0
    assert (fake.builds(), len(fake.kernels())) == (2, 1)


def test_concurrent_builds(fake):
    fake.write(recipe="sleep 3")
    results = []
    threads = [threading.Thread(target=lambda: results.append(fake.build())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.returncode for result in results] == [0, 0, 0]
    assert fake.builds() == 1
    waited = [b"waiting for another run" in result.stderr for result in results]
    assert sorted(waited) == [False, True, True]


def test_source_that_is_none(fake):
    for source, reason in (
        (fake.base / "missing", "neither a folder nor a tarball"),
        (fake.tree, "no source tree of Linux"),
    ):
        result = fake.build(source=source)
        assert result.returncode == 3
        assert reason in result.stderr.decode().splitlines()[-1]
    fake.write(patchlevel=1)
    result = fake.build()
    assert result.returncode == 3
    assert "is Linux 7.1.0-fake, not 7.3" in result.stderr.decode().splitlines()[-1]
    assert fake.kernels() == []


def test_nothing_is_made_when_told_so(fake):
    fake.write()
    told = fake.environment | {"FUSE_VM_BUILD": "0"}
    result = run(*fake.command()[1:], env=told)
    assert result.returncode == 3
    assert "FUSE_VM_BUILD=0" in result.stderr.decode()
    assert fake.builds() == 0
    assert fake.build().returncode == 0
    assert run(*fake.command()[1:], env=told).returncode == 0


def test_archive_that_does_not_answer(fake):
    """apt-get fails in the middle; the next run must not take what is there for a source."""
    stub = fake.base / "bin" / "apt-get"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\necho 'E: no archive' >&2\nexit 100\n")
    stub.chmod(0o755)
    path = f"{stub.parent}:{os.environ['PATH']}"
    environment = fake.environment | {"PATH": path}
    for _ in range(2):
        result = run("--kernel", "7.2", "--build-only", env=environment)
        assert result.returncode == 3
        assert b"E: no archive" in result.stderr
        assert list((fake.cache / "sources").iterdir()) == []


# The kernel for debugging


@pytest.fixture(scope="module", params=["um", "x86_64"])
def debug(request):
    arguments = ("--arch", request.param, "--debug")
    needs_kernel("--kernel", "7.3", *arguments)
    return Rig(*arguments)


@pytest.mark.long
def test_debug_is_silent_about_nothing(debug):
    script = """
        mkdir /tmp/m && exec 5<>/dev/fuse &&
        mount -i -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0 none /tmp/m &&
        exec 5<&- && umount /tmp/m && echo done
        ls -d /sys/kernel/debug/kmemleak /sys/kernel/debug/fail_page_alloc \
            /sys/kernel/debug/failslab /sys/kernel/debug/fail_make_request >&2
        zcat /proc/config.gz | grep -cE '^CONFIG_(KASAN|PROVE_LOCKING|UBSAN|DEBUG_LIST)=y' >&2
    """
    result = debug.shell(script)
    assert (result.returncode, result.stdout) == (0, b"done\n"), result.stderr
    assert len(result.stderr.splitlines()) == 5
    assert result.stderr.endswith(b"\n4\n")


@pytest.mark.long
@pytest.mark.parametrize(
    "provoked, report",
    (
        ("READ_AFTER_FREE", rb"BUG: KASAN: slab-use-after-free"),
        ("SLAB_LINEAR_OVERFLOW", rb"BUG: KASAN: slab-out-of-bounds"),
        ("SPINLOCKUP", rb"WARNING: lock held when returning to user space"),
        ("ARRAY_BOUNDS", rb"UBSAN: array-index-out-of-bounds"),
        ("CORRUPT_LIST_ADD", rb"list_add corruption"),
        # It dies between kmalloc() and kfree().
        ("EXEC_KMALLOC", rb"kmemleak: unreferenced object 0x\w+ \(size \d+\)"),
    ),
)
def test_debug_reports(debug, provoked, report):
    result = debug.shell(f"echo {provoked} >{PROVOKE}", "--timeout", "100")
    assert result.returncode == 90
    assert re.search(report, result.stderr)
