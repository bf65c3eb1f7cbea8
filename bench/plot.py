#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Draws results.json: plot.py RESULTS.json PLOT.svg

A line per workload, its throughput as a multiple of /dev/fuse's to the right (or of another
library's, where there is one to be compared with), on a logarithmic scale, because what counts
is by which factor something is faster.
"""

import json
import sys

from results import Results, readable

STYLES = {
    "uring, no poll": {"marker": "o", "color": "#d98c21", "markerfacecolor": "white"},
    "uring": {"marker": "o", "color": "#b3261e"},
    "peer dev": {"marker": "s", "color": "#5b7083", "markerfacecolor": "white"},
    "peer uring": {"marker": "s", "color": "#2f6fb3"},
    "tmpfs": {"marker": "D", "color": "#8a8f98", "markersize": 5},
    "dev": {"marker": "o", "color": "#5b7083"},  # where it is not what all are compared with
}
LABELS = {
    "uring, no poll": "io_uring without polling",
    "uring": "io_uring",
    "peer dev": "peer on /dev/fuse",
    "peer uring": "peer over io_uring",
    "tmpfs": "tmpfs itself",
    "dev": "/dev/fuse",
}
# What the others are compared with: another library, if there is one, on /dev/fuse.
BASES = {"theirs": "the other library's", "dev": "/dev/fuse's"}
TARGET = {"marker": "|", "color": "black", "markersize": 16, "markeredgewidth": 1.6}


def base_of(results):
    return next((column for column in BASES if column in results.columns), "dev")


class Missing(Exception):
    """matplotlib is not installed; the text says how to get it."""


def load():
    try:
        import matplotlib
    except ImportError:
        raise Missing(
            "matplotlib is not installed: apt-get install python3-matplotlib, "
            "then /usr/bin/python3 bench/plot.py RESULTS.json PLOT.svg"
        ) from None
    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9, "axes.axisbelow": True}
    )
    import matplotlib.pyplot as pyplot

    return pyplot


def draw_column(axes, results, column, rows):
    """One mark per row with the quartiles as a line through it."""
    style = {"linestyle": "none", "markersize": 7, **STYLES[column]}
    label = LABELS[column]
    for y, row in enumerate(rows):
        found = results.ratio(row, column, base_of(results))
        if found is None:
            continue
        axes.plot([found.low, found.high], [y, y], color=style["color"], linewidth=1.5)
        axes.plot([found.median], [y], label=label, **style)
        label = None


def draw_targets(axes, results, rows):
    """The least that has to be reached, wherever that is on this scale."""
    label = "target"
    for target, found in results.targets():
        base = results.ratio(target.row, target.base, base_of(results))
        if found is None or base is None:
            continue
        place = target.least * base.median
        axes.plot([place], [rows.index(target.row)], linestyle="none", label=label, **TARGET)
        label = None


def draw_figures(axes, results, rows):
    """Absolute medians, so that nobody has to look them up."""
    for y, row in enumerate(rows):
        pair = [results.figure(row, column) for column in (base_of(results), "uring")]
        if None in pair:
            continue
        text = " → ".join(readable(found.median, results.units[row]) for found in pair)
        axes.annotate(
            text, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8
        )
    axes.annotate(
        f"{BASES[base_of(results)]} → io_uring",
        (1.01, 1.01),
        xycoords="axes fraction",
        fontsize=8,
        va="bottom",
    )


def draw_scale(axes, rows, base):
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [tick for tick in (0.25, 0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axes.minorticks_off()
    axes.axvline(1, color="#5b7083", linewidth=1.5, label=BASES[base][:-2])
    axes.grid(axis="x", color="#dddddd")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"throughput, as a multiple of {BASES[base]} (logarithmic)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw(results, path):
    """Raises Missing."""
    pyplot = load()
    rows = results.rows()
    figure, axes = pyplot.subplots(figsize=(9, 1.6 + 0.3 * len(rows)), facecolor="white")
    for column in (c for c in STYLES if c in results.columns and c != base_of(results)):
        draw_column(axes, results, column, rows)
    draw_targets(axes, results, rows)
    draw_scale(axes, rows, base_of(results))
    draw_figures(axes, results, rows)
    run = results.data["run"]
    axes.set_title(f"{run.get('program', 'passthrough_hp')}: medians of {run['rounds']} rounds", loc="left", pad=34)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=7, frameon=False,
                fontsize=8, handletextpad=0.3, columnspacing=1.2)
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def main():
    if len(sys.argv) != 3:
        raise SystemExit("usage: plot.py RESULTS.json PLOT.svg")
    with open(sys.argv[1]) as file:
        results = Results(json.load(file))
    try:
        draw(results, sys.argv[2])
    except Missing as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
