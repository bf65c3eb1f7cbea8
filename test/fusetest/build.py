# SPDX-License-Identifier: GPL-2.0-only
"""The build under test, named by the environment variable FUSE_BUILD_DIR."""

import json
import os
from pathlib import Path

SOURCE_ROOT = Path(__file__).resolve().parents[2]


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
        if "thread" in self.sanitizer:
            return 10
        return 4 if self.sanitizer else 1


BUILD = Build(os.environ.get("FUSE_BUILD_DIR", "/nonexistent"))
