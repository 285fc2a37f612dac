# SPDX-License-Identifier: BSD-3-Clause
"""The same program and the same machine on softvfio."""
import os
import pathlib
import subprocess
import tempfile

from oraclelib import machine, place

PROGRAM = "conformance/softvfio-conformance"


def run(build, args, deadline):
    """The lines of the program on softvfio."""
    with tempfile.TemporaryDirectory(prefix="oracle-") as name:
        topology = machine.topology(pathlib.Path(name))
        # RLIMIT_MEMLOCK holds on Linux, so it has to here
        command = [pathlib.Path(build, "cli/softvfio"), "run", "--memlock",
                   "enforce", "-c", topology, "--",
                   pathlib.Path(build, PROGRAM), *args]
        env = {**os.environ, "SOFTVFIO_REPORT": "0"}
        try:
            done = subprocess.run(command, timeout=deadline, text=True,
                                  stdin=subprocess.DEVNULL, env=env,
                                  capture_output=True, check=False,
                                  errors="replace")
        except subprocess.TimeoutExpired as err:
            text = (err.stdout or b"").decode(errors="replace")
            raise place.Failed(f"softvfio: not done after {deadline} s; the "
                               "last case:\n"
                               f"{text[text.rstrip().rfind(chr(10)):]}"
                               ) from err
        except OSError as err:
            raise place.Failed(f"{command[0]}: {err.strerror}; build it, or "
                               "say --build") from err
    if done.returncode:
        raise place.Failed(f"softvfio: status {done.returncode}\n"
                           f"{done.stdout[-1000:]}{done.stderr[-4000:]}")
    return ["# softvfio", *done.stdout.splitlines()]
