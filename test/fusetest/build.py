# SPDX-License-Identifier: GPL-2.0-only
"""The build under test, named by the environment variable FUSE_BUILD_DIR."""

import functools
import json
import os
from pathlib import Path

SOURCE_ROOT = Path(__file__).resolve().parents[2]


@functools.lru_cache(maxsize=None)
def _machine_slowdown():
    """Machines that are programs: system calls, or all there is, take many times as long."""
    text = Path("/proc/cpuinfo").read_text()
    if "User Mode Linux" in text:
        return 3
    return 10 if "QEMU TCG" in text else 1


class Build:
    def __init__(self, directory):
        self.dir = Path(directory).resolve()
        self._options = None

    def program(self, name):
        """Path of a built program, such as "example/passthrough_hp"."""
        path = self.dir / name
        if not os.access(path, os.X_OK):
            raise AssertionError(f"{path} has not been built")
        return str(path)

    def option(self, name, default=None):
        """The value of a meson option of this build."""
        if self._options is None:
            try:
                text = (self.dir / "meson-info" / "intro-buildoptions.json").read_text()
            except FileNotFoundError:
                text = "[]"
            self._options = {entry["name"]: entry["value"] for entry in json.loads(text)}
        return self._options.get(name, default)

    @property
    def sanitizer(self):
        """"address,undefined", "thread", or "" for an ordinary build."""
        value = self.option("b_sanitize", "none")
        return "" if value == "none" else value

    @property
    def slowdown(self):
        """By what factor to stretch limits that catch hangs. Never used for speed targets."""
        factor = 4 if self.sanitizer else 1
        if "thread" in self.sanitizer:
            factor = 10
        return factor * _machine_slowdown()


BUILD = Build(os.environ.get("FUSE_BUILD_DIR", "/nonexistent"))
