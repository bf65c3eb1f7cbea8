# SPDX-License-Identifier: GPL-2.0-only
"""
Each step of setting up rings is made to fail in turn. The mount has to come up on /dev/fuse
and say why; with io_uring_strict it has to fail, and say the same.
"""

import errno
import os
import re
from pathlib import Path

import pytest

from fusetest import pattern
from fusetest.build import BUILD, SOURCE_ROOT
from fusetest.child import call, run
from fusetest.mount import Mount, TRANSPORTS, mount_entry, possible_cpus

ENABLE_URING = Path("/sys/module/fuse/parameters/enable_uring")

# Step, and with which error: what FUSE_FAULT gets. "@2": at the second pass only, so that
# what an earlier queue already has is given back.
FAULTS = {
    "cpu-list": errno.EACCES,
    "ring-create": errno.ENOMEM,
    "ring-create@2": errno.EMFILE,
    "eventfd": errno.EMFILE,
    "eventfd@2": errno.EMFILE,
    "memfd": errno.ENOSYS,
    "memfd@2": errno.ENOMEM,
    "map-headers": errno.ENOMEM,
    "map-headers@2": errno.ENOMEM,
    "map-payload": errno.ENOMEM,
    "map-payload@2": errno.ENOMEM,
    "thread-create": errno.EAGAIN,
    "thread-create@2": errno.EAGAIN,
    "register-submit": errno.ENXIO,
    "register-submit@2": errno.ENXIO,
    "register-refused": errno.EINVAL,
    "register-refused@2": errno.EINVAL,
}

# The same where there are pools: which options lead to the step, and what the mount speaks
# after all. What fails before INIT costs one rung; behind it the kernel has to give up rings.
POOL_FAULTS = {
    "buffer-table": (["io_uring_zero_copy"], errno.ENOMEM, "bufpool"),
    "buffer-table@2": (["io_uring_zero_copy"], errno.ENOMEM, "bufpool"),
    "pool-register": (["io_uring", "io_uring_pool=registered"], errno.ENOMEM, "bufpool"),
    "pool-register@2": (["io_uring", "io_uring_pool=registered"], errno.ENOMEM, "bufpool"),
    "add-queue": (["io_uring_zero_copy"], errno.ENOSYS, None),
    "add-queue@2": (["io_uring_zero_copy"], errno.ENOMEM, None),
    "add-bufpool": (["io_uring"], errno.EINVAL, None),
    "add-bufpool@2": (["io_uring_zero_copy"], errno.ENOMEM, None),
}

# And where there are buffer rings, with the kind of pool that is left. What is pinned on trial is
# given back when the kernel has been told that there will be rings.
RING_FAULTS = {
    "buffer-table": (["io_uring_zero_copy"], errno.ENOMEM, "plain"),
    "buffer-table@2": (["io_uring_zero_copy"], errno.ENOMEM, "registered"),
    "pin-headers": (["io_uring", "io_uring_pin=headers"], errno.ENOMEM, "plain"),
    "pin-headers@2": (["io_uring_zero_copy"], errno.ENOMEM, "registered"),
    "pin-payload": (["io_uring_zero_copy"], errno.ENOMEM, "plain"),
    "pin-payload@2": (["io_uring_zero_copy"], errno.ENOMEM, "registered"),
    "unpin-trial": (["io_uring", "io_uring_pin=all"], errno.EINVAL, None),
    "unpin-trial@2": (["io_uring_zero_copy"], errno.EINVAL, None),
}

# Below it is only /dev/fuse, on every kernel.
ONE_RUNG = ["io_uring_pool=none"]

ON_DEV = TRANSPORTS["dev-multi"].stats


pytestmark = pytest.mark.sanitize


@pytest.fixture(autouse=True)
def fault_injection():
    if not BUILD.option("fault-injection", False):
        pytest.skip("this build has no fault injection (-Dfault-injection=true)")


@pytest.fixture
def uring_disabled():
    """The machine's setting is put back whatever happens."""
    before = ENABLE_URING.read_text().strip()
    ENABLE_URING.write_text("0")
    yield
    ENABLE_URING.write_text("1" if before == "Y" else "0")


def environment(fault, number=None):
    return {"FUSE_FAULT": f"{fault}:{number or FAULTS[fault]}"}


def skip_without_queues_for(fault):
    count = fault.partition("@")[2]
    if count and possible_cpus() < int(count):
        pytest.skip(f"needs {count} CPUs, for as many queues")


def assert_one_reason(log, *words):
    """Exactly one line tells why there are no rings, and it has all the words."""
    lines = [line for line in log.splitlines() if "/dev/fuse" in line or "io_uring" in line]
    assert len(lines) == 1, log
    for word in words:
        assert word in lines[0], log


def use(mount):
    """Upon which its log says what has become of it."""
    content = pattern.data(300_000)

    def body():
        (mount.path / "file").write_bytes(content)
        assert (mount.path / "file").read_bytes() == content
        os.unlink(mount.path / "file")

    call(body, timeout=20)


def test_every_step_is_tested():
    """A step that somebody adds to the library has to be added here."""
    steps = set()
    for path in (SOURCE_ROOT / "lib" / "transport" / "uring").rglob("*.c"):
        steps |= set(re.findall(r'fuse_fault\("([^"]+)"\)', path.read_text()))
    assert steps
    tested = FAULTS.keys() | POOL_FAULTS.keys() | RING_FAULTS.keys()
    assert steps <= {fault.partition("@")[0] for fault in tested}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_leads_to_dev(work, fault):
    skip_without_queues_for(fault)
    with Mount(
        work, "io_uring", options=ONE_RUNG, env=environment(fault), expect=ON_DEV
    ) as mount:
        use(mount)
        step = fault.partition("@")[0]
        assert_one_reason(mount.log(), step, os.strerror(FAULTS[fault]), "/dev/fuse")
        links = list(mount.fds().values())
        assert not any("io_uring" in link or "memfd" in link for link in links), links


@pytest.mark.dialect("bufpool")
@pytest.mark.parametrize("fault", POOL_FAULTS)
def test_pool_fault_steps_down(work, fault):
    options, number, dialect = POOL_FAULTS[fault]
    step = fault.partition("@")[0]
    skip_without_queues_for(fault)
    # There the plain pool is a rung of its own, and has no table to register.
    expect = {"transport": "io_uring", "dialect": dialect, "zero_copy": False}
    if not dialect:
        expect = ON_DEV
    env = environment(fault, number)
    with Mount(work, "dev-multi", options=options, env=env, expect=expect) as mount:
        use(mount)
        lines = [line for line in mount.log().splitlines() if step in line]
        assert len(lines) == 1 and os.strerror(number) in lines[0], mount.log()
        assert ("no io_uring as bufpool" if dialect else "/dev/fuse") in lines[0]


@pytest.mark.dialect("bufpool")
@pytest.mark.parametrize("fault", POOL_FAULTS)
def test_pool_fault_with_strict(work, fault):
    options, number, _ = POOL_FAULTS[fault]
    assert_strict_fault(work, fault, options, number)


def assert_strict_fault(work, fault, options, number):
    skip_without_queues_for(fault)
    env = environment(fault, number)
    mount = Mount(work, "dev-multi", options=[*options, "io_uring_strict"], env=env)
    assert_strict_fails(mount, fault.partition("@")[0], os.strerror(number))


@pytest.mark.dialect("bufring")
@pytest.mark.parametrize("fault", RING_FAULTS)
def test_ring_fault_steps_down(work, fault):
    options, number, pool = RING_FAULTS[fault]
    step = fault.partition("@")[0]
    skip_without_queues_for(fault)
    expect = {"transport": "io_uring", "dialect": "bufring", "pool": pool, "zero_copy": False}
    if not pool:
        expect = ON_DEV
    env = environment(fault, number)
    with Mount(work, "dev-multi", options=options, env=env, expect=expect) as mount:
        use(mount)
        lines = [line for line in mount.log().splitlines() if step in line]
        assert lines and all(os.strerror(number) in line for line in lines), mount.log()
        assert ("no io_uring as bufring" if pool else "/dev/fuse") in lines[0]


@pytest.mark.dialect("bufring")
@pytest.mark.parametrize("fault", RING_FAULTS)
def test_ring_fault_with_strict(work, fault):
    options, number, _ = RING_FAULTS[fault]
    assert_strict_fault(work, fault, options, number)


@pytest.mark.dialect("bufring")
@pytest.mark.parametrize("fault", ["pin-headers", "pin-payload"])
def test_strict_is_not_about_what_nobody_asked_for(work, fault):
    """Pinning is the library's own idea unless an option says it."""
    expect = {"transport": "io_uring", "dialect": "bufring", "pool": "plain", "zero_copy": False}
    options = ["io_uring_strict", "io_uring_bufs=4"]
    env = environment(fault, errno.ENOMEM)
    with Mount(work, "dev-multi", options=options, env=env, expect=expect) as mount:
        use(mount)
        assert ("headers pinned), " in mount.log()) == (fault == "pin-payload")


@pytest.mark.dialect("bufring")
@pytest.mark.parametrize("kib, pool, headers", [(0, "plain", False), (2048, "plain", True)])
def test_as_much_is_pinned_as_the_limit_allows(work, kib, pool, headers):
    """RLIMIT_MEMLOCK binds who has no CAP_IPC_LOCK; the log says what came of it."""
    expect = {"transport": "io_uring", "dialect": "bufring", "pool": pool, "zero_copy": False}
    prefix = ["prlimit", f"--memlock={kib * 1024}", "setpriv", "--bounding-set=-ipc_lock"]
    prefix += ["--inh-caps=-ipc_lock"]
    with Mount(work, "io_uring", prefix=prefix, expect=expect) as mount:
        use(mount)
        assert ("headers pinned), " in mount.log()) == headers, mount.log()
        assert "pin-payload" in mount.log() or "pin-headers" in mount.log()


@pytest.mark.dialect("bufring")
def test_larger_than_a_pool_of_the_mainline(work):
    """Buffer rings have a length of 64 bits."""
    options = ["io_uring_strict", "io_uring_pin=none", "io_uring_bufs=5000"]
    expect = {"transport": "io_uring", "dialect": "bufring", "pool": "plain"}
    with Mount(work, "dev-multi", options=options, expect=expect) as mount:
        use(mount)


@pytest.mark.dialect("bufpool")
def test_pool_larger_than_its_length_can_say(work):
    """32 bits are for 4 GiB: the mount does without pools, and says which options to change."""
    options = ["io_uring", "io_uring_bufs=65535"]
    expect = {"transport": "io_uring", "dialect": "per_entry", "zero_copy": False}
    with Mount(work, "dev-multi", options=options, expect=expect) as mount:
        use(mount)
        assert "larger than 4 GiB" in mount.log() and "io_uring_bufs" in mount.log()


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_with_strict(work, fault):
    skip_without_queues_for(fault)
    options = [*ONE_RUNG, "io_uring_strict"]
    mount = Mount(work, "io_uring", options=options, env=environment(fault))
    step = fault.partition("@")[0]
    assert_strict_fails(mount, step, os.strerror(FAULTS[fault]))


def assert_strict_fails(mount, *words):
    """
    What fails before INIT fails the mount; what fails after it ends a mount that was
    there for a moment. Either way: status 1, one reason, nothing mounted.
    """
    result = run(
        mount.command, timeout=20 * BUILD.slowdown, check=False, env={**os.environ, **mount.env}
    )
    assert result.returncode == 1, result.stdout
    assert mount_entry(mount.path) is None
    assert_one_reason(result.stdout, "io_uring_strict", *words)


def test_disabled_leads_to_dev(work, uring_disabled):
    with Mount(work, "io_uring", expect=ON_DEV) as mount:
        use(mount)
        assert_one_reason(mount.log(), "enable_uring", "/dev/fuse")


def test_disabled_with_strict(work, uring_disabled):
    mount = Mount(work, "io_uring", options=["io_uring_strict"])
    assert_strict_fails(mount, "enable_uring")


def test_strict_without_trouble(work):
    with Mount(work, "io_uring", options=["io_uring_strict"]) as mount:
        use(mount)


def test_strict_alone_asks_for_rings(work):
    transport = TRANSPORTS["dev-multi"]
    uring = TRANSPORTS["io_uring"].stats
    with Mount(work, transport, options=["io_uring_strict"], expect=uring) as mount:
        use(mount)


def test_dev_says_nothing(work):
    with Mount(work, "dev-multi") as mount:
        use(mount)
        assert "io_uring" not in mount.log()
