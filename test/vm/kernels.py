# SPDX-License-Identifier: GPL-2.0-only
"""A kernel: its source, patches and configuration, and its image in the cache."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import cache
import sources
from failure import Failure
from progress import Counter, say

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
NAMES = ("7.2", "7.3", "7.2+patches", "7.3+patches")
ARCHITECTURES = {"um": "linux", "x86_64": "arch/x86/boot/bzImage"}
MAX_CPUS = 8  # of the configuration

# Whatever the caller's environment has (compilers in PATH, MAKEFLAGS, ARCH, CFLAGS) must
# not change what is built: the key says nothing about it.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "KBUILD_BUILD_USER": "vm",
    "KBUILD_BUILD_HOST": "vm",
}


def packages(*purposes):
    """Sees to it that Debian's packages for these purposes are there."""
    installed = subprocess.run([HERE / "packages", *purposes], stdout=2, stdin=subprocess.DEVNULL)
    if installed.returncode:
        raise Failure(f"packages are missing for: {' '.join(purposes)}")


def _compiler():
    try:
        output = subprocess.check_output(["gcc", "--version"], env=ENVIRONMENT, text=True)
    except OSError as error:
        raise Failure(f"gcc: {error.strerror}") from error
    return output.splitlines()[0]


class Kernel:
    def __init__(self, name, arch, debug=False, source=None, fragments=(), patches=()):
        if os.uname().machine != "x86_64":
            raise Failure(f"these kernels are built and run on x86_64, not {os.uname().machine}")
        self.name, self.arch, self.debug = name, arch, debug
        self.release, _, patched = name.partition("+")
        self.patches = self._series() if patched else []
        self.extra = [Path(path).absolute() for path in (*patches, *fragments)]
        self.patches += map(Path.absolute, map(Path, patches))
        self.fragments = [HERE / "config" / f"{part}.config" for part in self._parts()]
        own = HERE / "config" / f"linux-{self.release}.config"
        self.fragments += [own] if own.exists() else []
        self.fragments += map(Path.absolute, map(Path, fragments))
        packages("build")
        self.source = sources.given(source) if source else sources.Package(self.release)
        self.compiler = _compiler()
        self.key = self._key()

    def _parts(self):
        return ["common", self.arch] + (["debug", f"debug-{self.arch}"] if self.debug else [])

    def _series(self):
        folder = TOP / "kernel-patches" / f"linux-{self.release}"
        patches = sorted(folder.glob("*.patch"))
        if not patches:
            raise Failure(f"no patches for Linux {self.release}: {folder} has none")
        return patches

    def _key(self):
        digest = hashlib.sha256()
        for text in (self.source.identity, self.compiler, self.arch, str(self.debug)):
            digest.update(os.fsencode(text) + b"\0")
        for path in self.fragments + self.patches:
            digest.update(path.read_bytes() + b"\0")
        variant = "-debug" if self.debug else ""
        variant += "".join(f"-{path.stem}" for path in self.extra)
        return f"linux-{self.name}-{self.arch}{variant}-{digest.hexdigest()[:12]}"

    def folder(self):
        """The folder in the cache that holds this kernel, built if need be."""
        return cache.made("kernels", self.key, self._build)

    def image(self):
        return self.folder() / Path(ARCHITECTURES[self.arch]).name

    def _build(self, folder):
        begin = time.monotonic()
        tree = folder / "tree"
        tree.mkdir()
        self.source.copy_to(tree)
        version = sources.version_of(tree)
        if not version.startswith(f"{self.release}."):
            raise Failure(f"{self.source.identity.split()[0]} is Linux {version}, not {self.release}")
        for patch in self.patches:
            _apply(patch, tree)
        make = _Make(tree, self.arch, folder.with_name(f"{self.key}.log"))
        if (tree / ".config").exists():
            make("mrproper")
        _configure(make, self.fragments)
        make.build(f"building Linux {version} ({self.key})", ARCHITECTURES[self.arch])
        self._keep(tree, folder)
        about = {
            "kernel": self.name,
            "version": version,
            "source": self.source.identity,
            "arch": self.arch,
            "debug": self.debug,
            "patches": [patch.name for patch in self.patches],
            "compiler": self.compiler,
            "seconds": round(time.monotonic() - begin),
        }
        (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n")
        shutil.rmtree(tree)
        make.log.unlink()
        say(f"built in {about['seconds']} s")

    def _keep(self, tree, folder):
        """The image, and what tells its addresses; a tree of 2 GB is not kept."""
        names = [ARCHITECTURES[self.arch], ".config", "System.map"]
        if self.debug:
            names.append("vmlinux")
        for name in names:
            shutil.move(tree / name, folder / Path(name).name.lstrip("."))


def _apply(patch, tree):
    command = ["patch", "-p1", "-s", "-f", "--fuzz=0", "-i", patch]
    applied = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    if applied.returncode:
        raise Failure(f"{patch} does not apply: {applied.stdout.strip().splitlines()[-1]}")


class _Make:
    """make in one tree; what it prints goes to a log, which stays where it fails."""

    def __init__(self, tree, arch, log):
        self.tree, self.log = tree, log
        jobs = len(os.sched_getaffinity(0))
        self.command = ["setpriv", "--pdeathsig", "KILL", "make", f"ARCH={arch}", f"-j{jobs}"]
        self.log.write_text("")

    def __call__(self, *arguments, each_line=lambda line: None, **environment):
        with open(self.log, "a") as log:
            process = subprocess.Popen(
                [*self.command, *arguments],
                cwd=self.tree,
                env=ENVIRONMENT | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                process_group=0,
            )
            try:
                for line in process.stdout:
                    log.write(line)
                    each_line(line)
                status = process.wait()
            except BaseException:
                os.killpg(process.pid, 9)
                process.wait()
                raise
        if status:
            raise Failure(f"make {arguments[-1]} failed: {self._reason()} (all of it: {self.log})")

    def _reason(self):
        """The first error, or what stands before make's own first complaint."""
        lines = self.log.read_text(errors="replace").splitlines() or ["it printed nothing"]
        for number, line in enumerate(lines):
            if re.search(r"\berror\b", line):
                return line.strip()
            if "***" in line:
                return lines[max(number - 1, 0)].strip()
        return lines[-1].strip()

    def build(self, what, target):
        counter = Counter(what)

        def each_line(line):
            if line.startswith("  "):
                counter.step()

        self(os.path.basename(target), each_line=each_line)
        counter.end()


def _wanted(fragments):
    """CONFIG_NAME -> the line that sets it; the last fragment to name it wins."""
    wanted = {}
    for fragment in fragments:
        for line in fragment.read_text().splitlines():
            if match := re.fullmatch(r"(CONFIG_\w+)=.+|# (CONFIG_\w+) is not set", line):
                wanted[match.group(1) or match.group(2)] = line
    return wanted


def _configure(make, fragments):
    """
    Nothing but what the fragments name and what that selects. A wish which this version
    does not know, or whose dependencies are not met, is an error, not a smaller kernel.
    """
    wanted = _wanted(fragments)
    wishes = make.tree / "wishes.config"
    wishes.write_text("\n".join(wanted.values()) + "\n")
    make("allnoconfig", KCONFIG_ALLCONFIG=str(wishes))
    config = set((make.tree / ".config").read_text().splitlines())
    refused = [line for name, line in wanted.items() if not _granted(name, line, config)]
    if refused:
        raise Failure(f"this configuration is not to be had: {', '.join(refused)}")


def _granted(name, line, config):
    if line.startswith("#"):
        return not any(other.startswith(f"{name}=") for other in config)
    return line in config


def built():
    """What about.json says of every kernel in the cache, with its path and size."""
    for folder in cache.entries("kernels"):
        about = json.loads((folder / "about.json").read_text())
        size = sum(path.stat().st_size for path in folder.iterdir())
        yield about | {"path": folder, "size": size}
