# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of all Python suites."""
import pytest

import support


@pytest.fixture(params=support.users())
def user(request):
    u = support.User(request.param)
    yield u
    u.done()


@pytest.fixture
def me():
    u = support.User("self")
    yield u
    u.done()


@pytest.fixture
def serve(me):
    """A function that starts a standing daemon; all are ended by the test."""
    running = []

    def start(*devices, **kw):
        s = support.Serve(me, *devices, name=f"test{len(running)}", **kw)
        running.append(s)
        return s

    yield start
    for s in running:
        s.stop()
