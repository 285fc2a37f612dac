# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the shim's tests."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from fake_daemon import FakeDaemon  # noqa: E402
from shim_support import run_victim  # noqa: E402


@pytest.fixture
def shim_lib():
    return os.environ["SHIM_LIB"]


@pytest.fixture
def daemon(tmp_path):
    d = FakeDaemon(str(tmp_path)).start()
    yield d
    d.stop()


@pytest.fixture
def victim(daemon):
    """victim("victim_file", "name of a test", ...) on one open file."""
    fds = []

    def run(program, *args, **kw):
        fd = daemon.open()
        fds.append(fd)
        return run_victim(daemon, program, "fd:%d" % fd, *args, fds=[fd], **kw)

    yield run
    for fd in fds:
        os.close(fd)
