#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Prints the counts of several pytest runs (JUnit files), a line each, and their sum."""
import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def counts(path):
    """Passed, failed and skipped tests of one run."""
    total = failed = skipped = 0
    for suite in ET.parse(path).getroot().iter("testsuite"):
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return total - failed - skipped, failed, skipped


def line(numbers):
    return "{} passed, {} failed, {} skipped".format(*numbers)


def main(paths):
    runs = {Path(path).stem: counts(path) for path in paths}
    for name, numbers in runs.items():
        print(f"{name}: {line(numbers)}")
    passed, failed, skipped = (sum(column) for column in zip(*runs.values()))
    print(line((passed, failed, skipped)))
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
