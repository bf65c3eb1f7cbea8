# SPDX-License-Identifier: GPL-2.0-only
"""The shared library's symbols against the golden file: neither more nor less."""

import re

import pytest

from fusetest import abi
from fusetest.build import BUILD
from fusetest.child import run

HINT = "remove it from test/abi/still_to_come.txt"


@pytest.fixture(scope="module")
def exported():
    """The library's dynamic symbols with their versions."""
    if BUILD.option("disable-libc-symbol-version", False):
        pytest.skip("built without symbol versions")
    output = run(["readelf", "--dyn-syms", "--wide", BUILD.dir / "lib" / "libfuse3.so.4"]).stdout
    symbols = {}
    for line in output.splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[4] == "GLOBAL" and fields[6] not in ("UND", "ABS"):
            symbols[re.match(r"([^@]+)(@*)(.*)", fields[7]).groups()] = fields[3]
    return symbols


def test_every_symbol_at_its_version(exported):
    missing = abi.symbols() - set(exported) - set(abi.still_to_come("symbol"))
    assert not missing, sorted(missing)


def test_nothing_else(exported):
    extra = set(exported) - abi.symbols() - set(abi.additions("symbol"))
    assert not extra, f"not in test/abi/additions.txt: {sorted(extra)}"


def test_additions(exported):
    """Each is there, and has a version that no other library with this name has."""
    additions = set(abi.additions("symbol"))
    assert additions and additions <= set(exported)
    assert all(version.startswith("FUSE_URING_") for _, _, version in additions)


def test_what_is_still_to_come(exported):
    """The list is no excuse for anything else, and shrinks."""
    listed = set(abi.still_to_come("symbol"))
    assert listed <= abi.symbols()
    there = listed & set(exported)
    assert not there, f"{sorted(there)}: {HINT}"


def test_all_are_functions(exported):
    kinds = set(exported.values())
    assert kinds == {"FUNC"}, kinds


def test_version_nodes(exported):
    """Programs look for these by name, also where they take no symbol of theirs."""
    output = run(["readelf", "--version-info", "--wide", BUILD.dir / "lib" / "libfuse3.so.4"]).stdout
    definitions = set(re.findall(r"Name: (FUSE_[\w.]+)", output))
    golden = {version for _, _, version in abi.symbols()}
    added = {version for _, _, version in abi.additions("symbol")}
    assert definitions == golden | added
