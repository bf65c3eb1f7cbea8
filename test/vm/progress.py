# SPDX-License-Identifier: GPL-2.0-only
"""Lines for the user. They go to standard error: standard output is the command's."""

import sys
import time

PERIOD = 30  # seconds between two lines where these cannot overwrite each other


def say(message):
    print(f"vm: {message}", file=sys.stderr, flush=True)


class Counter:
    """A line that says how far a long piece of work is."""

    def __init__(self, what):
        self.what, self.begin, self.shown, self.count = what, time.monotonic(), 0, 0
        self.overwrites = sys.stderr.isatty()
        self._show()

    def step(self):
        self.count += 1
        if time.monotonic() - self.shown > (0.2 if self.overwrites else PERIOD):
            self._show()

    def end(self):
        self._show()
        if self.overwrites:
            print(file=sys.stderr)

    def _show(self):
        self.shown = time.monotonic()
        seconds = round(self.shown - self.begin)
        line = f"vm: {self.what}: {self.count} files, {seconds // 60}:{seconds % 60:02}"
        print(line, end="\r" if self.overwrites else "\n", file=sys.stderr, flush=True)
