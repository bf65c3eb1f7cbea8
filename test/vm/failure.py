# SPDX-License-Identifier: GPL-2.0-only
"""What ends a run before the command could give its own status."""

CANNOT = 3  # the source, the build or the tools are missing
TOLD = 90  # the kernel reported a problem
DIED = 91  # the guest ended without a status
TIMEOUT = 124


class Failure(Exception):
    """One line for the user, and the exit status."""

    def __init__(self, message, status=CANNOT):
        super().__init__(message)
        self.status = status


class Signalled(BaseException):
    """SIGINT, SIGTERM and SIGHUP, raised wherever the program is."""

    def __init__(self, number):
        super().__init__(number)
        self.status = 128 + number
