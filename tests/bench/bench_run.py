#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Start-up cost, and qemu-img convert against cp: one JSON object.

bench_run.py BUILD-DIRECTORY
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1]).resolve()
SOFTVFIO = str(BUILD / "cli" / "softvfio")
GIB = 1 << 30


def seconds(args, cwd, rounds):
    """Median of @rounds runs."""
    times = []
    for _ in range(rounds):
        t = time.perf_counter()
        subprocess.run(args, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - t)
    return statistics.median(times)


def startup(work):
    bare = seconds(["true"], work, 50)
    run = seconds([SOFTVFIO, "run", "-d", "edu", "--", "true"], work, 50)
    return {"bare_true_ms": bare * 1e3, "run_true_ms": run * 1e3,
            "startup_cost_ms": (run - bare) * 1e3}


def convert(work):
    with open(f"{work}/disk.img", "wb") as f:
        block = os.urandom(1 << 24)
        for _ in range(GIB // len(block)):
            f.write(block)
    cp = seconds(["cp", "--reflink=never", "disk.img", "cp.img"], work, 3)
    plain = seconds(["qemu-img", "convert", "-f", "raw", "-O", "raw",
                     "disk.img", "plain.img"], work, 3)
    nvme = seconds([SOFTVFIO, "run", "-d", "nvme,file=disk.img", "--",
                    "qemu-img", "convert", "-f", "raw", "-O", "raw",
                    "nvme://0000:01:00.0/1", "copy.img"], work, 3)
    subprocess.run(["cmp", "disk.img", "copy.img"], cwd=work, check=True)
    return {"cp_1gib_s": cp, "qemu_img_file_1gib_s": plain,
            "qemu_img_nvme_1gib_s": nvme, "nvme_over_cp": nvme / cp,
            "nvme_over_qemu_img_file": nvme / plain}


def idle(work):
    """CPU the daemon takes while a program has the device open and waits."""
    source = ("import sys, time; sys.path.insert(0, sys.argv[1]); "
              "from vfio import Device; d = Device('0000:01:00.0'); "
              "print('ready', flush=True); sys.stdin.readline()")
    here = pathlib.Path(__file__).resolve().parent.parent / "client"
    p = subprocess.Popen([SOFTVFIO, "run", "-d", "nvme,size=1M", "--",
                          sys.executable, "-c", source, str(here)], cwd=work,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdout.readline()
    children = pathlib.Path(f"/proc/{p.pid}/task/{p.pid}/children")
    daemon = next(c for c in children.read_text().split()
                  if "python" not in os.readlink(f"/proc/{c}/exe"))

    def ticks():
        f = pathlib.Path(f"/proc/{daemon}/schedstat").read_text().split()
        tasks = pathlib.Path(f"/proc/{daemon}/task").iterdir()
        return sum(int((t / "schedstat").read_text().split()[0])
                   for t in tasks) if f else 0

    time.sleep(1)
    a, t = ticks(), time.monotonic_ns()
    time.sleep(4)
    share = (ticks() - a) / (time.monotonic_ns() - t)
    p.communicate(b"\n")
    return {"idle_cpu_percent": share * 100}


def main():
    result = {}
    with tempfile.TemporaryDirectory() as work:
        result.update(startup(work))
        result.update(idle(work))
        result.update(convert(work))
    print(json.dumps({k: round(v, 3) for k, v in result.items()}))


main()
