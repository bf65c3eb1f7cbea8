# SPDX-License-Identifier: GPL-2.0-only
"""Files by their descriptors."""

import contextlib
import os


@contextlib.contextmanager
def opened(path, flags=os.O_RDWR, mode=0o666):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)
