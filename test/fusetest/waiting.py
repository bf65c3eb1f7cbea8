# SPDX-License-Identifier: GPL-2.0-only
"""For what comes about by itself, in other processes or the kernel."""

import time

from fusetest.build import BUILD


def eventually(condition, what="what is waited for", seconds=20):
    """The first true value of condition(). Slower builds and machines have more time."""
    deadline = time.monotonic() + seconds * BUILD.slowdown
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)
    return value
