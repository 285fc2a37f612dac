# SPDX-License-Identifier: BSD-3-Clause
"""Scripts under the shim: vfio.py and the test's own lines, as one program.

They travel on the command line, since an ordinary user may not be able to read
the tree the tests are in.
"""
import pathlib
import sys
import textwrap

import pytest

LIBRARY = (pathlib.Path(__file__).parent / "vfio.py").read_text()


@pytest.fixture
def script():
    """Turns Python source into a command line for `softvfio run --`."""
    def make(source, *args):
        source = LIBRARY + "\nimport errno, signal, socket, sys\n" + \
            textwrap.dedent(source)
        return [sys.executable, "-c", source, *args]
    return make
