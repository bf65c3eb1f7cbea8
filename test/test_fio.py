# SPDX-License-Identifier: GPL-2.0-only
"""fio writes blocks with checksums and reads them back."""

import json

import pytest

from fusetest.build import BUILD
from fusetest.child import run


def fio(directory, **settings):
    settings = {
        "name": "verify",
        "directory": directory,
        "ioengine": "sync",
        "verify": "crc32c",
        "verify_fatal": 1,
        "do_verify": 1,
        "output-format": "json",
        **settings,
    }
    command = ["fio", *(f"--{key}={value}" for key, value in settings.items())]
    output = run(command, timeout=300 * BUILD.slowdown, cwd="/").stdout
    report = json.loads(output[output.index("{") :])
    for job in report["jobs"]:
        assert job["error"] == 0, job
    return report["jobs"]


@pytest.mark.limit(320)
def test_crc32c_over_512_mib(d):
    jobs = fio(d, rw="randwrite", bs="64k", size="512m")
    assert sum(job["write"]["io_bytes"] for job in jobs) == 512 << 20
    assert sum(job["read"]["io_bytes"] for job in jobs) == 512 << 20
    # A guest's memory does not hold one for each transport.
    run(["sh", "-c", f"rm {d}/verify*"])


@pytest.mark.parametrize("block", ["4k", "1m"])
@pytest.mark.transport("dev-multi", "rings")
def test_crc32c_direct(d, block):
    jobs = fio(d, rw="randwrite", bs=block, size="32m", direct=1, numjobs=4)
    assert sum(job["read"]["io_bytes"] for job in jobs) == 4 * (32 << 20)


def test_crc32c_of_mixed_sizes(d):
    fio(d, rw="randwrite", bsrange="512-256k", bs_unaligned=1, size="64m", numjobs=2)
