# SPDX-License-Identifier: GPL-2.0-only
"""The golden files of the interface, in test/abi."""

import re

from .build import SOURCE_ROOT

FOLDER = SOURCE_ROOT / "test" / "abi"
HEADERS = ["cuse_lowlevel.h", "fuse.h", "fuse_log.h", "fuse_lowlevel.h", "fuse_opt.h"]


def _lines(name, kind):
    """The words of all lines that begin with `kind`; none if there is no such file."""
    path = FOLDER / name
    if not path.exists():
        return []
    lines = map(str.split, path.read_text().splitlines())
    return [tuple(words[1:]) for words in lines if words and words[0] == kind]


def additions(kind):
    return _lines("additions.txt", kind)


def still_to_come(kind):
    return _lines("still_to_come.txt", kind)


def headers():
    """Those that are public and can be included by themselves, as far as they are there."""
    missing = {name for (name,) in still_to_come("header")}
    added = [name for (name,) in additions("header")]
    return [name for name in HEADERS if name not in missing] + added


def symbols():
    """(name, "@@" or "@", version) of each symbol, as other builds of the library have them."""
    lines = (FOLDER / "symbols.txt").read_text().splitlines()
    return {tuple(line.split()[:3]) for line in lines}


def macros():
    lines = (FOLDER / "constants.txt").read_text().splitlines()
    return {re.match(r"#define (\w+)", line)[1] for line in lines}


def functions():
    lines = (FOLDER / "prototypes.txt").read_text().splitlines()
    return {re.search(r"(\w+) \(", line)[1] for line in lines}
