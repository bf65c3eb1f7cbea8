# SPDX-License-Identifier: GPL-2.0-only
"""What comes from a newer Debian: fetched once, and kept where the rig keeps its things, too."""

import hashlib
import os

import pytest

from .build import SOURCE_ROOT
from .child import run
from .rig import cache

SUITE = "trixie"


def fetched(kind, prefix, packages, timeout):
    """A folder that test/KIND/fetch has filled. Each list of packages has one of its own."""
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    folder = cache.root() / "debian" / f"{prefix}-{digest}"
    if folder.is_dir():
        return folder
    if os.environ.get("FUSE_VM_BUILD") == "0":
        pytest.skip(f"there is no {folder}, and FUSE_VM_BUILD=0 says not to make it")
    fetch = SOURCE_ROOT / "test" / kind / "fetch"
    run([fetch, SUITE, folder, *packages], timeout=timeout)
    return folder
