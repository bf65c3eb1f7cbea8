#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Adds up the counts of several pytest runs (JUnit files) and prints them as one line."""
import sys
import xml.etree.ElementTree as ET


def main(paths):
    total = failed = skipped = 0
    for path in paths:
        for suite in ET.parse(path).getroot().iter("testsuite"):
            total += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped += int(suite.get("skipped", 0))
    passed = total - failed - skipped
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
