# SPDX-License-Identifier: GPL-2.0-only
"""What the tests share: the build under test, clients in child processes, mounts."""
