# SPDX-License-Identifier: GPL-2.0-only
"""What is built and installed is what programs written for libfuse 3.18 expect."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fusetest import abi
from fusetest.build import BUILD, SOURCE_ROOT
from fusetest.child import run

VERSIONS = [30, 31, 32, 35, 312, 314, 317, 318]

PROGRAM = r"""
#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>
#include <stdio.h>

int main(void)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops = { .init = NULL };
	struct fuse_session *se;

	fuse_opt_add_arg(&args, "program");
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se)
		return 1;
	printf("%s\n", fuse_pkgversion());
	fuse_session_destroy(se);
	fuse_opt_free_args(&args);
	return 0;
}
"""


def compilers():
    found = []
    for compiler, language in (("gcc", "c"), ("clang", "c"), ("g++", "c++"), ("clang++", "c++")):
        if shutil.which(compiler):
            found.append((compiler, "-std=c11" if language == "c" else "-std=c++17", language))
    return found


@pytest.fixture(scope="module")
def installed(session_work):
    """The build, installed into a folder of its own."""
    target = session_work / "installed"
    run(["meson", "install", "-C", BUILD.dir, "--no-rebuild", "--destdir", target])
    return target


def library_folder(installed):
    return next(installed.rglob("libfuse3.so")).parent


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("compiler", compilers(), ids=lambda c: c[0])
def test_headers_alone(installed, compiler, version):
    """Each header compiles by itself, as C11 and as C++17, for every interface version."""
    program, standard, language = compiler
    folder = next(installed.rglob("fuse_lowlevel.h")).parent
    for header in abi.headers():
        source = f"#define FUSE_USE_VERSION {version}\n#include <{header}>\n#include <{header}>\n"
        command = [program, standard, "-x", language, "-fsyntax-only", "-Wall", "-Wextra"]
        command += ["-Werror", "-pedantic", "-D_FILE_OFFSET_BITS=64", "-I", folder, "-"]
        command = list(map(str, command))
        result = subprocess.run(command, input=source, capture_output=True, text=True)
        assert result.returncode == 0, f"{header}:\n{result.stderr}"


@pytest.mark.parametrize(
    "text, words",
    [
        ("#include <fuse_common.h>", "fuse_lowlevel.h"),
        ("#define FUSE_USE_VERSION 25\n#include <fuse_lowlevel.h>", "FUSE_USE_VERSION"),
    ],
)
def test_wrong_use_of_headers(installed, text, words):
    folder = next(installed.rglob("fuse_lowlevel.h")).parent
    command = ["gcc", "-fsyntax-only", "-D_FILE_OFFSET_BITS=64", "-I", folder, "-xc", "-"]
    result = subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True)
    assert result.returncode != 0 and "#error" in result.stderr and words in result.stderr


def test_so_name():
    output = run(["readelf", "-d", BUILD.dir / "lib" / "libfuse3.so.4"]).stdout
    assert "[libfuse3.so.4]" in output
    assert "RPATH" not in output and "RUNPATH" not in output


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_installed_library(installed, work, static):
    """pkg-config finds it, a program compiles against it and runs."""
    if BUILD.sanitizer:
        pytest.skip("a program built without the sanitizer cannot use a library built with it")
    (work / "program.c").write_text(PROGRAM)
    folder = library_folder(installed)
    environment = {
        **os.environ,
        "PKG_CONFIG_PATH": str(folder / "pkgconfig"),
        "PKG_CONFIG_LIBDIR": str(folder / "pkgconfig") + ":" + default_pkgconfig_path(),
        "PKG_CONFIG_SYSROOT_DIR": "",
        "LD_LIBRARY_PATH": str(folder),
    }
    prefix = BUILD.option("prefix", "/usr/local")
    define = f"--define-variable=prefix={installed}{prefix}"
    command = ["pkg-config", define, "--cflags", "--libs", "fuse3"]
    flags = run([*command, *(["--static"] if static else [])], env=environment).stdout.split()
    assert "-lfuse3" in flags
    assert any(flag.endswith("/fuse3") for flag in flags if flag.startswith("-I"))
    if static:
        at = flags.index("-lfuse3")
        flags[at : at + 1] = ["-Wl,-Bstatic", "-lfuse3", "-Wl,-Bdynamic"]
    compiler = ["gcc", "-Wall", "-Werror", "program.c", "-o", "program"]
    run([*compiler, *flags], cwd=work, env=environment)
    assert run([work / "program"], env=environment).stdout.strip() == "3.18.3"
    assert run(["pkg-config", "--modversion", "fuse3"], env=environment).stdout.strip() == "3.18.3"


def default_pkgconfig_path():
    return run(["pkg-config", "--variable", "pc_path", "pkg-config"]).stdout.strip()


def test_installed_files(installed):
    names = {str(path.relative_to(installed)) for path in installed.rglob("*")}
    for wanted in (
        r"include/fuse3/fuse_lowlevel\.h$",
        r"include/fuse3/libfuse_config\.h$",
        r"libfuse3\.so\.4$",
        r"libfuse3\.so\.3\.18\.3$",
        r"libfuse3\.a$",
        r"pkgconfig/fuse3\.pc$",
        r"bin/fusermount3$",
    ):
        assert any(re.search(wanted, name) for name in names), wanted
    assert not any(name.endswith("fuse_kernel.h") for name in names)
    helper = next(installed.rglob("fusermount3"))
    if BUILD.option("useroot", True):
        assert helper.stat().st_mode & 0o7777 == 0o4755


def test_every_source_file_names_its_licence():
    missing = []
    for room in ("lib", "include", "util", "example", "test", "bench", "scripts"):
        for path in Path(SOURCE_ROOT, room).rglob("*"):
            if path.suffix in (".c", ".h", ".py", ".sh", ".build"):
                head = path.read_text(errors="replace").split("\n", 3)[:2]
                if not any("SPDX-License-Identifier: " in line for line in head):
                    missing.append(str(path.relative_to(SOURCE_ROOT)))
    assert not missing
