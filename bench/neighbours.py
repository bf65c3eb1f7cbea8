# SPDX-License-Identifier: GPL-2.0-only
"""How much of the machine was taken by others than us while something was measured."""

import os
import resource
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
IDLE, IOWAIT = 3, 4
# user to steal; what follows in /proc/stat is a part of user's and nice's
FIELDS = 8


def machine():
    """Seconds of all CPUs so far: in all, and of these busy or taken by the hypervisor."""
    line = Path("/proc/stat").read_text().splitlines()[0]
    fields = [int(field) for field in line.split()[1 : 1 + FIELDS]]
    return sum(fields) / TICK, (sum(fields) - fields[IDLE] - fields[IOWAIT]) / TICK


def ours(pids):
    """Seconds of this program, of the commands that it has waited for, and of these processes."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / TICK
    return total


class Neighbours:
    """with Neighbours(pids) as n: ...; then n.share is what others took of all CPUs, 0 to 1."""

    def __init__(self, pids):
        self.pids = pids
        self.share = 0.0

    def __enter__(self):
        self.all, self.busy = machine()
        self.ours = ours(self.pids)
        return self

    def __exit__(self, *error):
        if any(error):
            return
        now, busy = machine()
        used = ours(self.pids) - self.ours
        if now > self.all:
            self.share = max(0.0, (busy - self.busy - used) / (now - self.all))
