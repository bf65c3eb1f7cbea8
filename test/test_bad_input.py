# SPDX-License-Identifier: GPL-2.0-only
"""Each bad input: one clear line on stderr, exit status 1, nothing mounted."""

import os
import subprocess
from pathlib import Path

import pytest

from fusetest import helper
from fusetest.build import BUILD
from fusetest.child import call, run
from fusetest.mount import entries_below

pytestmark = pytest.mark.sanitize

AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def attempt(*arguments, prefix=(), program="example/passthrough_hp", env=None):
    """Runs a server that has to fail; returns what it said on stderr."""
    result = run(
        [*prefix, BUILD.program(program), *arguments],
        timeout=20 * BUILD.slowdown,
        check=False,
        stderr=subprocess.PIPE,
        cwd="/",
        env={**os.environ, **(env or {})},
    )
    assert not entries_below(Path(arguments[0]).parent)
    assert result.returncode == 1, (result.returncode, result.stdout, result.stderr)
    assert result.stdout == ""
    return result.stderr


def assert_one_line(text, *words):
    assert text.endswith("\n") and text.count("\n") == 1, text
    for word in words:
        assert word.lower() in text.lower(), text


@pytest.fixture
def folders(work):
    source, target = work / "source", work / "target"
    source.mkdir()
    target.mkdir()
    return source, target


def serve(folders, *options, arguments=()):
    words = [*folders, "--foreground", *arguments]
    return [*words, "-o", ",".join(options)] if options else words


@pytest.mark.parametrize("transport_option", [[], ["io_uring"]], ids=["dev", "io_uring"])
class TestOptions:
    def test_unknown_mount_option(self, folders, transport_option):
        text = attempt(*serve(folders, *transport_option, "no_such_option"))
        assert_one_line(text, "no_such_option")

    def test_unknown_mount_option_with_value(self, folders, transport_option):
        text = attempt(*serve(folders, *transport_option, "no_such_option=12"))
        assert_one_line(text, "no_such_option")

    def test_unknown_argument(self, folders, transport_option):
        text = attempt(*serve(folders, *transport_option, arguments=["--no-such-argument"]))
        assert_one_line(text, "--no-such-argument")

    def test_missing_mount_point(self, folders, transport_option):
        source, target = folders
        target.rmdir()
        text = attempt(*serve(folders, *transport_option))
        assert_one_line(text, str(target), os.strerror(2))

    def test_mount_point_that_is_a_file(self, folders, transport_option):
        source, target = folders
        target.rmdir()
        target.touch()
        text = attempt(*serve(folders, *transport_option))
        assert_one_line(text, str(target), "not a directory")

    def test_missing_source(self, folders, transport_option):
        source, target = folders
        source.rmdir()
        text = attempt(*serve(folders, *transport_option))
        assert_one_line(text, str(source), os.strerror(2))

    def test_source_that_is_a_file(self, folders, transport_option):
        source, target = folders
        source.rmdir()
        source.touch()
        text = attempt(*serve(folders, *transport_option))
        assert_one_line(text, str(source), "not a directory")

    def test_no_device(self, folders, transport_option):
        """As in a container that was not given /dev/fuse."""
        hide = "mount -t tmpfs none /dev && exec \"$@\""
        prefix = ["unshare", "-m", "sh", "-c", hide, "sh"]
        text = attempt(*serve(folders, *transport_option), prefix=prefix)
        assert_one_line(text, "/dev/fuse", os.strerror(2))

    def test_no_permission(self, folders, transport_option):
        """A user who may not mount, and no set-uid helper to do it for them."""
        hide = f'mount -t tmpfs none "{helper.folder()}" && exec "$@"'
        prefix = ["unshare", "-m", "sh", "-c", hide, "sh", *AS_NOBODY]
        text = attempt(*serve(folders, *transport_option), prefix=prefix)
        assert_one_line(text, "fusermount3", os.strerror(2))

    def test_no_permission_to_use_the_mount_point(self, folders, transport_option):
        """With the helper, but the mount point is somebody else's."""
        source, target = folders
        helper.folder()

        def body():
            helper.install()
            return attempt(*serve(folders, *transport_option), prefix=AS_NOBODY)

        assert_one_line(call(body), "fusermount3", str(target))

    def test_no_permission_on_the_device(self, folders, transport_option):
        """The device is there, but its mode says no."""
        hide = (
            "mount -t tmpfs none /dev && mknod -m 600 /dev/fuse c 10 229 && "
            'mknod -m 666 /dev/null c 1 3 && exec "$@"'
        )
        prefix = ["unshare", "-m", "sh", "-c", hide, "sh", *AS_NOBODY]
        assert_one_line(attempt(*serve(folders, *transport_option), prefix=prefix))


@pytest.mark.parametrize(
    "value",
    ["0", "-1", "1000000", "text", "", "8x", " 8", "0x8", "1e3", "99999999999999999999"],
)
def test_queue_depth(folders, value):
    text = attempt(*serve(folders, "io_uring", f"io_uring_q_depth={value}"))
    assert_one_line(text, "io_uring_q_depth")


@pytest.mark.parametrize("value", ["-1", "text", "", "5us", "99999999999999999999"])
def test_poll_time(folders, value):
    text = attempt(*serve(folders, "io_uring", f"io_uring_poll_us={value}"))
    assert_one_line(text, "io_uring_poll_us")


@pytest.mark.parametrize("value", ["-1", "text", "", "99999999999999999999"])
def test_max_read(folders, value):
    assert_one_line(attempt(*serve(folders, f"max_read={value}")), "max_read")


@pytest.mark.parametrize("value", ["0", "-1", "text", "", "100000000000"])
def test_number_of_threads(folders, value):
    text = attempt(*serve(folders, arguments=[f"--num-threads={value}"]))
    assert_one_line(text, "num-threads")


def test_stats_file_that_cannot_be_written(folders, work):
    text = attempt(*serve(folders, f"stats={work}/missing/stats.json"))
    assert_one_line(text, f"{work}/missing", os.strerror(2))


def test_allow_other_and_allow_root(folders):
    text = attempt(*serve(folders, "allow_other", "allow_root"))
    assert_one_line(text, "allow_other", "allow_root")


def test_too_few_arguments(folders):
    text = attempt(folders[0], "--foreground")
    assert text.count("\n") <= 3, text
    text = attempt("--foreground")
    assert text.count("\n") <= 3, text


def test_too_many_arguments(folders):
    assert_one_line(attempt(*folders, "third", "--foreground"), "third")


@pytest.mark.parametrize("name", ["/dev/fd/77", "/dev/fd/x", "/dev/fd/0"])
def test_descriptor_that_is_no_mount(folders, name):
    text = attempt(folders[0], name, "--foreground")
    assert_one_line(text, name)


def test_help():
    text = run([BUILD.program("example/passthrough_hp"), "--help"]).stdout
    for word in ("io_uring", "io_uring_q_depth", "io_uring_poll_us", "stats=", "--nocache"):
        assert word in text, text
