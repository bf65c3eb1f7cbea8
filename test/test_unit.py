# SPDX-License-Identifier: GPL-2.0-only
"""Every program of BUILD/test/unit is a test."""

import os
from pathlib import Path

import pytest

from fusetest.build import BUILD, SOURCE_ROOT
from fusetest.child import run

pytestmark = pytest.mark.sanitize


def programs():
    folder = BUILD.dir / "test" / "unit"
    if not folder.is_dir():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and not path.suffix and os.access(path, os.X_OK)
    )


@pytest.mark.parametrize("name", programs())
def test_program(name, work):
    environment = {**os.environ, "TMPDIR": str(work)}
    command = [BUILD.program(f"test/unit/{name}")]
    run(command, timeout=60 * BUILD.slowdown, cwd=work, env=environment)


@pytest.mark.long
@pytest.mark.limit(1200)
def test_many_copies_of_buffers(work):
    """Five times as many random vectors as otherwise."""
    run([BUILD.program("test/unit/test_buf"), "100000"], timeout=200 * BUILD.slowdown, cwd=work)


def test_all_were_built():
    sources = {path.stem for path in Path(SOURCE_ROOT, "test", "unit").glob("test_*.c")}
    assert sources and sources <= set(programs())
