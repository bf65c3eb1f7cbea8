# SPDX-License-Identifier: GPL-2.0-only
"""Tests that have to fail where what they are about is broken on purpose."""

from pathlib import Path

import pytest

from fusetest import guest

if guest.inside():
    pytest.skip("this is a guest of the rig", allow_module_level=True)

HERE = Path(__file__).resolve().parent

pytestmark = [pytest.mark.long, pytest.mark.limit(4800)]


@pytest.mark.parametrize(
    "kernel, carrier", [("7.3", "zero-copy"), ("7.2+patches", "ring-zero-copy")]
)
def test_stale_memory_is_noticed(kernel, carrier):
    patch = HERE / "knocked_out" / f"linux-{kernel}-clearing.patch"
    whole = ["--kernel", kernel, "--cpus", "2", "--mem", "3072", "--timeout", "1800"]
    tests = [HERE / "test_stale_memory.py", f"--transports={carrier}", "-k", "end_of_file"]

    status, output = guest.run_pytest(whole, tests)
    assert status == 0 and "3 passed" in output, output
    status, output = guest.run_pytest([*whole, "--patch", patch], tests)
    assert status == 1, output
    assert "free memory's pattern" in output and " passed" not in output, output
