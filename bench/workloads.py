# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: fio on large files, and metadata.c on many small ones."""

import json
import time

from commands import Failure, run

METADATA_KINDS = ("stat", "open", "readdir", "create", "unlink")


class Fio:
    """One fio job description. Its figure is operations or bytes a second."""

    def __init__(self, pattern, block, direct, jobs, unit):
        self.pattern, self.block, self.direct, self.jobs = pattern, block, direct, jobs
        access = "direct" if direct else "buffered"
        self.name = f"{pattern} {block} {access} x{jobs}"
        self.rows = {self.name: unit}

    def command(self, directory, size, seconds):
        settings = {
            "name": "bench",
            "directory": directory,
            "filename_format": "data.$jobnum",
            "allow_file_create": 0,
            "ioengine": "sync",
            "rw": self.pattern,
            "bs": self.block,
            "direct": int(self.direct),
            "numjobs": self.jobs,
            "size": size,
            "time_based": 1,
            "runtime": seconds,
            "group_reporting": 1,
            "output-format": "json",
        }
        return ["fio", *(f"--{key}={value}" for key, value in settings.items())]

    def measure(self, directory, plan):
        """({row: figure}, requests that the server must have seen at the least)."""
        limit = 30 + 5 * plan.seconds
        text = run(self.command(directory, plan.size, plan.seconds), limit)
        job = json.loads(text[text.index("{") :])["jobs"][0]
        side = job["write" if "write" in self.pattern else "read"]
        figure = side["iops"] if self.rows[self.name] == "op/s" else side["bw_bytes"]
        # What is read through the page cache may be in it, or come in larger pieces.
        return {self.name: figure}, side["total_ios"] if self.direct else 0

    def prepare(self, source, plan):
        """Nothing: the files are the same for all, see prepare()."""


class Checked:
    """shared_memory.c: data that the server looks at. Its figure is bytes a second."""

    jobs = 1

    def __init__(self, pattern, size):
        self.pattern, self.size = pattern, size
        self.name = f"{pattern} {size >> 20}M direct, looked at"
        self.rows = {self.name: "B/s"}

    def measure(self, directory, plan):
        path = f"{directory}/data.0"
        command = [plan.shared_memory, self.pattern, path, str(plan.seconds), str(self.size)]
        found = json.loads(run(command, 30 + 5 * plan.seconds))
        return {self.name: found["rate"]}, found["requests"]

    def prepare(self, source, plan):
        """Nothing: the files are the same for all, see prepare()."""


class Metadata:
    """metadata.c; one run gives a row for each kind of operation."""

    def __init__(self, jobs):
        self.jobs = jobs
        self.name = f"metadata x{jobs}"
        self.rows = {f"{self.name} {kind}": "op/s" for kind in METADATA_KINDS}

    def command(self, step, directory, plan):
        tree = f"{directory}/metadata.{self.jobs}"
        return [plan.metadata, step, tree, str(self.jobs), str(plan.files)]

    def measure(self, directory, plan):
        found = json.loads(run(self.command("run", directory, plan), 120))
        # A look-up of each name and an open of each file are requests in any case.
        return {f"{self.name} {kind}": found[kind] for kind in METADATA_KINDS}, 2 * plan.files

    def prepare(self, source, plan):
        run(self.command("prepare", source, plan), 60)


class Listing:
    """One process lists a directory of very many files and looks at the size of each."""

    FILES = 100_000
    PASSES = 4
    jobs = 1
    name = "list 100,000 files"
    rows = {name: "op/s"}

    def measure(self, directory, plan):
        command = ["find", f"{directory}/listing", "-type", "f", "-size", "0", "-printf", "."]
        start = time.monotonic()
        for _ in range(self.PASSES):
            found = len(run(command, 60))
            if found != self.FILES:
                raise Failure(f"{found} names in {directory}/listing, not {self.FILES}")
        elapsed = time.monotonic() - start
        return {self.name: self.PASSES * self.FILES / elapsed}, self.PASSES

    def prepare(self, source, plan):
        folder = source / "listing"
        folder.mkdir()
        for number in range(self.FILES):
            (folder / f"file.{number}").touch()


WORKLOADS = (
    Fio("randread", "4k", True, 1, "op/s"),
    Fio("randread", "4k", True, 4, "op/s"),
    Fio("randwrite", "4k", True, 1, "op/s"),
    Fio("randread", "1M", True, 2, "B/s"),
    Fio("read", "1M", True, 1, "B/s"),
    Fio("randread", "1M", False, 2, "B/s"),
    Fio("read", "1M", False, 1, "B/s"),
    Fio("randwrite", "1M", True, 2, "B/s"),
    Fio("write", "1M", False, 1, "B/s"),
    Metadata(1),
    Metadata(4),
)


ZERO_COPY_WORKLOADS = (
    Fio("randread", "1M", True, 2, "B/s"),
    Fio("read", "1M", True, 2, "B/s"),
    Fio("randread", "1M", False, 2, "B/s"),
    Fio("read", "1M", False, 2, "B/s"),
    Fio("randwrite", "1M", True, 2, "B/s"),
)

RING_WORKLOADS = (*ZERO_COPY_WORKLOADS, Fio("write", "1M", False, 2, "B/s"))

UNMODIFIED_WORKLOADS = (
    *RING_WORKLOADS,
    Fio("randread", "4k", True, 1, "op/s"),
    Fio("randwrite", "4k", True, 1, "op/s"),
    Fio("randread", "4k", False, 1, "op/s"),
)

CHECKED_WORKLOADS = (Checked("read", 1 << 20), Checked("write", 1 << 20))

POOL_WORKLOADS = (Metadata(1), Metadata(4))

PATH_WORKLOADS = (
    Metadata(1),
    Metadata(8),
    Listing(),
    Fio("randread", "4k", True, 1, "op/s"),
    Fio("randwrite", "4k", True, 1, "op/s"),
    Fio("randread", "1M", True, 2, "B/s"),
    Fio("randwrite", "1M", True, 2, "B/s"),
    Fio("read", "1M", False, 1, "B/s"),
    Fio("write", "1M", False, 1, "B/s"),
)


def prepare(source, plan, workloads):
    """Puts onto the source what all contenders are going to work on: a file for each job."""
    jobs = max(workload.jobs for workload in workloads)
    settings = f"--rw=write --bs=1M --size={plan.size} --numjobs={jobs}".split()
    where = [f"--directory={source}", "--filename_format=data.$jobnum"]
    run(["fio", "--name=prepare", *where, *settings], 300)
    for workload in workloads:
        workload.prepare(source, plan)
