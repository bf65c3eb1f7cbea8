# SPDX-License-Identifier: GPL-2.0-only
"""Options, fixtures and the checks around every test."""

import collections
import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

import pytest

sys.dont_write_bytecode = True

from fusetest import abi, child, guest, kernel, mount as mounts  # noqa: E402
from fusetest.build import BUILD  # noqa: E402
from fusetest.mount import CONNECTIONS, GROUPS, TRANSPORTS, Mount  # noqa: E402

DEFAULT_LIMIT = 120  # seconds per test


# Why tests do not run, each with how many.
_left_out = collections.Counter()


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the long tests too")
    parser.addoption(
        "--transports",
        metavar="NAME,...",
        help=f"leave out tests over any other transport; of {', '.join(TRANSPORTS)}",
    )


def pytest_configure(config):
    # A shell's background job ignores it, and so would every server that is started here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Under nohup the same goes for this one, which must not end us all the same.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    if "FUSE_BUILD_DIR" not in os.environ:
        raise pytest.UsageError("FUSE_BUILD_DIR has to name the build folder")
    if not BUILD.dir.is_dir():
        raise pytest.UsageError(f"FUSE_BUILD_DIR: {BUILD.dir} is not a folder")
    if os.getuid() != 0:
        raise pytest.UsageError("the tests mount, and switch users: they need root")
    # Whoever boots a kernel for its dialect does not want to see it left out.
    wanted = os.environ.get("FUSE_TEST_DIALECT")
    if wanted and wanted not in kernel.dialects():
        raise pytest.UsageError(
            f"FUSE_TEST_DIALECT: the kernel speaks {kernel.dialects()}, not {wanted}"
        )
    for name in _chosen(config) or ():
        if name not in TRANSPORTS:
            raise pytest.UsageError(f"--transports: there is no '{name}'")
        if not TRANSPORTS[name].is_offered:
            raise pytest.UsageError(f"--transports: this kernel has no '{name}'")


def _chosen(config):
    text = config.getoption("--transports")
    return text.split(",") if text else None


def _is_run(config, name, by_name):
    """Do tests run over this transport, if they name it, or if they name none?"""
    chosen = _chosen(config)
    if chosen:
        return name in chosen
    return TRANSPORTS[name].is_offered and (by_name or not TRANSPORTS[name].rare)


def pytest_report_header(config):
    run = [name for name in TRANSPORTS if _is_run(config, name, by_name=False)]
    return [
        f"build: {BUILD.dir}, sanitizer: {BUILD.sanitizer or 'none'}",
        f"kernel: {os.uname().release}, enable_uring: {kernel.uring_is_enabled()},"
        f" dialects: {', '.join(kernel.dialects()) or 'none'}",
        f"transports: {', '.join(run)}",
    ]


def _reason_to_leave_out(item):
    """Why a test cannot, or shall not, run here. None: it does."""
    if item.get_closest_marker("long") and not item.config.getoption("--all"):
        return "long tests: --all runs them"
    for marker in item.iter_markers("kernel"):
        if not kernel.is_at_least(marker.args[0]):
            return f"need Linux {marker.args[0]}, this is {os.uname().release}"
    for marker in item.iter_markers("dialect"):
        if marker.args[0] not in kernel.dialects():
            return f"need the dialect {marker.args[0]}, which this kernel does not speak"
    for marker in item.iter_markers("newest_dialect"):
        if kernel.dialects()[-1:] != (marker.args[0],):
            return f"are about kernels with no newer dialect than {marker.args[0]}"
    if item.get_closest_marker("cuse") and not os.path.exists("/dev/cuse"):
        return "need /dev/cuse, which this kernel does not have"
    if item.get_closest_marker("path_based") and abi.still_to_come("header"):
        return "need fuse.h, which test/abi/still_to_come.txt has"
    if item.get_closest_marker("not_chosen"):
        return f"use other transports than {item.config.getoption('--transports')}"
    return None


def pytest_collection_modifyitems(config, items):
    kept, left_out = [], []
    for item in items:
        reason = _reason_to_leave_out(item)
        (left_out if reason else kept).append(item)
        if reason:
            _left_out[reason] += 1
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_terminal_summary(terminalreporter):
    for reason, count in _left_out.items():
        terminalreporter.write_line(f"left out {count}: {reason}")


def _named(marker):
    """The transports that a marker names, and whether by their own names."""
    for word in marker.args:
        for name in GROUPS.get(word, [word]):
            yield name, word not in GROUPS


def _with_marks(metafunc, name, by_name):
    """The transport as a parameter: marked, if the test is to be left out and counted."""
    marks = []
    rings_matter = metafunc.definition.get_closest_marker("long_without_rings")
    if rings_matter and not TRANSPORTS[name].is_uring:
        marks.append(pytest.mark.long)
    if not TRANSPORTS[name].is_offered:
        marks.append(pytest.mark.dialect(TRANSPORTS[name].needs))
    elif not _is_run(metafunc.config, name, by_name):
        marks.append(pytest.mark.not_chosen)
    return pytest.param(name, marks=marks)


def pytest_generate_tests(metafunc):
    """
    The fixture `transport` runs over the whole table, or over what a marker names. What a
    test does not name, and the kernel does not have, is not worth a word.
    """
    if "transport" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("transport")
    if marker:
        chosen = _chosen(metafunc.config) or ()
        named = [
            (name, by_name)
            for name, by_name in _named(marker)
            if by_name or name in chosen or not TRANSPORTS[name].rare
        ]
    else:
        named = [(name, False) for name in TRANSPORTS if _is_run(metafunc.config, name, False)]
    parameters = [_with_marks(metafunc, name, by_name) for name, by_name in named]
    metafunc.parametrize("transport", parameters, scope="module")


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
    if report.failed and guest.inside():
        _show_now(item, report)


def _show_now(item, report):
    """A guest that is ended, or that the kernel ends, does not come to the summary."""
    reporter = item.config.pluginmanager.get_plugin("terminalreporter")
    reporter.ensure_newline()
    reporter.section(f"{item.nodeid}: {report.when}", "-")
    reporter.write_line(report.longreprtext)
    for title, text in report.sections:
        reporter.write_line(f"{title}:\n{text}")


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
    """
    The mounts of a module: one per transport, made anew when a test broke it. new_mount(work,
    transport) returns one that is still to be started.
    """

    def __init__(self, work, new_mount):
        self.work, self.new_mount = work, new_mount
        self.mounts, self.count, self.problems = {}, 0, []

    def get(self, transport):
        mount = self.mounts.get(transport)
        if mount is not None and not mount.alive:
            self.bury(mount)
            mount = None
        if mount is None:
            mount = self.new_mount(self.work, transport)
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
def new_mount():
    """What the pool mounts; a module may have a fixture of its own instead."""
    return Mount


@pytest.fixture(scope="module")
def pool(session_work, new_mount):
    path = Path(tempfile.mkdtemp(prefix="pool-", dir=session_work))
    path.chmod(0o755)
    pool = Pool(path, new_mount)
    try:
        yield pool
        pool.close()
    finally:
        for mount in pool.mounts.values():
            mount.kill()
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def place(pool, transport):
    """A fresh folder in the pool's mount over each transport."""
    return pool.place(transport)


@pytest.fixture
def d(place):
    """Its path in the mount."""
    return place.path
