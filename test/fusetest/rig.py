# SPDX-License-Identifier: GPL-2.0-only
"""Modules of test/vm, which are no package: they find each other by their folder."""

import sys
from pathlib import Path

_FOLDER = str(Path(__file__).resolve().parents[1] / "vm")

sys.path.insert(0, _FOLDER)
import cache  # noqa: E402, F401
import console  # noqa: E402, F401
import sources  # noqa: E402, F401

sys.path.remove(_FOLDER)
