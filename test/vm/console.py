# SPDX-License-Identifier: GPL-2.0-only
"""What the guest's kernel said, and which of it is a report of something gone wrong."""

import re

# After the time stamp, and the context where the kernel was built to print it.
PREFIX = re.compile(r"^(\[ *\d+\.\d+\] ?)?(\[ *[TC]\d+\] ?)?")

# Where a report begins. Lockdep's are WARNINGs, KASAN's and the soft lockup's are BUGs.
REPORT = re.compile(
    r"""WARNING:
    | .*\bBUG:
    | kernel\ BUG\ at
    | Oops
    | Kernel\ panic
    | .*general\ protection\ fault
    | UBSAN:
    | INFO:\ task\ .*\ blocked
    | rcu:\ INFO:.*stall
    | INFO:\ rcu.*stall
    | INFO:\ trying\ to\ register\ non-static\ key
    | kmemleak:\ unreferenced\ object
    | .*watchdog:.*LOCKUP
    """,
    re.X,
)

BEFORE, AFTER = 3, 80  # lines printed with one that begins a report
END = "vm: switching off"  # from init: what comes then is not the command's doing


class Log:
    def __init__(self):
        self.lines, self.ended, self._rest = [], False, b""

    def feed(self, data):
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            self.ended = self.ended or PREFIX.sub("", text) == END
            if not self.ended:
                self.lines.append(text)

    def close(self):
        if self._rest:
            self.feed(b"\n")

    def _begins(self):
        for number, line in enumerate(self.lines):
            if REPORT.match(PREFIX.sub("", line)):
                yield number

    def reports(self):
        """The lines of all reports, each with what stands around it, none of them twice."""
        printed, end = [], 0
        for begin in self._begins():
            printed += self.lines[max(begin - BEFORE, end) : begin + AFTER]
            end = max(end, begin + AFTER)
        return printed

    def last(self, count):
        return self.lines[-count:]
