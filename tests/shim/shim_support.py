# SPDX-License-Identifier: BSD-3-Clause
"""
Running victims under the shim. SHIM_LIB is the library, SHIM_VICTIMS the
directory of the programs; meson sets both.
"""
import os
import subprocess

TIMEOUT = 60


def run_victim(daemon, program, *args, fds=(), check=True, env=()):
    """Run a victim under the shim; its standard error goes to the test's."""
    path = os.path.join(os.environ["SHIM_VICTIMS"], program)
    environment = dict(os.environ, LD_PRELOAD=os.environ["SHIM_LIB"],
                       SOFTVFIO_DIR=daemon.directory,
                       SOFTVFIO_DAEMON=daemon.identity)
    environment.update(env)
    r = subprocess.run([path, *map(str, args)], env=environment,
                       pass_fds=fds, timeout=TIMEOUT,
                       stdout=subprocess.PIPE, text=True)
    if check:
        assert r.returncode == 0, r.stdout
    return r
