#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Instructions that the daemon executes, per call: one JSON object.

Unlike a time they are nearly the same in each run, so that what was built can
be compared with what was built before.

bench_count.py BUILD-DIRECTORY
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(sys.argv[1]).resolve()
SOFTVFIO = str(BUILD / "cli" / "softvfio")
COUNT = str(BUILD / "tests" / "bench" / "bench_count")
EDU, NVME = "0000:01:00.0", "0000:02:00.0"
FEW, MANY = 1000, 3000
ROUNDS = 3      # the least is what it costs when nothing comes between


def program(thing, n):
    if thing == "nvme_read":
        return ["qemu-img", "bench", "-f", "raw", "-c", str(n), "-d", "1",
                "-s", "4096", f"nvme://{NVME}/1"]
    return [COUNT, EDU, thing, str(n)]


def instructions(work, *command):
    """Of the daemon, from start to end"""
    env = dict(os.environ, XDG_RUNTIME_DIR=str(work))
    serve = subprocess.Popen(
        ["valgrind", "-q", "--tool=callgrind",
         f"--callgrind-out-file={work}/out.%p",
         SOFTVFIO, "serve", "--instance", "count", "-d", f"edu,bdf={EDU}",
         "-d", f"nvme,size=16M,bdf={NVME}"],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True)
    serve.stdout.readline()
    subprocess.run([SOFTVFIO, "run", "--instance", "count", "--", *command],
                   env=env, check=True, stdout=subprocess.DEVNULL)
    serve.terminate()
    serve.wait()
    total = 0
    for out in work.glob("out.*"):
        total += int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(),
                               re.M).group(1))
        out.unlink()
    return total


def cost(work, thing):
    few, many = (min(instructions(work, *program(thing, n))
                     for _ in range(ROUNDS)) for n in (FEW, MANY))
    return round((many - few) / (MANY - FEW))


with tempfile.TemporaryDirectory() as d:
    print(json.dumps({f"{thing}_instructions": cost(pathlib.Path(d), thing)
                      for thing in ("map", "pread", "trap", "nvme_read")}))
