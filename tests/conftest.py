# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of all Python suites."""
import pytest

import support


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "only_if(condition, why): no promise of other builds")


def pytest_collection_modifyitems(config, items):
    """Leave out what this build does not promise: that is no skip, which says
    that something could not be tried."""
    wrong = [i for i in items
             if not all(m.args[0] for m in i.iter_markers("only_if"))]
    config.hook.pytest_deselected(items=wrong)
    items[:] = [i for i in items if i not in wrong]


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
