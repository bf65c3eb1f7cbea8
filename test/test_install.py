# SPDX-License-Identifier: GPL-2.0-only
"""
The library as a package: what is installed where, and what others can build with it. Everything
goes into folders of the test's own.
"""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fusetest import libc
from fusetest.build import BUILD, SOURCE_ROOT
from fusetest.child import call, run
from fusetest.mount import mount_entry

CROSS = Path(__file__).parent / "cross"
CONSUMER = Path(__file__).parent / "consumer"
BUILD_TIME = 500  # seconds; a build may share the machine with others

OPTIONS = [
    "--prefix=/usr",
    "--sysconfdir=/etc",
    "-Dtests=false",
    "-Dexamples=false",
    "-Dinitscriptdir=/etc/init.d",
    "-Dudevrulesdir=/usr/lib/udev/rules.d",
]

pytestmark = pytest.mark.limit(4 * BUILD_TIME)


def meson(*arguments, **environment):
    return run(
        ["meson", *arguments], timeout=BUILD_TIME * BUILD.slowdown, env={**os.environ, **environment}
    )


class Package:
    """A build with the options of a distribution, installed into a folder."""

    def __init__(self, work):
        self.build, self.root = work / "build", work / "root"
        meson("setup", self.build, SOURCE_ROOT, *OPTIONS)
        meson("compile", "-C", self.build)
        meson("install", "-C", self.build, "--no-rebuild", "--destdir", self.root)
        self.lib = next(self.root.rglob("libfuse3.a")).parent
        self.environment = {
            **os.environ,
            "PKG_CONFIG_SYSROOT_DIR": str(self.root),
            "PKG_CONFIG_LIBDIR": f"{self.lib}/pkgconfig:" + pkg_config_path(),
            "LD_LIBRARY_PATH": str(self.lib),
        }

    def run(self, command, **keywords):
        return run(command, env=self.environment, **keywords)

    def pkg_config(self, *arguments):
        return self.run(["pkg-config", *arguments, "fuse3"]).stdout.split()


def pkg_config_path():
    return run(["pkg-config", "--variable", "pc_path", "pkg-config"]).stdout.strip()


@pytest.fixture(scope="module")
def package(session_work):
    work = session_work / "package"
    work.mkdir()
    yield Package(work)
    shutil.rmtree(work, ignore_errors=True)


# What is where


def test_files(package):
    """All of it, with modes and links: neither more nor less."""
    lib = f"usr/lib/{package.lib.name}" if package.lib.name != "lib" else "usr/lib"
    headers = {path.name for path in (SOURCE_ROOT / "include").glob("*.h")} - {"fuse_kernel.h"}
    wanted = {
        "etc/fuse.conf": "644",
        "etc/init.d/fuse3": "755",
        "usr/bin/fusermount3": "4755",
        "usr/bin/fusestat": "755",
        "usr/sbin/mount.fuse3": "755",
        "usr/lib/udev/rules.d/99-fuse3.rules": "644",
        "usr/share/man/man1/fusermount3.1": "644",
        "usr/share/man/man1/fusestat.1": "644",
        "usr/share/man/man5/fuse3.5": "644",
        "usr/share/man/man8/mount.fuse3.8": "644",
        f"{lib}/libfuse3.a": "644",
        f"{lib}/libfuse3.so": "-> libfuse3.so.4",
        f"{lib}/libfuse3.so.4": "-> libfuse3.so.3.18.3",
        f"{lib}/libfuse3.so.3.18.3": "755",
        f"{lib}/pkgconfig/fuse3.pc": "644",
        **{f"usr/include/fuse3/{name}": "644" for name in headers | {"libfuse_config.h"}},
    }
    found = {}
    for path in package.root.rglob("*"):
        name = str(path.relative_to(package.root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = f"{path.stat().st_mode & 0o7777:o}"
            assert (path.stat().st_uid, path.stat().st_gid) == (0, 0), name
    assert found == wanted


def test_soname(package):
    """What the dynamic linker looks for, and what ldconfig makes of it."""
    library = package.lib / "libfuse3.so.3.18.3"
    dynamic = run(["readelf", "-d", library]).stdout
    assert "Library soname: [libfuse3.so.4]" in dynamic
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic
    copy = package.build / "ldconfig"
    shutil.rmtree(copy, ignore_errors=True)
    folder = copy / "lib"
    folder.mkdir(parents=True)
    (copy / "etc").mkdir()
    (copy / "etc" / "ld.so.conf").write_text("/lib\n")
    shutil.copy(library, folder)
    run(["ldconfig", "-r", copy])
    assert os.readlink(folder / "libfuse3.so.4") == "libfuse3.so.3.18.3"
    assert "libfuse3.so.4" in run(["ldconfig", "-r", copy, "-p"]).stdout


def test_helpers_are_looked_for_where_they_are(package):
    program = (package.lib / "libfuse3.so.3.18.3").read_bytes()
    assert b"/usr/bin/fusermount3\0" in program


@pytest.mark.parametrize(
    "options, present, absent",
    [
        ([], ["{sbindir}/mount.fuse3", "{bindir}/fusermount3"], ["fuse.conf", "init.d"]),
        (["-Dutils=false"], ["man5/fuse3.5"], ["fusermount3", "fusestat", "mount.fuse3", "udev", "fuse.conf"]),
        (["--prefix=/usr", "--sysconfdir=/etc"], ["/etc/fuse.conf"], ["init.d"]),
    ],
)
def test_options(work, options, present, absent):
    """What would be installed, without building it."""
    meson("setup", work / "b", SOURCE_ROOT, "-Dtests=false", "-Dexamples=false", *options)
    plan = json.loads((work / "b" / "meson-info" / "intro-install_plan.json").read_text())
    names = [file["destination"] for kind in plan.values() for file in kind.values()]
    for wanted in present:
        assert any(name.endswith(wanted) for name in names), (wanted, names)
    for unwanted in absent:
        assert not any(unwanted in name for name in names), (unwanted, names)


def test_without_set_uid(work):
    meson("setup", work / "b", SOURCE_ROOT, *OPTIONS, "-Duseroot=false")
    text = (work / "b" / "meson-private" / "install.dat").read_bytes()
    assert b"rwsr-xr-x" not in text and b"fusermount3" in text


# What others build with it


class Served:
    """A program that serves a mount as long as the body lasts."""

    def __init__(self, command, work, environment):
        self.point = work / "mnt"
        self.point.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [*command, "-f", self.point],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self):
        deadline = time.monotonic() + 20 * BUILD.slowdown
        while not mount_entry(self.point):
            assert self.process.poll() is None, self.process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self.point

    def __exit__(self, kind, error, trace):
        libc.unmount_lazily(str(self.point))
        try:
            status = self.process.wait(20 * BUILD.slowdown)
        finally:
            self.process.kill()
            self.process.stdout.close()
        assert error or status == 0


def read(path):
    return path.read_text()


def test_pkg_config(package):
    assert package.pkg_config("--modversion") == ["3.18.3"]
    assert package.pkg_config("--cflags")[0] == f"-I{package.root}/usr/include/fuse3"
    flags = package.pkg_config("--libs")
    assert flags[-1] == "-lfuse3" and "-luring" not in flags
    assert {"-lfuse3", "-lpthread"} <= set(package.pkg_config("--libs", "--static"))


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_example_by_hand(package, work, static):
    """As its author would: one command. The static program needs no library at all."""
    source = SOURCE_ROOT / "example" / "hello_ll.c"
    flags = package.pkg_config("--cflags", "--libs", *(["--static"] if static else []))
    command = ["gcc", "-Wall", "-Werror", source, "-o", work / "hello"]
    package.run([*command, *(["-static"] if static else []), *flags], cwd=work)
    dynamic = run(["readelf", "-d", work / "hello"]).stdout
    if static:
        assert "no dynamic section" in dynamic
    else:
        assert "[libfuse3.so.4]" in dynamic and "liburing" not in dynamic
    with Served([work / "hello"], work, package.environment) as point:
        assert call(read, point / "hello") == "Hello World!\n"


def build_consumer(package, work, *options, **environment):
    environment = {**package.environment, **environment}
    folder = work / "consumer"
    run(["meson", "setup", work / "b", folder, *options], timeout=BUILD_TIME, env=environment)
    run(["meson", "compile", "-C", work / "b"], timeout=BUILD_TIME, env=environment)
    return work / "b" / "consumer"


@pytest.mark.parametrize("static", ["false", "true"])
def test_meson_project_with_installed_library(package, work, static):
    shutil.copytree(CONSUMER, work / "consumer")
    program = build_consumer(package, work, f"-Dprefer_static={static}")
    needed = run(["readelf", "-d", program]).stdout
    assert ("[libfuse3.so.4]" in needed) == (static == "false")
    with Served([program], work, package.environment) as point:
        assert call(read, point / "file") == "from outside\n"


@pytest.mark.parametrize("kind", ["shared", "static"])
def test_meson_project_with_subproject(package, work, kind):
    """Nothing is installed: the project brings the sources along, and names them in a wrap."""
    shutil.copytree(CONSUMER, work / "consumer")
    subprojects = work / "consumer" / "subprojects"
    subprojects.mkdir()
    (subprojects / "libfuse").symlink_to(SOURCE_ROOT)
    (subprojects / "fuse3.wrap").write_text(
        "[wrap-file]\ndirectory = libfuse\n\n[provide]\ndependency_names = fuse3\n"
    )
    options = ["--force-fallback-for=fuse3"]
    if kind == "static":
        options.append("-Dprefer_static=true")
    program = build_consumer(package, work, *options, PKG_CONFIG_LIBDIR=pkg_config_path())
    built = work / "b" / "subprojects" / "libfuse"
    assert (built / "lib" / "libfuse3.so.4").exists()
    assert not (built / "test").exists() and not (built / "example").exists(), "not asked for"
    environment = {"LD_LIBRARY_PATH": ""}
    assert run([program, "-V"], env={**os.environ, **environment}).stdout == "3.18.3\n"
    with Served([program], work, package.environment) as point:
        assert call(read, point / "file") == "from outside\n"


# For other machines

MACHINES = {"i686": "Intel 80386", "aarch64": "AArch64"}


@pytest.mark.long
@pytest.mark.parametrize("machine", MACHINES)
def test_cross_build(work, machine):
    """With Debian's cross compilers; without liburing, which Debian has not for these."""
    compiler = f"{machine}-linux-gnu-gcc"
    assert shutil.which(compiler), f"no {compiler}: scripts/test.sh --all installs it"
    meson("setup", work / "b", SOURCE_ROOT, "--cross-file", CROSS / f"{machine}.ini",
          "-Dwerror=true")
    meson("compile", "-C", work / "b")
    for program in ("lib/libfuse3.so.4", "util/fusermount3", "example/passthrough_hp"):
        header = run(["readelf", "-h", work / "b" / program]).stdout
        assert re.search(rf"Machine:\s+{MACHINES[machine]}", header)
    if machine == "i686" and os.uname().machine == "x86_64":
        assert_serves_with_32_bits(work)


def assert_serves_with_32_bits(work):
    """This kernel runs programs of both sizes, if they bring their C library along."""
    libc_folder = "/usr/i686-linux-gnu/lib"
    loader = [f"{libc_folder}/ld-linux.so.2", "--library-path", f"{libc_folder}:{work}/b/lib"]
    with Served(loader + [work / "b" / "example" / "hello_ll"], work, os.environ) as point:
        assert call(read, point / "hello") == "Hello World!\n"
