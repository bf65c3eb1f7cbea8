# SPDX-License-Identifier: GPL-2.0-only
"""
How much memory the kernel pins for buffer rings, and what a mount does without when it may not be as
much as was asked for: RLIMIT_MEMLOCK binds who has no CAP_IPC_LOCK.
"""

import os
import re
import time
from contextlib import closing

import pytest

from fusetest import pattern
from fusetest.build import BUILD
from fusetest.child import call, run
from fusetest.mount import Mount, mount_entry, possible_cpus

# Of a queue with the default depth: 8 buffers of 1 MiB, and 64 headers of 288 bytes in whole pages.
PAYLOAD_KIB = 8 * 1024
HEADERS_KIB = 20
ALL_KIB = (PAYLOAD_KIB + HEADERS_KIB) * possible_cpus()

PLAIN, HEADERS, ALL, ZERO_COPY = range(4)

NO_HEADERS = "pin-headers: Cannot allocate memory"
NO_PAYLOAD = "pin-payload: Cannot allocate memory"
AS_ZERO_COPY = "no io_uring as bufring, registered, headers pinned, zero-copy: "
AS_ALL = "no io_uring as bufring, registered, headers pinned: "
AS_HEADERS = "no io_uring as bufring, plain, headers pinned: "

# What is asked for under which limit, what comes of it, and what is logged on the way.
CASES = {
    "zero-copy": ("io_uring_zero_copy", 0, PLAIN, [AS_ZERO_COPY + NO_HEADERS]),
    "zero-copy-with-headers": (
        "io_uring_zero_copy",
        HEADERS_KIB * possible_cpus(),
        HEADERS,
        [AS_ZERO_COPY + NO_PAYLOAD],
    ),
    "all": ("io_uring,io_uring_pin=all", 0, PLAIN, [AS_ALL + NO_HEADERS]),
    "all-with-headers": ("io_uring,io_uring_pin=all", 1024, PLAIN, [AS_ALL + NO_PAYLOAD]),
    "headers": ("io_uring,io_uring_pin=headers", 0, PLAIN, [AS_HEADERS + NO_HEADERS]),
    "headers-as-many": (
        "io_uring,io_uring_pin=headers,io_uring_strict",
        HEADERS_KIB * possible_cpus(),
        HEADERS,
        [],
    ),
    "as-much-as-goes": ("io_uring", 0, PLAIN, [AS_ALL + NO_HEADERS]),
    "as-much-as-goes-with-headers": ("io_uring", 1024, HEADERS, [AS_ALL + NO_PAYLOAD]),
    "as-much-as-all": ("io_uring,io_uring_strict,io_uring_pin=all", ALL_KIB, ALL, []),
    "as-much-as-zero-copy": ("io_uring_zero_copy,io_uring_strict", ALL_KIB, ZERO_COPY, []),
    "none": ("io_uring,io_uring_strict,io_uring_pin=none", 0, PLAIN, []),
}

USED = {
    PLAIN: "(bufring, plain)",
    HEADERS: "(bufring, plain, headers pinned)",
    ALL: "(bufring, registered, headers pinned)",
    ZERO_COPY: "(bufring, registered, headers pinned, zero-copy)",
}

pytestmark = [pytest.mark.dialect("bufring"), pytest.mark.sanitize]


def limited(work, options, kib, **kwargs):
    """A mount whose server may lock so much memory, and has all other privileges of root."""
    prefix = ["prlimit", f"--memlock={kib * 1024}"]
    prefix += ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]
    return Mount(work, "dev-multi", options=[options], prefix=prefix, **kwargs)


def expected(rung):
    return {
        "transport": "io_uring",
        "dialect": "bufring",
        "pool": "registered" if rung >= ALL else "plain",
        "zero_copy": rung == ZERO_COPY,
    }


def use(mount):
    content = pattern.data(300_000)

    def body():
        (mount.path / "file").write_bytes(content)
        pattern.assert_same((mount.path / "file").read_bytes(), content)
        assert os.listdir(mount.path) == ["file"]
        os.unlink(mount.path / "file")

    call(body)


def ring_lines(log):
    """What a log says of rings, but for which of them it was: the first to fail is any."""
    lines = [line for line in log.splitlines() if "io_uring" in line]
    return [re.sub(r" \(ring \d+\)", "", line.removeprefix("fuse: ")) for line in lines]


@pytest.mark.parametrize("case", CASES)
def test_limit(work, case):
    options, kib, rung, reasons = CASES[case]
    with limited(work, options, kib, expect=expected(rung)) as mount:
        use(mount)
        *told, used = ring_lines(mount.log())
        assert told == reasons
        assert USED[rung] in used, used


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][3] and "much" not in case])
def test_limit_with_strict(work, case):
    """What was asked for by an option is not done without."""
    options, kib, _, reasons = CASES[case]
    mount = limited(work, f"{options},io_uring_strict", kib)
    result = run(mount.command, timeout=20 * BUILD.slowdown, check=False)
    assert result.returncode == 1 and mount_entry(mount.path) is None, result.stdout
    reason = reasons[0].partition(": ")[2]
    assert f"io_uring_strict: {reason}" in ring_lines(result.stdout), result.stdout


@pytest.mark.parametrize("options, rung", [("io_uring", ALL), ("io_uring_zero_copy", ZERO_COPY)])
def test_one_page_too_few(work, options, rung):
    """The limit is met to the page: memory is not charged twice, on trial and for good."""
    with limited(work, options, ALL_KIB, expect=expected(rung)) as mount:
        use(mount)
    with limited(work, options, ALL_KIB - 4, expect=expected(HEADERS)) as mount:
        use(mount)
        assert "pin-payload" in mount.log()


@pytest.mark.limit(400)
@pytest.mark.parametrize("ending", ["unmount", "kill", "abort"])
def test_all_is_given_back(work, ending):
    """One mount after the other under a limit that is enough for one."""
    for _ in range(10):
        with closing(when_there_is_memory(work)) as mount:
            use(mount)
            if ending == "kill":
                mount.process.kill()
                mount.exit_status, mount.expect = mount.wait(), None
            elif ending == "abort":
                mount.abort()


def when_there_is_memory(work):
    """A mount that is up. Rings end a little after their process: that takes some patience."""
    deadline = time.monotonic() + 20 * BUILD.slowdown
    while True:
        options = "io_uring_zero_copy,io_uring_strict"
        mount = limited(work, options, ALL_KIB, expect=expected(ZERO_COPY))
        try:
            mount.start()
            return mount
        except AssertionError:
            assert "Cannot allocate memory" in mount.log(), mount.log()
            assert time.monotonic() < deadline, "it is not given back"
            time.sleep(0.1)
