# SPDX-License-Identifier: GPL-2.0-only
"""From figures to tables: medians, ratios, targets; as text and as Markdown."""

import statistics
from dataclasses import dataclass

from workloads import UNMODIFIED_WORKLOADS

# Which columns are compared: the first as a multiple of the second.
COMPARISONS = (
    ("uring", "dev"),
    ("uring", "uring, no poll"),
    ("uring, no poll", "dev"),
    ("uring", "tmpfs"),
    ("uring", "peer uring"),
    ("dev", "peer dev"),
    ("dev", "theirs"),
    ("uring", "theirs"),
    ("zero-copy", "pool"),
    ("zero-copy", "per entry"),
    ("zero-copy", "unlinked"),
    ("registered", "pool"),
    ("pool", "per entry"),
    ("two buffers", "per entry"),
    ("ring", "per entry"),
    ("pinned", "per entry"),
    ("pinned", "ring"),
    ("zero-copy ring", "per entry"),
    ("zero-copy ring", "pinned"),
    *((f"{name} shared", f"{name} pool") for name in ("store", "looks")),
    *((f"{name} zc", name) for name in ("fh", "ll", "looks", "memory")),
)


@dataclass
class Target:
    row: str
    contender: str
    base: str
    least: float


TARGETS = (
    Target("randread 4k direct x1", "uring", "uring, no poll", 2.5),
    Target("randread 4k direct x1", "uring", "dev", 3.0),
    Target("randread 4k direct x4", "uring", "dev", 1.8),
    Target("randread 1M direct x2", "uring", "tmpfs", 0.55),
    *(
        Target(row, "zero-copy", base, least)
        for base in ("pool", "per entry")
        for row, least in (
            ("randread 1M direct x2", 1.35),
            ("read 1M direct x2", 1.3),
            ("randread 1M buffered x2", 1.15),
            ("read 1M buffered x2", 1.1),
            ("randwrite 1M direct x2", 1.1),
        )
    ),
    Target("randread 1M direct x2", "zero-copy", "unlinked", 1.3),
    *(
        Target(row, contender, "per entry", least)
        for row, *all_least in (
            ("randread 1M direct x2", 1.1, 1.35),
            ("read 1M direct x2", 1.04, 1.15),
            ("randread 1M buffered x2", 1.08, 1.15),
            ("read 1M buffered x2", 1.06, 1.1),
            ("randwrite 1M direct x2", 1.0, 1.0),
            ("write 1M buffered x2", 1.0, 1.0),
        )
        for contender, least in zip(("pinned", "zero-copy ring"), all_least)
    ),
    *(
        Target(f"metadata x{jobs} {kind}", "two buffers", "per entry", 0.95)
        for jobs in (1, 4)
        for kind in ("stat", "open", "readdir", "create", "unlink")
    ),
)


# Of examples that know nothing of zero-copy: with the option and without.
_ROWS = [row for workload in UNMODIFIED_WORKLOADS for row in workload.rows]
TARGETS += (
    Target("randread 1M direct x2", "fh zc", "fh", 1.3),
    Target("read 1M direct x2", "fh zc", "fh", 1.3),
    *(
        Target(row, f"{name} zc", name, 0.97)
        for row in _ROWS
        if " 4k " in row
        for name in ("fh", "ll")
    ),
    *(Target(row, f"{name} zc", name, 0.97) for row in _ROWS for name in ("looks", "memory")),
)

# Of a server that looks at the data.
TARGETS += tuple(
    Target(f"{pattern} 1M direct, looked at", f"{name} shared", f"{name} pool", 1.4)
    for name in ("store", "looks")
    for pattern in ("read", "write")
)

# Of a program on the path-based interface, with another library and with ours.
TARGETS += (
    *(
        Target(f"metadata x{jobs} {kind}", contender, "theirs", least)
        for contender, jobs, least in (("dev", 1, 1.0), ("dev", 8, 1.2), ("uring", 8, 2.0))
        for kind in ("stat", "open", "readdir", "create", "unlink")
    ),
    *(
        Target(row, "dev", "theirs", 1.0)
        for row in (
            "list 100,000 files",
            "randread 4k direct x1",
            "randwrite 4k direct x1",
            "randread 1M direct x2",
            "randwrite 1M direct x2",
            "read 1M buffered x1",
            "write 1M buffered x1",
        )
    ),
)


@dataclass
class Spread:
    """A median, and the distance between the quartiles."""

    median: float
    range: float
    low: float
    high: float


def spread(values):
    if len(values) < 2:
        return Spread(values[0], 0, values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, high - low, low, high)


class Results:
    """
    Everything that a run has found out; `data` is what results.json holds:

    columns: names of the contenders
    units: "op/s" or "B/s" by row
    samples: a list of figures, one per round, by row and column
    problems: by column, why its figures do not count
    neighbours: what other programs took of all CPUs, 0 to 1, one per measurement
    run: what is to be known about machine and run
    statistics: the servers' own, by column, one per round
    """

    def __init__(self, data):
        self.data = data
        self.columns, self.units = data["columns"], data["units"]
        self.samples, self.problems = data["samples"], data["problems"]

    def rows(self):
        return list(self.samples)

    def valid(self, *columns):
        return all(column in self.columns and column not in self.problems for column in columns)

    def figure(self, row, column):
        """None if the column's figures do not count."""
        return spread(self.samples[row][column]) if self.valid(column) else None

    def ratio(self, row, column, base):
        """Of figures that belong to one round; None if one of the two does not count."""
        if row not in self.samples or not self.valid(column, base):
            return None
        figures = self.samples[row]
        return spread([a / b for a, b in zip(figures[column], figures[base])])

    def comparisons(self):
        return [pair for pair in COMPARISONS if set(pair) <= set(self.columns)]

    def targets(self):
        """Pairs of a target and its ratio, which is None if there is no telling."""
        return [
            (target, self.ratio(target.row, target.contender, target.base))
            for target in TARGETS
            if target.row in self.samples and {target.contender, target.base} <= set(self.columns)
        ]

    def summary(self):
        """For results.json: what else could be computed from the samples."""
        return {
            "ratios": {
                row: {
                    f"{column} / {base}": found and round(found.median, 4)
                    for column, base in self.comparisons()
                    for found in [self.ratio(row, column, base)]
                }
                for row in self.rows()
            },
            "targets": [
                {
                    "row": target.row,
                    "ratio": f"{target.contender} / {target.base}",
                    "least": target.least,
                    "found": found and round(found.median, 4),
                    "verdict": verdict(target, found),
                }
                for target, found in self.targets()
            ],
        }


def verdict(target, found):
    if found is None:
        return "invalid"
    return "met" if found.median >= target.least else "missed"


# Tables, as lists of rows of text; the first row is the heading

INVALID = "invalid"


def readable(value, unit):
    if unit == "B/s":
        return f"{value / 1e9:.2f} GB/s" if value >= 1e8 else f"{value / 1e6:.1f} MB/s"
    return f"{value / 1e6:.2f} M/s" if value >= 1e6 else f"{value / 1e3:.1f} k/s"


def with_range(text, found):
    return f"{text} ({100 * found.range / found.median:.0f} %)"


def absolute_table(results):
    table = [["workload", *results.columns]]
    for row in results.rows():
        cells = []
        for column in results.columns:
            found = results.figure(row, column)
            unit = results.units[row]
            cells.append(with_range(readable(found.median, unit), found) if found else INVALID)
        table.append([row, *cells])
    return table


def ratio_table(results):
    pairs = results.comparisons()
    table = [["workload", *(f"{column} ÷ {base}" for column, base in pairs)]]
    for row in results.rows():
        cells = []
        for pair in pairs:
            found = results.ratio(row, *pair)
            cells.append(with_range(f"{found.median:.2f}", found) if found else INVALID)
        table.append([row, *cells])
    return table


def target_table(results):
    table = [["workload", "ratio", "at least", "found", "verdict"]]
    for target, found in results.targets():
        table.append(
            [
                target.row,
                f"{target.contender} ÷ {target.base}",
                f"{target.least}",
                f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})" if found else "",
                verdict(target, found),
            ]
        )
    return table


def as_text(table):
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    lines = []
    for line in table:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines) + "\n"


def as_markdown(table):
    lines = ["| " + " | ".join(line) + " |" for line in table]
    lines.insert(1, "| --- |" + " ---: |" * (len(table[0]) - 1))
    return "\n".join(lines) + "\n"


ABSOLUTE = "Medians of the rounds; in brackets the distance of the quartiles, in per cent of it."
RATIOS = "Medians of the rounds' ratios, with the same."
TARGET = "Targets, with the quartiles of the ratio."


def neighbours_line(results):
    shares = results.data["neighbours"]
    median, worst = 100 * statistics.median(shares), 100 * max(shares)
    return f"Other programs took {median:.0f} % of the CPUs (median; {worst:.0f} % at the worst)."


def report(results, as_table):
    """All of it as one text; as_table is as_text or as_markdown."""
    run = results.data["run"]
    parts = [
        f"{run['rounds']} rounds of {run['seconds']} s per workload on {run['date']}, "
        f"{run['version']}.\n{run['machine']}.\n{neighbours_line(results)}\n"
    ]
    parts += [f"{ABSOLUTE}\n", as_table(absolute_table(results))]
    parts += [f"{RATIOS}\n", as_table(ratio_table(results))]
    if results.targets():
        parts += [f"{TARGET}\n", as_table(target_table(results))]
    for column, problem in results.problems.items():
        parts.append(f"The column \"{column}\" is invalid: {problem}.\n")
    return "\n".join(parts)
