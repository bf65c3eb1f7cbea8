# SPDX-License-Identifier: GPL-2.0-only
"""Options, fixtures and the checks around every test."""

import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import pytest

sys.dont_write_bytecode = True

from fusetest import child, mount as mounts  # noqa: E402
from fusetest.build import BUILD  # noqa: E402
from fusetest.mount import CONNECTIONS, TRANSPORTS, Mount  # noqa: E402

DEFAULT_LIMIT = 120  # seconds per test


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the long tests too")


def pytest_configure(config):
    if "FUSE_BUILD_DIR" not in os.environ:
        raise pytest.UsageError("FUSE_BUILD_DIR has to name the build folder")
    if not BUILD.dir.is_dir():
        raise pytest.UsageError(f"FUSE_BUILD_DIR: {BUILD.dir} is not a folder")
    if os.getuid() != 0:
        raise pytest.UsageError("the tests mount, and switch users: they need root")


def pytest_report_header(config):
    uring = Path("/sys/module/fuse/parameters/enable_uring")
    state = uring.read_text().strip() if uring.exists() else "not in this kernel"
    return [
        f"build: {BUILD.dir}, sanitizer: {BUILD.sanitizer or 'none'}",
        f"kernel: {os.uname().release}, enable_uring: {state}",
    ]


def pytest_collection_modifyitems(config, items):
    if config.getoption("--all"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_generate_tests(metafunc):
    """The fixture `transport` runs over the whole table, or over what a marker names."""
    if "transport" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("transport")
    names = marker.args if marker else list(TRANSPORTS)
    if metafunc.definition.get_closest_marker("long_without_rings"):
        names = [
            name if TRANSPORTS[name].is_uring else pytest.param(name, marks=pytest.mark.long)
            for name in names
        ]
    metafunc.parametrize("transport", names, scope="module")


# Around every test


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """The body of a test marked `client` runs in a child."""
    __tracebackhide__ = True
    if not pyfuncitem.get_closest_marker("client"):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    skipped = child.call(_client, pyfuncitem.obj, arguments, timeout=_limit(pyfuncitem) - 10)
    if skipped is not None:
        raise pytest.skip.Exception(skipped, _use_item_location=True)
    return True


def _client(function, arguments):
    try:
        function(**arguments)
    except pytest.skip.Exception as skip:
        return str(skip)
    return None


def _limit(item):
    marker = item.get_closest_marker("limit")
    return (marker.args[0] if marker else DEFAULT_LIMIT) * BUILD.slowdown


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """When a test takes too long, its mounts are aborted, so that it fails and goes on."""
    watchdog = threading.Timer(_limit(item), mounts.abort_all)
    watchdog.daemon = True
    watchdog.start()
    yield
    watchdog.cancel()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the server said belongs to the report of a test that failed."""
    report = (yield).get_result()
    place = getattr(item, "funcargs", {}).get("place")
    if report.failed and place is not None and place.mount.log():
        report.sections.append(("server's log", place.mount.log()[-4000:]))


# Fixtures


@pytest.fixture(scope="session", autouse=True)
def session_work():
    """
    A scratch folder that every user may enter, unlike pytest's own. At the end nothing
    may be mounted in it, and no server of this build may run.
    """
    if not any(CONNECTIONS.iterdir()):
        child.run(["mount", "-t", "fusectl", "fusectl", CONNECTIONS], check=False)
    path = Path(tempfile.mkdtemp(prefix="fuse-test-"))
    path.chmod(0o755)
    yield path
    for left in mounts.live_mounts():
        left.kill()
    mounted = mounts.entries_below(path)
    servers = _processes_of_build()
    if not mounted:
        shutil.rmtree(path, ignore_errors=True)
    assert not mounted, f"mounts are left: {mounted}"
    assert not servers, f"processes are left: {servers}"


def _processes_of_build():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            program = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
        if program.startswith(f"{BUILD.dir}/"):
            found.append((int(pid), program))
    return found


@pytest.fixture
def work(session_work, request):
    """A scratch folder for one test, removed when it is done."""
    path = Path(tempfile.mkdtemp(prefix="test-", dir=session_work))
    path.chmod(0o755)
    yield path
    for left in mounts.live_mounts():
        if path in left.base.parents:
            left.kill()
    shutil.rmtree(path, ignore_errors=True)


class Place:
    """A folder of one test's own, seen through a mount and at its source."""

    def __init__(self, mount, name):
        self.mount, self.name = mount, name
        self.path = mount.path / name
        self.source = mount.source / name


class Pool:
    """The mounts of a module: one per transport, made anew when a test broke it."""

    def __init__(self, work):
        self.work, self.mounts, self.count, self.problems = work, {}, 0, []

    def get(self, transport):
        mount = self.mounts.get(transport)
        if mount is not None and not mount.alive:
            self.bury(mount)
            mount = None
        if mount is None:
            mount = Mount(self.work, transport)
            mount.start()
            self.mounts[transport] = mount
        return mount

    def place(self, transport):
        mount = self.get(transport)
        self.count += 1
        place = Place(mount, f"t{self.count}")
        child.call(place.path.mkdir)
        return place

    def bury(self, mount):
        """A server that ended by itself is a failure, whatever the tests say."""
        if not mount.aborted:
            status = mount.process.poll()
            self.problems.append(f"{mount.transport}: ended early, {status}:\n{mount.log()}")
        mount.kill()

    def close(self):
        problems = self.problems
        for mount in self.mounts.values():
            try:
                mount.close()
            except AssertionError as error:
                problems.append(f"{mount.transport}: {error}")
        assert not problems, "\n".join(problems)


@pytest.fixture(scope="module")
def pool(session_work):
    path = Path(tempfile.mkdtemp(prefix="pool-", dir=session_work))
    path.chmod(0o755)
    pool = Pool(path)
    try:
        yield pool
        pool.close()
    finally:
        for mount in pool.mounts.values():
            mount.kill()
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def place(pool, transport):
    """A fresh folder in passthrough_hp's mount over each transport."""
    return pool.place(transport)


@pytest.fixture
def d(place):
    """Its path in the mount."""
    return place.path
