# SPDX-License-Identifier: GPL-2.0-only
"""
FUSE_USE_VERSION: a filesystem that was written for an earlier interface compiles with these
headers as its author would have it, is given the functions of that interface, and runs. The same
goes for programs that were compiled with earlier headers, and for tables of operations that are
shorter or longer than ours.
"""

import fcntl
import os
import re
import signal
import struct

import pytest

from fusetest import abi
from fusetest.build import BUILD, SOURCE_ROOT
from fusetest.child import call, run
from fusetest.mount import Mount

VERSIONS = [30, 31, 32, 35, 312, 317, 318]
LEVELS = SOURCE_ROOT / "test" / "levels"
PLUS_ONE = 0xC0044C01  # as test/levels/level.h has it
DATA_AT = 3

pytestmark = pytest.mark.transport("dev-multi", "io_uring")
path_based = pytest.mark.path_based

# How a program ends whose mount is taken away, and one that gets a signal.
UNMOUNTED = 0
SIGNALLED = {"path": 4, "path by hand": 4, "low": 4, "main": 8}


class Compiler:
    """Compiles test/levels against what is installed, each variant once."""

    def __init__(self, work):
        self.work, self.programs = work, {}
        root = work / "root"
        run(["meson", "install", "-C", BUILD.dir, "--no-rebuild", "--destdir", root], timeout=300)
        self.include = next(root.rglob("fuse_lowlevel.h")).parent
        self.library = next(root.rglob("libfuse3.so.4")).parent

    def __call__(self, source, version, *definitions):
        key = (source, version, *definitions)
        if key not in self.programs:
            program = self.work / f"level-{len(self.programs)}"
            words = [f"-D{definition}" for definition in definitions]
            run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_FILE_OFFSET_BITS=64",
                 f"-DFUSE_USE_VERSION={version}", *words, "-I", self.include,
                 LEVELS / f"{source}.c", "-o", program, "-L", self.library, "-lfuse3"])
            self.programs[key] = program
        return self.programs[key]

    def mount(self, work, transport, program, **keywords):
        environment = {"LD_LIBRARY_PATH": str(self.library)}
        return Mount(work, transport, program=str(program), env=environment, **keywords)


@pytest.fixture(scope="module")
def compiled(session_work):
    if BUILD.sanitizer:
        pytest.skip("programs built without the sanitizer cannot use a library built with it")
    if BUILD.option("disable-libc-symbol-version", False):
        pytest.skip("built without symbol versions")
    work = session_work / "levels"
    work.mkdir()
    return Compiler(work)


def versioned(program):
    """
    What a program asks the library for, as name@version, of what there is more than one of: names
    that came and went, and the settings of loops.
    """
    names = r"_?fuse_(main_real|new|loop_mt|session_new|session_loop_mt|session_custom_io|"
    names += r"parse_cmdline|loop_cfg_create)(_versioned|_\d+)?"
    output = run(["readelf", "--dyn-syms", "--wide", program]).stdout
    found = re.findall(rf"UND ({names})@(FUSE_[\w.]+)", output)
    symbols = {(name, version) for name, *_, version in found}
    exported = {(name, version) for name, _, version in abi.symbols()}
    assert symbols <= exported, symbols
    return {f"{name}@{version}" for name, version in symbols}


def look(folder, data_at=DATA_AT):
    """Everything that the filesystem does."""
    assert os.listdir(folder) == ["file"]
    path = folder / "file"
    assert path.read_text() == "of its own level\n"
    assert not (folder / "other").exists()
    with path.open("rb", buffering=0) as file:
        answer = fcntl.ioctl(file, PLUS_ONE, struct.pack("i", 41))
        assert struct.unpack("i", answer) == (42,)
        assert os.lseek(file.fileno(), 0, os.SEEK_DATA) == data_at


def loop(kind, version):
    """Which function is behind the name of the loop with several threads."""
    name = {"path": "fuse_loop_mt", "low": "fuse_session_loop_mt"}[kind]
    if version < 32:
        return f"{name}_31@FUSE_3.2"
    if version < 312:
        return f"{name}_32@FUSE_3.{12 if kind == 'path' else 2}"
    return f"{name}@FUSE_3.12"


def settings(version):
    return {"fuse_loop_cfg_create@FUSE_3.12"} if version >= 312 else set()


def works(compiled, work, transport, program, data_at=DATA_AT, **keywords):
    with compiled.mount(work, transport, program, exit_status=UNMOUNTED, **keywords) as mount:
        call(look, mount.path, data_at)
    return mount


def ends_by_signal(compiled, work, transport, program, status):
    mount = compiled.mount(work, transport, program, exit_status=status)
    with mount:
        call(look, mount.path)
        mount.signal(signal.SIGTERM)
        assert mount.wait() == status


# Each version


@path_based
@pytest.mark.parametrize("version", VERSIONS)
def test_main(work, transport, compiled, version):
    program = compiled("path", version)
    assert versioned(program) == {"fuse_main_real_versioned@FUSE_3.17"}
    works(compiled, work, transport, program)
    ends_by_signal(compiled, work, transport, program, SIGNALLED["main"])


@path_based
@pytest.mark.parametrize("version", VERSIONS)
def test_path_based(work, transport, compiled, version):
    program = compiled("path", version, "BY_HAND")
    new = "_fuse_new_30@FUSE_3.17" if version == 30 else "_fuse_new_31@FUSE_3.17"
    wanted = {new, "fuse_parse_cmdline@FUSE_3.12", loop("path", version), *settings(version)}
    assert versioned(program) == wanted
    works(compiled, work, transport, program)
    ends_by_signal(compiled, work, transport, program, SIGNALLED["path"])


@pytest.mark.parametrize("version", VERSIONS)
def test_low_level(work, transport, compiled, version):
    program = compiled("low", version)
    wanted = {
        "fuse_session_new_versioned@FUSE_3.17",
        "fuse_parse_cmdline@FUSE_3.12",
        loop("low", version),
        *settings(version),
    }
    assert versioned(program) == wanted
    works(compiled, work, transport, program)
    ends_by_signal(compiled, work, transport, program, SIGNALLED["low"])


@pytest.mark.transport("dev-clone-fd")
@pytest.mark.parametrize("version", VERSIONS)
def test_custom_io(work, transport, compiled, version):
    """Before 3.17 its structure had no clone_fd: whatever is there is not called."""
    program = compiled("low", version, "CUSTOM_IO")
    suffix = "_30" if version < 317 else "_317"
    assert f"fuse_session_custom_io{suffix}@FUSE_3.17" in versioned(program)
    works(compiled, work, transport, program, allow_other=False)


@path_based
@pytest.mark.parametrize("version", VERSIONS)
def test_help_from_fuse_new(compiled, version):
    """Only that of 3.0 helps; to the others the option is unknown."""
    program = compiled("path", version, "BY_HAND")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(compiled.library)}
    result = run([program, "--help"], check=False, env=environment)
    assert result.returncode == 3
    assert ("io_uring" in result.stdout) == (version == 30), result.stdout
    assert ("--help" in result.stdout) == (version != 30), result.stdout


# Programs that were compiled with earlier headers


FORMER = {
    ("path", 30): {"fuse_main_real@FUSE_3.0"},
    ("path", 32): {"fuse_main_real@FUSE_3.0"},
    ("path by hand", 30): {"fuse_new@FUSE_3.0", "fuse_loop_mt@FUSE_3.0"},
    ("path by hand", 32): {"fuse_new@FUSE_3.1", "fuse_loop_mt@FUSE_3.2"},
    ("low", 30): {"fuse_session_new@FUSE_3.0", "fuse_session_loop_mt@FUSE_3.0"},
    ("low", 32): {"fuse_session_new@FUSE_3.0", "fuse_session_loop_mt@FUSE_3.2"},
}


@path_based
@pytest.mark.parametrize("kind, version", FORMER, ids=lambda value: str(value))
def test_former_headers(work, transport, compiled, kind, version):
    """With a table of another size, or else the program would call fuse_main()."""
    source, by_hand = kind.split()[0], ["BY_HAND"] if "hand" in kind else []
    size = "TABLE_SIZE=(offsetof(struct fuse_operations,lseek)+sizeof(void*))"
    definitions = [f"FORMER={version}", *by_hand, *([] if source == "low" else [size])]
    program = compiled(source, version, *definitions)
    command_line = set() if kind == "path" else {"fuse_parse_cmdline@FUSE_3.0"}
    assert versioned(program) == FORMER[kind, version] | command_line
    works(compiled, work, transport, program)
    ends_by_signal(compiled, work, transport, program, SIGNALLED["main" if kind == "path" else kind])


@pytest.mark.transport("dev-clone-fd")
@pytest.mark.parametrize("version", [30, 32])
def test_former_custom_io(work, transport, compiled, version):
    program = compiled("low", version, f"FORMER={version}", "CUSTOM_IO")
    assert "fuse_session_custom_io@FUSE_3.0" in versioned(program)
    works(compiled, work, transport, program, allow_other=False)


# Tables of another size


TABLES = {
    "path": ("fuse_operations", "fallocate"),
    "low": ("fuse_lowlevel_ops", "readdirplus"),
}


@path_based
@pytest.mark.parametrize("kind", ["path", "path by hand", "low"])
@pytest.mark.parametrize("version", [30, 318])
def test_shorter_table(work, transport, compiled, kind, version):
    """As they were in 3.0: without lseek, so that the kernel says where data begin."""
    source, by_hand = kind.split()[0], ["BY_HAND"] if "hand" in kind else []
    table, last = TABLES[source]
    size = f"TABLE_SIZE=(offsetof(struct {table},{last})+sizeof(void*))"
    program = compiled(source, version, *by_hand, size)
    mount = works(compiled, work, transport, program, data_at=0)
    assert "older than the program" not in mount.log()


@path_based
@pytest.mark.parametrize("kind", ["path", "path by hand", "low"])
def test_longer_table(work, transport, compiled, kind):
    """Of a library that is still to come. It is said, and what is known works."""
    source, by_hand = kind.split()[0], ["BY_HAND"] if "hand" in kind else []
    size = f"TABLE_SIZE=(sizeof(struct {TABLES[source][0]})+64)"
    program = compiled(source, 318, *by_hand, size)
    mount = works(compiled, work, transport, program)
    assert "older than the program" in mount.log()
