#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Instructions that the daemon executes, per call, and of a trapped access those
of the program, whose handler makes it: one JSON object.

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
    return counted(work)


def counted(work):
    total = 0
    for out in work.glob("out.*"):
        # what a signal's handler takes is in the last figure only
        total += int(re.findall(r"^(?:totals|summary): (\d+)",
                                out.read_text(), re.M)[-1])
        out.unlink()
    return total


def of_program(work, *command):
    """Of the program; the daemon is not looked at"""
    env = dict(os.environ, XDG_RUNTIME_DIR=str(work))
    subprocess.run([SOFTVFIO, "run", "-d", f"edu,bdf={EDU}", "--", "valgrind",
                    "-q", "--tool=callgrind",
                    f"--callgrind-out-file={work}/out.%p", *command],
                   env=env, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return counted(work)


def cost(work, thing, count=instructions):
    few, many = (min(count(work, *program(thing, n))
                     for _ in range(ROUNDS)) for n in (FEW, MANY))
    return round((many - few) / (MANY - FEW))


with tempfile.TemporaryDirectory() as d:
    work = pathlib.Path(d)
    costs = {f"{thing}_instructions": cost(work, thing)
             for thing in ("map", "pread", "trap", "nvme_read")}
    costs["trap_program_instructions"] = cost(work, "trap", of_program)
    print(json.dumps(costs))
