#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
How fast passthrough_hp is over each transport, next to the tmpfs that it serves.

All contenders serve one folder and take turns, round after round, in an order that changes
from round to round. See README.md.
"""

import argparse
import contextlib
import copy
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, NamedTuple

import plot
import workloads
from commands import Failure, interrupts, run
from results import Results, as_markdown, as_text, readable, report
from neighbours import Neighbours
from servers import (
    checking_contenders,
    contenders,
    path_contenders,
    peer_contenders,
    pool_contenders,
    ring_contenders,
    unmodified_contenders,
    zero_copy_contenders,
)
from workloads import (
    CHECKED_WORKLOADS,
    PATH_WORKLOADS,
    POOL_WORKLOADS,
    RING_WORKLOADS,
    UNMODIFIED_WORKLOADS,
    WORKLOADS,
    ZERO_COPY_WORKLOADS,
)

HERE = Path(__file__).resolve().parent
ENABLED = Path("/sys/module/fuse/parameters/enable_uring")


class Mode(NamedTuple):
    """What is measured: who competes, at what, on how large files, and with which example."""

    contenders: Callable
    workloads: list
    size: str = "256M"
    program: str = "passthrough_hp"
    kernel: str = None  # if it takes a certain one


# By the option that asks for it.
MODES = {
    None: Mode(contenders, WORKLOADS),
    "zero-copy": Mode(zero_copy_contenders, ZERO_COPY_WORKLOADS, size="1G", kernel="7.3"),
    "pools": Mode(pool_contenders, POOL_WORKLOADS, kernel="7.3"),
    "rings": Mode(ring_contenders, RING_WORKLOADS, size="1G", kernel="7.2 with patches"),
    "unmodified": Mode(
        unmodified_contenders,
        UNMODIFIED_WORKLOADS,
        size="128M",
        program="passthrough_fh",
        kernel="7.3",
    ),
    "shared": Mode(
        checking_contenders,
        CHECKED_WORKLOADS,
        size="128M",
        program="shared_memory_ll",
        kernel="7.3 with patches",
    ),
    "path-based": Mode(path_contenders, PATH_WORKLOADS, program="passthrough"),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 s, fewer files")
    parser.add_argument("--rounds", type=positive, metavar="N", help="default 7")
    parser.add_argument("--seconds", type=positive, metavar="S", help="per figure, default 3")
    parser.add_argument("--only", default="", metavar="REGEX", help="only these workloads")
    modes = parser.add_mutually_exclusive_group()
    for name, mode in MODES.items():
        if mode.kernel:
            text = f"on Linux {mode.kernel}: see README.md"
            modes.add_argument(
                f"--{name}", action="store_const", dest="mode", const=name, help=text
            )
    modes.add_argument(
        "--path-based", type=Path, metavar="ROOT", help="against the libfuse3 of the Debian in ROOT"
    )
    parser.add_argument("--peer", type=Path, metavar="PATH", help="another passthrough_hp")
    parser.add_argument("--build", type=Path, metavar="DIR", help="default build, .build/release")
    parser.add_argument("--output", type=Path, metavar="DIR", default=HERE / "results")
    plan = parser.parse_args()
    plan.rounds = plan.rounds or (2 if plan.quick else 7)
    plan.seconds = plan.seconds or (1 if plan.quick else 3)
    # Each is a descriptor of the server's, of which it may have 20,000 or so.
    plan.files = 2000 if plan.quick else 5000
    for name in ("peer", "build", "output", "path_based"):
        path = getattr(plan, name)
        setattr(plan, name, path and path.resolve())
    if plan.path_based:
        plan.mode = "path-based"
    mode = MODES[plan.mode]
    plan.size = "256M" if plan.quick and mode.size == "1G" else mode.size
    try:
        pattern = re.compile(plan.only)
    except re.error as error:
        parser.error(f"--only: {error}")
    plan.workloads = [w for w in mode.workloads if any(pattern.search(row) for row in w.rows)]
    if not plan.workloads:
        names = "\n  ".join(row for workload in mode.workloads for row in workload.rows)
        parser.error(f"--only: '{plan.only}' is found in none of\n  {names}")
    return plan


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


# Before the run

def find_build(plan):
    """Programs to run. The build folder given, or the first of the usual ones that is built."""
    given = [plan.build] if plan.build else [HERE.parent / "build", HERE.parent / ".build/release"]
    name = MODES[plan.mode].program
    for folder in given:
        plan.program = folder / "example" / name
        plan.metadata = folder / "bench" / "metadata"
        plan.shared_memory = folder / "bench" / "shared_memory"
        if plan.program.exists() and plan.metadata.exists():
            plan.build = folder
            return
    places = " or ".join(str(folder) for folder in given)
    raise Failure(f"example/{name} and bench/metadata are not in {places}: see --build")


def check_build(plan):
    """Figures of a build that is not optimised would mislead."""
    path = plan.build / "meson-info" / "intro-buildoptions.json"
    if not path.exists():
        return
    options = {option["name"]: option["value"] for option in json.loads(path.read_text())}
    if options.get("optimization") in ("0", "1", "g") or options.get("b_sanitize") != "none":
        raise Failure(f"{plan.build} is not an optimised build: -Dbuildtype=release")


def check(plan):
    if os.geteuid() != 0:
        raise Failure("mounts a tmpfs and serves it for all users: run it as root")
    if not shutil.which("fio"):
        raise Failure("fio is not installed: apt-get install fio")
    if plan.peer and not os.access(plan.peer, os.X_OK):
        raise Failure(f"--peer: {plan.peer} is not a program")
    find_build(plan)
    check_build(plan)
    plan.output.mkdir(parents=True, exist_ok=True)
    if not ENABLED.exists() or ENABLED.read_text().strip() != "Y":
        print(f"FUSE does not offer io_uring here: echo 1 > {ENABLED}", file=sys.stderr)


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def describe(plan):
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    found = subprocess.run(git, capture_output=True, text=True, check=False)
    load = os.getloadavg()[0]
    if load >= 1:
        print(f"the machine is busy (load {load:.1f}): do not trust the figures, see README.md")
    return {
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "version": f"version {found.stdout.strip() or 'unknown'}",
        "program": plan.program.name,
        "machine": f"Linux {platform.release()}, {os.cpu_count()} × {cpu_model()}, "
        f"load before the run {load:.2f}",
        "fio": subprocess.check_output(["fio", "--version"], text=True).strip(),
    }


# The run

def empty_page_cache():
    """
    Else a guest's memory is soon full of what others have read and written, and whoever comes
    next pays for giving it back.
    """
    Path("/proc/sys/vm/drop_caches").write_text("1\n")


class Progress:
    """A table that grows, and on a terminal what is going on just now."""

    def __init__(self, columns, rows):
        self.columns = columns
        self.first = max(len(row) for row in rows)
        self.terminal = sys.stdout.isatty()

    def now(self, text):
        if self.terminal:
            print(f"\r\033[K{text}", end="", flush=True)

    def line(self, first, cells):
        self.now("")
        cells = "".join(f"{cell:>16}" for cell in cells)
        print(f"{first:<{self.first}}{cells}", flush=True)

    def row(self, row, unit, figures):
        self.line(row, [readable(figures[column], unit) for column in self.columns])


def measure_round(number, plan, columns, data, progress, scratch):
    """One figure for each workload and contender, of mounts that this round alone has."""
    first = number % len(columns)
    turns = columns[first:] + columns[:first]
    progress.line(f"round {number + 1} of {plan.rounds}", [column.name for column in columns])
    with contextlib.ExitStack() as mounts:
        servers = {}
        for column in columns:
            progress.now(f"mounting {column.name}")
            with interrupts.deferred():
                servers[column.name] = column.serve(scratch)
                mounts.callback(servers[column.name].close)
            if column.has_own_files:
                workloads.prepare(servers[column.name].path, plan, plan.workloads)
        pids = [server.process.pid for server in servers.values() if server.process]
        for workload in plan.workloads:
            found = {row: {} for row in workload.rows}
            for column in turns:
                progress.now(f"{workload.name}, {column.name}")
                server = servers[column.name]
                empty_page_cache()
                with Neighbours(pids) as neighbours:
                    figures, requests = workload.measure(server.path, plan)
                data["neighbours"].append(round(neighbours.share, 4))
                server.least += requests
                for row, figure in figures.items():
                    found[row][column.name] = figure
                    data["samples"][row][column.name].append(figure)
            for row, unit in workload.rows.items():
                progress.row(row, unit, found[row])
    for name, server in servers.items():
        note_statistics(number, name, server, data)


def note_statistics(number, name, server, data):
    if server.statistics:
        data["statistics"].setdefault(name, []).append(server.statistics)
    problem = server.problem()
    if problem:
        data["problems"].setdefault(name, f"in round {number + 1} {problem}")
        print(f"INVALID: {name}: {problem}", flush=True)


class Scratch:
    """A folder, with the tmpfs that everybody serves in it."""

    def __enter__(self):
        with interrupts.deferred():
            self.path = Path(tempfile.mkdtemp(prefix="fuse-bench-"))
            self.source = self.path / "source"
            self.source.mkdir()
            run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", self.source], 10)
        return self

    def __exit__(self, *error):
        with interrupts.deferred():
            run(["umount", self.source], 10)
            # Not a tree that something is still mounted in: then this fails.
            for entry in self.path.iterdir():
                entry.rmdir() if entry.is_dir() else entry.unlink()
            self.path.rmdir()


def warm_up(plan, columns, data, progress, scratch):
    """
    A round that does not count: a guest's memory takes shape when it is first used, and that
    would be charged to whoever comes first.
    """
    hurried = argparse.Namespace(**{**vars(plan), "seconds": 1})
    print("warming up; these figures do not count:")
    measure_round(0, hurried, columns, copy.deepcopy(data), progress, scratch)


def measure(plan):
    given = [plan.path_based] if plan.path_based else []
    columns = MODES[plan.mode].contenders(plan.program, *given)
    if not plan.mode and plan.peer:
        columns += peer_contenders(plan.peer)
    units = {row: unit for workload in plan.workloads for row, unit in workload.rows.items()}
    names = [column.name for column in columns]
    data = {
        "run": describe(plan),
        "columns": names,
        "units": units,
        "samples": {row: {name: [] for name in names} for row in units},
        "problems": {},
        "neighbours": [],
        "statistics": {},
    }
    progress = Progress(names, units)
    with Scratch() as scratch:
        progress.now("preparing files")
        workloads.prepare(scratch.source, plan, plan.workloads)
        if plan.mode:
            warm_up(plan, columns, data, progress, scratch)
        for number in range(plan.rounds):
            measure_round(number, plan, columns, data, progress, scratch)
    return Results(data)


# After the run

def write(results, output):
    data = {**results.data, **results.summary()}
    (output / "results.json").write_text(json.dumps(data, indent=1) + "\n")
    (output / "results.md").write_text(report(results, as_markdown))
    written = ["results.json", "results.md"]
    try:
        plot.draw(results, output / "plot.svg")
        written.append("plot.svg")
    except plot.Missing as error:
        print(f"no plot.svg: {error}")
    print(f"written to {output}: {', '.join(written)}")


def main():
    plan = parse_arguments()
    interrupts.install()
    try:
        check(plan)
        results = measure(plan)
    except (Failure, subprocess.CalledProcessError) as error:
        print(f"\nbench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted, everything is unmounted", file=sys.stderr)
        return 130
    print(f"\n{report(results, as_text)}")
    write(results, plan.output)
    return 1 if results.problems else 0


if __name__ == "__main__":
    sys.exit(main())
