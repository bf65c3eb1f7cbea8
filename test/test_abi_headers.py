# SPDX-License-Identifier: GPL-2.0-only
"""The public headers against the golden files of abi/, for every compiler that is here."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fusetest import abi

ROOT = Path(__file__).resolve().parents[1]
INCLUDE = ROOT / "include"
GOLDEN = ROOT / "test" / "abi"

VERSIONS = [30, 31, 32, 33, 34, 35, 36, 39, 310, 311, 312, 314, 316, 317, 318]
CURRENT = 318

COMPILERS = {
    name: standard
    for name, standard in {
        "gcc": "c11",
        "clang": "c11",
        "g++": "c++17",
        "clang++": "c++17",
    }.items()
    if shutil.which(name)
}
C_COMPILERS = [name for name, standard in COMPILERS.items() if standard == "c11"]

HEADERS = abi.headers()
PRESENT = set(HEADERS) | {"fuse_common.h"}

# Macros and structures of headers that may be still to come.
HOME = {
    "CUSE_LOWLEVEL_H_": "cuse_lowlevel.h",
    "CUSE_UNRESTRICTED_IOCTL": "cuse_lowlevel.h",
    "FUSE_H_": "fuse.h",
    "FUSE_REGISTER_MODULE": "fuse.h",
    "fuse_main": "fuse.h",
    "fuse_new": "fuse.h",
    "fuse_config": "fuse.h",
    "fuse_operations": "fuse.h",
    "fuse_context": "fuse.h",
    "cuse_info": "cuse_lowlevel.h",
    "cuse_lowlevel_ops": "cuse_lowlevel.h",
}

# What layouts.txt does not tell: (offset, size) of members, and sizes of structures.
LOST_MEMBERS = {
    "fuse_args": {"argv": (8, 8), "allocated": (16, 4)},
    "fuse_buf": {"mem": (16, 8), "fd": (24, 4), "pos": (32, 8), "mem_size": (40, 8)},
    "fuse_loop_config_v1": {"clone_fd": (0, 4), "max_idle_threads": (4, 4)},
    "fuse_context": {"private_data": (24, 8), "umask": (32, 4)},
    "cuse_info": {"dev_info_argv": (16, 8), "flags": (24, 4)},
}
LOST_SIZES = {
    "fuse_args": 24,
    "fuse_file_info": 64,
    "fuse_buf": 48,
    "fuse_loop_config_v1": 8,
    "libfuse_version": 16,
    "fuse_context": 40,
    "cuse_info": 32,
    "cuse_lowlevel_ops": 88,
}


def here(name):
    return HOME.get(name, "fuse_common.h") in PRESENT


def write_config(folder, versioned):
    """libfuse_config.h as the build would write it."""
    text = (INCLUDE / "libfuse_config.h.in").read_text()
    for name, value in {"MAJOR": "3", "MINOR": "18", "HOTFIX": "3", "RC": ""}.items():
        text = text.replace(f"@FUSE_{name}_VERSION@", value)
    directive = "#define" if versioned else "#undef"
    (folder / "libfuse_config.h").write_text(text.replace("#mesondefine", directive))
    return folder


@pytest.fixture(scope="session")
def config():
    """The folder of the build's libfuse_config.h."""
    build = os.environ["FUSE_BUILD_DIR"]
    for folder in (Path(build), Path(build) / "include"):
        if (folder / "libfuse_config.h").exists():
            return folder
    pytest.fail(f"FUSE_BUILD_DIR={build} has no libfuse_config.h")


def compile_text(text, compiler, config, version=CURRENT, extra=()):
    """Compile, to nowhere; returns the compiler's output and whether it was happy."""
    language = "c++" if "++" in compiler else "c"
    command = [compiler, f"-std={COMPILERS[compiler]}", "-x", language, "-fsyntax-only"]
    command += ["-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{INCLUDE}", f"-I{config}"]
    if version is not None:
        command.append(f"-DFUSE_USE_VERSION={version}")
    run = subprocess.run(
        [*command, *extra, "-"], input=text + "\n", capture_output=True, text=True, check=False
    )
    return run.stderr, run.returncode == 0


def expect_success(text, compiler, config, version=CURRENT, extra=()):
    output, good = compile_text(text, compiler, config, version, extra)
    assert good, output


def include_all():
    return "".join(f'#include "{name}"\n' for name in HEADERS)


# Golden files


def constants():
    for line in (GOLDEN / "constants.txt").read_text().splitlines():
        name, parameters, value = re.match(r"#define (\w+)(\([^)]*\))? ?(.*)", line).groups()
        if name != "FUSE_USE_VERSION" and here(name):
            yield name, parameters, value


def prototypes():
    for line in (GOLDEN / "prototypes.txt").read_text().splitlines():
        header, prototype = line.split(": ", 1)
        if header in PRESENT:
            yield re.sub(r"/\*.*\*/", "", prototype).strip()


def prototype_name(prototype):
    return re.search(r"(\w+) \(", prototype).group(1)


MEMBER = re.compile(
    r"\t.*?(?:\(\*(?P<function>\w+)\)\(.*\)|(?P<name>\w+)(?P<array>\[\d+\])?(?::(?P<bits>\d+))?)"
    r";\s+/\*\s+(?P<offset>\d+)(?::\s*(?P<bit>\d+))?\s+(?P<size>\d+) \*/"
)


def layouts():
    """Yields (structure, members, size): size is None where the file has lost it."""
    blocks = re.findall(r"^struct (\w+) \{\n(.*?)(?=^struct |^union |\Z)",
                        (GOLDEN / "layouts.txt").read_text(), re.M | re.S)
    for name, body in blocks:
        members = [match.groupdict() for match in map(MEMBER.match, body.splitlines()) if match]
        footer = re.search(r"size: (\d+), cachelines: \d+, members: (\d+)", body)
        whole = footer and int(footer.group(2)) == len(members)
        size = int(footer.group(1)) if whole else LOST_SIZES.get(name)
        yield name, members, size


def added_bits():
    """Bit-fields that take their room from unused ones: (structure, name) to (start, count)."""
    found = {}
    for line in (GOLDEN / "additions.txt").read_text().splitlines():
        words = line.split()
        if words[0] == "bits":
            _, structure, name, place, count = words
            offset, _, bit = place.partition(":")
            found[structure, name] = 8 * int(offset) + int(bit), int(count)
    return found


# Tests


def test_headers_are_there():
    """All but those that are said to be still to come, and of these none."""
    there = {path.name for path in INCLUDE.glob("*.h")} - {"fuse_kernel.h"}
    wanted = set(abi.headers()) | {"fuse_common.h"}
    assert there == wanted, "test/abi/still_to_come.txt says otherwise"


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_no_other_macros(compiler, config):
    command = [compiler, "-E", "-dM", f"-I{INCLUDE}", f"-I{config}", "-DFUSE_USE_VERSION=318", "-"]
    run = subprocess.run(command, input=include_all(), capture_output=True, text=True, check=True)
    ours = set(re.findall(r"^#define ((?:LIB|lib)?(?:FUSE|fuse|CUSE|cuse)_\w*)", run.stdout, re.M))
    own = {"LIBFUSE_CONFIG_H_", "LIBFUSE_BUILT_WITH_VERSIONED_SYMBOLS"}
    additions = {name for (name,) in abi.additions("macro")}
    assert ours - abi.macros() - own == additions


def test_no_other_functions(config, tmp_path):
    listing = tmp_path / "prototypes"
    command = ["gcc", "-fsyntax-only", "-aux-info", listing, f"-I{INCLUDE}", f"-I{config}"]
    command += ["-DFUSE_USE_VERSION=318", "-x", "c", "-"]
    subprocess.run(command, input=include_all(), text=True, check=True)
    lines = [line for line in listing.read_text().splitlines() if f"/* {INCLUDE}/" in line]
    ours = {prototype_name(line) for line in lines}
    additions = {name for name, _, _ in abi.additions("symbol")}
    assert ours - abi.functions() == additions


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_headers_compile(compiler, version, config):
    for name in HEADERS:
        expect_success(f'#include "{name}"\n#include "{name}"\n', compiler, config, version)
    expect_success(include_all(), compiler, config, version)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("version, words", [(None, "not defined"), (26, "too old"), (29, "too old")])
def test_interface_version_is_checked(compiler, version, words, config):
    output, good = compile_text('#include "fuse_lowlevel.h"\n', compiler, config, version)
    assert not good
    assert "FUSE_USE_VERSION" in output and words in output


@pytest.mark.parametrize("compiler", COMPILERS)
def test_common_header_is_not_for_direct_inclusion(compiler, config):
    output, good = compile_text('#include "fuse_common.h"\n', compiler, config)
    assert not good
    assert "direct inclusion" in output


@pytest.mark.parametrize("compiler", COMPILERS)
def test_written_out_interface_version(compiler, config):
    text = "#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)\n" + include_all()
    expect_success(text, compiler, config, version=None)


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_constants(compiler, config):
    lines = [include_all()]
    for name, parameters, value in constants():
        lines.append(f"#ifndef {name}\n#error {name} is missing\n#endif")
        if value and not parameters and not value.startswith("{"):
            golden = value.replace("FUSE_MAKE_VERSION", "golden_version")
            lines.append(f'_Static_assert(({name}) == ({golden}), "{name}");')
            lines.append(
                f"_Static_assert(__builtin_types_compatible_p(__typeof__({name}),"
                f' __typeof__({golden})), "type of {name}");'
            )
    lines.insert(0, "#define golden_version(major, minor) ((major) * 100 + (minor))")
    assert len(lines) > 100
    expect_success("\n".join(lines), compiler, config, extra=["-include", "stddef.h"])


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_macros(compiler, config):
    """Macros that are no numbers expand to the same tokens."""

    def squeeze(text):
        return re.sub(r"\s", "", text)

    command = [compiler, "-E", "-dM", f"-I{INCLUDE}", f"-I{config}", "-DFUSE_USE_VERSION=318", "-"]
    run = subprocess.run(command, input=include_all(), capture_output=True, text=True, check=True)
    ours = {squeeze(line.removeprefix("#define")) for line in run.stdout.splitlines()}
    wanted = [c for c in constants() if c[1] or c[2].startswith("{")]
    assert len(wanted) >= 5
    for name, parameters, value in wanted:
        assert squeeze(name + (parameters or "") + value) in ours


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_layouts(compiler, config):
    lines = ["#include <stddef.h>", include_all()]
    seen = 0

    def member(structure, name, offset, size):
        what = f"{structure}.{name}"
        lines.append(
            f'_Static_assert(offsetof(struct {structure}, {name}) == {offset}, "offset of {what}");'
            f"_Static_assert(sizeof(((struct {structure} *)0)->{name}) == {size},"
            f' "size of {what}");'
        )

    for structure, members, size in layouts():
        if not here(structure):
            continue
        seen += 1
        for m in members:
            if not m["bits"]:
                member(structure, m["function"] or m["name"], m["offset"], m["size"])
        if size:
            lines.append(
                f'_Static_assert(sizeof(struct {structure}) == {size}, "size of {structure}");'
            )
    for structure, members in LOST_MEMBERS.items():
        for name, (offset, size) in members.items() if here(structure) else ():
            member(structure, name, offset, size)
    for structure, size in LOST_SIZES.items():
        if here(structure):
            lines.append(f'_Static_assert(sizeof(struct {structure}) == {size}, "size of {structure}");')
    assert seen >= 12
    expect_success("\n".join(lines), compiler, config)


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_bit_fields(compiler, config, tmp_path):
    """A bit-field has no offset to ask for: set it, and see which bits of the memory change."""
    added = added_bits()
    checks = [
        f"CHECK({structure}, {name}, {start}, {count});"
        for (structure, name), (start, count) in added.items()
    ]
    for structure, members, _ in layouts():
        if not here(structure):
            continue
        for m in members:
            if m["bits"] and (structure, m["name"]) not in added:
                start = 8 * int(m["offset"]) + int(m["bit"])
                checks.append(f"CHECK({structure}, {m['name']}, {start}, {m['bits']});")
    assert len(checks) >= 15
    text = include_all() + """
#include <stdio.h>
#include <string.h>
static int failures;
static void compare(const char *what, const unsigned char *memory, unsigned long bits,
		    unsigned long start, unsigned long count)
{
	for (unsigned long i = 0; i < bits; i++) {
		int is = memory[i / 8] >> i % 8 & 1, should = i >= start && i < start + count;
		if (is != should) {
			printf("%s: bit %lu\\n", what, i);
			failures++;
		}
	}
}
#define CHECK(structure, name, start, count)						\\
	do {										\\
		union { struct structure s; unsigned char memory[sizeof(struct structure)]; } u; \\
		memset(&u, 0, sizeof(u));						\\
		u.s.name = ~u.s.name;							\\
		compare(#structure "." #name, u.memory, 8 * sizeof(u), start, count);	\\
	} while (0)
int main(void)
{
""" + "\n".join(checks) + "\nreturn failures != 0;\n}\n"
    program = tmp_path / "bits"
    command = [compiler, "-std=gnu11", "-w", f"-I{INCLUDE}", f"-I{config}"]
    command += ["-DFUSE_USE_VERSION=318", "-x", "c", "-", "-o", str(program)]
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    run = subprocess.run([program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_prototypes(compiler, config):
    wanted = list(prototypes())
    names = [prototype_name(prototype) for prototype in wanted]
    assert len(wanted) >= 90
    declared = "\n".join(f"(void)&{name};" for name in names)
    text = f"{include_all()}\nvoid use(void);\nvoid use(void)\n{{\n{declared}\n}}\n"
    expect_success(text, compiler, config)
    expect_success("\n".join([include_all(), *wanted]), compiler, config,
                   extra=["-Wno-unused-function"])


def uses_for(version, versioned):
    """What a caller of this interface may write."""
    args = "struct fuse_session *se, struct fuse_custom_io *io, struct fuse_args *args"
    lines = [f"void use({args});", f"void use({args})", "{"]
    lines.append("struct fuse_cmdline_opts opts; fuse_parse_cmdline(args, &opts);")
    lines.append("struct fuse_lowlevel_ops ops = {0}; (void)fuse_session_new(args, &ops, sizeof(ops), 0);")
    if version < 32:
        lines.append("int (*loop)(struct fuse_session *, int) = fuse_session_loop_mt_31;")
        lines.append("fuse_session_loop_mt(se, 1); (void)loop;")
    elif version < 312:
        lines.append("struct fuse_loop_config loop = { .clone_fd = 1, .max_idle_threads = 2 };")
        lines.append("fuse_session_loop_mt(se, &loop);")
    else:
        lines.append("struct fuse_loop_config *loop = fuse_loop_cfg_create();")
        lines.append("struct fuse_loop_config_v1 v1 = { 1, 2 };")
        lines.append("fuse_loop_cfg_convert(loop, &v1); fuse_session_loop_mt(se, loop);")
    lines.append("fuse_session_custom_io(se, io, 3);" if version < 317 else
                 "fuse_session_custom_io(se, io, sizeof(*io), 3);")
    command = "int" if version < 35 else "unsigned int"
    lines.append(
        "_Static_assert(__builtin_types_compatible_p(__typeof__(ops.ioctl), "
        f"void (*)(fuse_req_t, fuse_ino_t, {command}, void *, struct fuse_file_info *, "
        'unsigned, const void *, size_t, size_t)), "ioctl");'
    )
    lines.append("}")
    return '#include "fuse_lowlevel.h"\n' + "\n".join(lines)


def called_symbols(text, compiler, config, version, tmp_path):
    output = tmp_path / "use.o"
    command = [compiler, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-c", "-x", "c", "-"]
    command += [f"-I{INCLUDE}", f"-I{config}", f"-DFUSE_USE_VERSION={version}", "-o", str(output)]
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    run = subprocess.run(["nm", "-u", output], capture_output=True, text=True, check=True)
    return {line.split()[1] for line in run.stdout.splitlines()}


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
def test_selection_by_interface_version(version, versioned, tmp_path):
    config = write_config(tmp_path, versioned)
    for compiler in C_COMPILERS:
        called = called_symbols(uses_for(version, versioned), compiler, config, version, tmp_path)
        old = version < 312
        loop = "fuse_session_loop_mt_31" if version < 32 else \
               "fuse_session_loop_mt_32" if old else \
               "fuse_session_loop_mt" if versioned else "fuse_session_loop_mt_312"
        cmdline = "fuse_parse_cmdline" if versioned else \
                  "fuse_parse_cmdline_30" if old else "fuse_parse_cmdline_312"
        io = "fuse_session_custom_io_30" if version < 317 else "fuse_session_custom_io_317"
        assert {loop, cmdline, io, "fuse_session_new_versioned"} <= called


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_loop_config_is_opaque(compiler, config):
    text = '#include "fuse_lowlevel.h"\nextern int size[sizeof(struct fuse_loop_config)];\n'
    assert compile_text(text, compiler, config, 311)[1]
    assert not compile_text(text, compiler, config, 312)[1]


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_additions(compiler, config):
    """Statistics are laid out for good: counters grow at the end, of both structures at once."""
    lines = ["#include <stddef.h>", '#include "fuse_lowlevel.h"']
    counters = """requests replies errors bytes_read bytes_written zero_copied_requests
        zero_copied_bytes enters commits polls_hit polls_missed handed_over
        linked broken unlinked copied paged pool_bytes copied_bytes copy_reasons""".split()
    counters += [None] * 15 + ["shared_requests", "shared_bytes"]
    for index, name in enumerate(counters):
        if not name:
            continue  # the rest of the reasons
        lines.append(
            f'_Static_assert(offsetof(struct fuse_transport_stats, {name}) == {8 * index}, "{name}");'
        )
    members = {"transport": 0, "dialect": 16, "zero_copy": 32, "queues": 36, "pool": 40, "total": 64}
    for name, offset in members.items():
        lines.append(
            f'_Static_assert(offsetof(struct fuse_session_stats, {name}) == {offset}, "{name}");'
        )
    expect_success("\n".join(lines), compiler, config)
