#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""pytest as meson wants it: where there is no pytest, or everything was
skipped, that is a skip (status 77)."""
import sys

SKIPPED = 77

try:
    import pytest
except ImportError as err:
    print(f"pytest is not installed (Debian package python3-pytest): {err}")
    sys.exit(SKIPPED)


class Tally:
    """Was anything but skipped?"""

    def __init__(self):
        self.skipped = self.other = 0

    def pytest_runtest_logreport(self, report):
        self.skipped += report.skipped
        self.other += report.when == "call" and not report.skipped


def main():
    """An exit status."""
    tally = Tally()
    status = pytest.main(sys.argv[1:], plugins=[tally])
    nothing_done = tally.skipped and not tally.other
    return SKIPPED if status == pytest.ExitCode.OK and nothing_done else status


sys.exit(main())
