# SPDX-License-Identifier: GPL-2.0-only
"""include/fuse_kernel.h says what the kernel's own linux/fuse.h says.

Each header's names are read from its text, a program that prints every one of them (the
value of a constant; type, offset and size of a member) is compiled against that header,
and what the two programs print is compared.
"""

import os
import re
import subprocess
import warnings
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
OURS = TOP / "include" / "fuse_kernel.h"
INSTALLED = Path("/usr/include/linux/fuse.h")

# What ours has and the kernel's has not, and why.
ADDITIONS = {
    "FUSE_COMPAT_INIT_IN_SIZE": "INIT's length up to 7.35, which the kernel never needs",
    "FUSE_HAS_IO_URING_BUFRING": "dialect B",
    "FUSE_URING_BUFRING": "dialect B",
    "FUSE_URING_PINNED_HEADERS": "dialect B",
    "FUSE_URING_PINNED_BUFFERS": "dialect B",
    "FUSE_URING_BUFRING_ZERO_COPY": "dialect B",
    "struct fuse_uring_bufring_cmd_req": "dialect B",
    "FUSE_HAS_IO_URING_SHARED_MEMORY": "shared memory",
    "FUSE_URING_ENT_SHARED_MEMORY": "shared memory",
    "FUSE_URING_MEMORY_ID": "shared memory",
    "FUSE_URING_MEMORY_OFFSET": "shared memory",
    "FUSE_URING_MEMORY_READ": "shared memory",
    "FUSE_URING_MEMORY_WRITE": "shared memory",
    "FUSE_IO_URING_CMD_ADD_MEMORY": "shared memory",
    "FUSE_IO_URING_CMD_REMOVE_MEMORY": "shared memory",
    "struct fuse_uring_cmd_req.memory": "shared memory",
    "struct fuse_uring_cmd_req.memory.id": "shared memory",
    "struct fuse_uring_cmd_req.memory.fd": "shared memory",
    "struct fuse_uring_ent_in_out.memory": "shared memory",
    "struct fuse_uring_ent_in_out.buf_id": "dialect B",
    "struct fuse_uring_ent_in_out.buf_id_padding": "dialect B",
}

# Constants whose low 32 bits alone must agree, and why.
LOW_32_BITS = {
    "FUSE_INIT_RESERVED": "the kernel's is a negative int, which would set flags2 as well",
}

# What older kernels' headers have and the newest has not, and why.
RETIRED = {
    "FUSE_NOTIFY_CODE_MAX": "the number of notification codes, no part of the protocol",
}

# How to call the function-like macros: {} is an argument, given the values that follow.
MACRO_CALLS = {
    "FUSE_REC_ALIGN": ("{}", (0, 1, 7, 8, 9, 4095)),
    "FUSE_DIRENT_ALIGN": ("{}", (0, 1, 7, 8, 9, 4095)),
    "FUSE_DIRENT_SIZE": ("(&(struct fuse_dirent){{.namelen = {}}})", (0, 1, 8, 255)),
    "FUSE_DIRENTPLUS_SIZE": (
        "(&(struct fuse_direntplus){{.dirent.namelen = {}}})",
        (0, 1, 8, 255),
    ),
    "FUSE_URING_MEMORY_ID": ("{}", (0, 1, 1 << 47, 1 << 48, (5 << 48) - 1, 65535 << 48)),
    "FUSE_URING_MEMORY_OFFSET": ("{}", (0, 1, 1 << 47, 1 << 48, (5 << 48) - 1, 65535 << 48)),
}

MINOR = "FUSE_KERNEL_MINOR_VERSION"

# Fields without a meaning: later protocols take them for new fields.
RESERVED = re.compile(r"^_*(padding|unused|dummy|spare|reserved)\d*$")

PROGRAM = r"""
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include "@header@"

#define TYPE(x) _Generic((x), char: "char", char *: "char[]", \
	int8_t: "s8", uint8_t: "u8", int16_t: "s16", uint16_t: "u16", \
	int32_t: "s32", uint32_t: "u32", int64_t: "s64", uint64_t: "u64", \
	uint8_t *: "u8[]", uint16_t *: "u16[]", uint32_t *: "u32[]", uint64_t *: "u64[]", \
	default: "aggregate")
#define CONSTANT(name, x) printf("%s\t0x%llx\n", name, (unsigned long long)(x))
#define STRUCT(s) printf(#s "\tsize %zu\n", sizeof(s))
#define MEMBER(s, m) printf(#s "." #m "\toffset %zu, size %zu, %s\n", offsetof(s, m), \
			    sizeof(((s *)0)->m), TYPE(((s *)0)->m))
#define FLEXIBLE(s, m) printf(#s "." #m "\toffset %zu, flexible, %zu, %s\n", \
			      offsetof(s, m), sizeof(((s *)0)->m[0]), TYPE(((s *)0)->m))

int main(void)
{
@body@
	return 0;
}
"""


class Names:
    """The names that a header defines, by kind."""

    def __init__(self, text):
        self.constants = []  # object-like macros and enumerators
        self.macros = []  # function-like macros
        self.structs = {}  # struct name -> [(member path, is flexible)]
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
        text = re.sub(r"//[^\n]*", " ", text).replace("\\\n", " ")
        self._take_macros(text)
        text = re.sub(r"^[ \t]*#.*$", "", text, flags=re.M)
        text = re.sub(r"\b_Static_assert\s*\(.*?\)\s*;", "", text, flags=re.S)
        self._tokens = re.findall(r'\w+|"[^"]*"|\S', text)
        while self._tokens:
            self._take_declaration()

    def _take_macros(self, text):
        pattern = r"^[ \t]*#[ \t]*define[ \t]+(\w+)(\([^)]*\))?[ \t]*(\S?)"
        for name, arguments, value in re.findall(pattern, text, flags=re.M):
            if arguments:
                self.macros.append(name)
            elif value:
                self.constants.append(name)

    def _next(self, *expected):
        token = self._tokens.pop(0)
        assert not expected or token in expected, f"{token!r} instead of {expected}"
        return token

    def _take_declaration(self):
        kind = self._next("struct", "enum")
        name = self._next()
        self._next("{")
        if kind == "enum":
            self._take_enumerators()
        else:
            self.structs[f"struct {name}"] = list(self._members(""))
        self._next(";")

    def _take_enumerators(self):
        while (name := self._next()) != "}":
            self.constants.append(name)
            while self._tokens[0] not in (",", "}"):
                self._next()
            if self._tokens[0] == ",":
                self._next()

    def _members(self, prefix):
        """Members up to the closing brace; those of an unnamed aggregate count as ours."""
        while self._tokens[0] != "}":
            inner = None
            words = [self._next()]
            if words[0] in ("struct", "union") and self._tokens[0] == "{":
                self._next()
                inner = list(self._members(""))
            while self._tokens[0] not in (";", "["):
                words.append(self._next())
            flexible = False
            while self._next("[", ";") == "[":
                flexible = self._tokens[0] == "]"
                while self._next() != "]":
                    pass
            name = words[-1] if inner is None or len(words) > 1 else None
            if name:
                yield prefix + name, flexible
            for path, inner_flexible in inner or ():
                yield prefix + (f"{name}." if name else "") + path, inner_flexible
        self._next("}")

    def probes(self):
        for name in self.constants:
            yield f'CONSTANT("{name}", {name});'
        for name in self.macros:
            if name not in MACRO_CALLS:
                pytest.fail(f"this test does not know how to call the macro {name}()")
            argument, values = MACRO_CALLS[name]
            for value in values:
                call = f"{name}({argument.format(value)})"
                yield f'CONSTANT("{name}({value})", {call});'
        for struct, members in self.structs.items():
            yield f"STRUCT({struct});"
            for path, flexible in members:
                yield f"{'FLEXIBLE' if flexible else 'MEMBER'}({struct}, {path});"


def facts(header, folder):
    """What a program compiled against the header prints: name -> fact."""
    names = Names(header.read_text())
    body = "\n".join("\t" + probe for probe in names.probes())
    folder.mkdir(exist_ok=True)
    source = folder / "facts.c"
    program = folder / "facts"
    source.write_text(PROGRAM.replace("@header@", str(header)).replace("@body@", body))
    compiler = os.environ.get("CC", "cc").split()
    # FUSE_REMOVEMAPPING_MAX_ENTRY wants the page size, which userspace's headers lack.
    command = [*compiler, "-std=gnu11", "-w", "-DPAGE_SIZE=4096", "-o", program, source]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    found = dict(line.split("\t") for line in printed.splitlines())
    assert len(found) > 300, f"only {len(found)} facts in {header}"
    return found


def is_addition(name):
    return name in ADDITIONS or re.split(r"[.(]", name)[0] in ADDITIONS


def same(name, ours, theirs):
    if name in LOW_32_BITS:
        return int(ours, 16) & 0xFFFFFFFF == int(theirs, 16) & 0xFFFFFFFF
    return ours == theirs


def differences(ours, theirs):
    """Everything in which our facts do not equal the newest kernel's."""
    for name, fact in theirs.items():
        if name not in ours:
            yield f"{name}: missing here, the kernel has {fact}"
        elif not same(name, ours[name], fact):
            yield f"{name}: {ours[name]} here, the kernel has {fact}"
    for name in ours.keys() - theirs.keys():
        if not is_addition(name):
            yield f"{name}: the kernel has no such thing, and ADDITIONS does not list it"
    macros = {name.split("(")[0] for name in ours}
    for name in ADDITIONS:
        if name in theirs:
            yield f"{name}: is in the kernel now, ADDITIONS must not list it"
        elif name not in ours and name not in macros:
            yield f"{name}: is in ADDITIONS but not in the header"


def differences_from_older(ours, theirs):
    """The same against an older kernel's header, of which ours is a later state."""
    if int(theirs[MINOR], 16) > int(ours[MINOR], 16):
        yield f"{MINOR}: the installed header is newer"
    for name, fact in theirs.items():
        if name == MINOR or name in RETIRED or RESERVED.match(name.split(".")[-1]):
            continue
        if name not in ours:
            yield f"{name}: missing here, the installed header has {fact}"
        elif not same(name, ours[name], fact):
            yield f"{name}: {ours[name]} here, the installed header has {fact}"


def differences_from_newer(ours, theirs):
    """The same against a kernel that is ahead of us: what both have must agree.

    What it has besides is no error here, or a release of Linux would break this project
    overnight; the test says so in a warning.
    """
    for name in sorted(ours.keys() & theirs.keys()):
        if name == MINOR or RESERVED.match(name.split(".")[-1]):
            continue
        grew = ours[name].startswith("size ") and theirs[name].startswith("size ")
        if not grew and not same(name, ours[name], theirs[name]):
            yield f"{name}: {ours[name]} here, the kernel has {theirs[name]}"


@pytest.fixture(scope="module")
def newest():
    """The kernel's header and how to compare with it."""
    # timeout(1) ends the download's whole process group.
    command = ["timeout", "90", "sh", TOP / "scripts" / "kernel-header.sh"]
    fetch = subprocess.run(command, capture_output=True, text=True)
    if fetch.returncode == 0:
        return Path(fetch.stdout.strip()), differences
    why = fetch.stderr.strip() or "the download took too long"
    if not INSTALLED.exists():
        pytest.fail(f"no kernel header to compare with: {why}")
    warnings.warn(
        f"compared with the older {INSTALLED} only, which lacks the newest structures:"
        f" {why}"
    )
    return INSTALLED, differences_from_older


@pytest.fixture(scope="module")
def our_facts(tmp_path_factory):
    return facts(OURS, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def kernel_facts(newest, tmp_path_factory):
    return facts(newest[0], tmp_path_factory.mktemp("kernel"))


def test_same_as_the_kernel(newest, our_facts, kernel_facts):
    _, compare = newest
    if compare is differences and int(kernel_facts[MINOR], 16) > int(our_facts[MINOR], 16):
        compare = differences_from_newer
        warnings.warn("the newest kernel's protocol is ahead of ours: only what both know was compared")
    found = list(compare(our_facts, kernel_facts))
    assert not found, "\n".join(["differs from the kernel's header:", *found])


# Ways to break a copy of our header, and the fact that must be reported for it.
BREAKAGES = {
    "flag value": ("FUSE_POSIX_ACL\t\t (1 << 20)", "FUSE_POSIX_ACL (1 << 21)", "FUSE_POSIX_ACL"),
    "opcode": ("FUSE_LSEEK = 46", "FUSE_LSEEK = 47", "FUSE_LSEEK"),
    "notification": ("FUSE_NOTIFY_DELETE = 6,", "", "FUSE_NOTIFY_DELETE"),
    "member size": ("uint64_t nlookup", "uint32_t nlookup", "struct fuse_forget_in.nlookup"),
    "sign": ("int32_t error", "uint32_t error", "struct fuse_out_header.error"),
    "order": (
        "\tuint32_t mode;\n\tuint32_t rdev;",
        "\tuint32_t rdev;\n\tuint32_t mode;",
        "struct fuse_mknod_in.mode",
    ),
    "missing struct": (
        "struct fuse_access_in {",
        "struct fuse_xaccess_in {",
        "struct fuse_access_in",
    ),
    "ioctl": ("FUSE_DEV_IOC_MAGIC, 1,", "FUSE_DEV_IOC_MAGIC, 4,", "FUSE_DEV_IOC_BACKING_OPEN"),
    "macro": ("sizeof(uint64_t) - 1) &", "sizeof(uint64_t)) &", "FUSE_REC_ALIGN(8)"),
}


@pytest.fixture(scope="module")
def kernel_like(our_facts):
    """What the kernel's facts are if ours are right."""
    return {name: fact for name, fact in our_facts.items() if not is_addition(name)}


@pytest.mark.parametrize("way", BREAKAGES)
def test_a_broken_header_is_noticed(way, kernel_like, tmp_path):
    before, after, name = BREAKAGES[way]
    text = OURS.read_text()
    assert before in text, "this breakage no longer applies"
    broken = tmp_path / "fuse_kernel.h"
    broken.write_text(text.replace(before, after, 1))
    found = list(differences(facts(broken, tmp_path / "build"), kernel_like))
    assert any(line.startswith(f"{name}:") for line in found), found


def test_an_undocumented_addition_is_noticed(our_facts, kernel_like):
    found = list(differences({**our_facts, "FUSE_INVENTED": "0x1"}, kernel_like))
    assert [line.split(":")[0] for line in found] == ["FUSE_INVENTED"]
