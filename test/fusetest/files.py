# SPDX-License-Identifier: GPL-2.0-only
"""Files by their descriptors, and system calls that are to fail."""

import contextlib
import errno
import os

import pytest


@contextlib.contextmanager
def opened(path, flags=os.O_RDWR, mode=0o666):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def fails(*names):
    """One of these errors, such as "ENOENT"."""
    with pytest.raises(OSError) as caught:
        yield
    assert caught.value.errno in [getattr(errno, name) for name in names], caught.value
