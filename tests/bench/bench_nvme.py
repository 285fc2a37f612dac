#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The NVMe path: commands per second and CPU of the daemon per command, beside
what the same bytes cost without a device in the same run. One JSON object.

bench_nvme.py BUILD-DIRECTORY [--quick] [--rounds N] [--before COMMAND...]

Each figure is the best of N rounds, since other work on the machine only ever
takes away. --before puts a command in front of everything measured, e.g.
`--before chrt -r 1` where the machine has other work to do.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

MIB = 1 << 20
BDF = "0000:01:00.0"
SIZES = [(512, 1), (512, 32), (512, 256), (4096, 1), (4096, 32), (4096, 256),
         (131072, 32)]


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=0.3)
    p.add_argument("--before", nargs=argparse.REMAINDER, default=[])
    return p.parse_args()


class Instance:
    """A standing daemon, so that its CPU can be told from the program's."""

    def __init__(self, args, work, device):
        self.args, self.work = args, work
        self.softvfio = str(args.build.resolve() / "cli" / "softvfio")
        self.perf = str(args.build.resolve() / "examples" / "nvme-perf")
        self.env = dict(os.environ, XDG_RUNTIME_DIR=str(work))
        self.proc = subprocess.Popen(
            [*args.before, self.softvfio, "serve", "--instance", "bench", "-d",
             device], cwd=work, env=self.env, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        self.proc.stdout.readline()  # says that it is ready

    def run(self, *command):
        return subprocess.run(
            [*self.args.before, self.softvfio, "run", "--instance", "bench",
             "--", *command], cwd=self.work, env=self.env, check=True,
            capture_output=True, text=True).stdout

    def cpu_ns(self):
        """Of the daemon, threads that have ended included"""
        pids = [self.proc.pid]
        total = 0
        for pid in pids:
            # the clock of another process: clock_getcpuclockid(3)
            total += time.clock_gettime_ns(~pid << 3 | 2)
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
            pids += map(int, children.read_text().split())
        return total

    def nvme_perf(self, size, depth, memory, *more):
        before = self.cpu_ns()
        out = json.loads(self.run(
            self.perf, "-j", "-s", str(size), "-q", str(depth), "-m", memory,
            "-t", str(self.args.seconds), *more, BDF))
        # the warm-up is a tenth of the time
        out["daemon_cpu_us"] = (self.cpu_ns() - before) / 1e3 / \
            (out["commands"] * 1.1)
        return out

    def qemu_bench(self, depth, count):
        before = self.cpu_ns()
        out = self.run("qemu-img", "bench", "-f", "raw", "-c", str(count),
                       "-d", str(depth), "-s", "4096",
                       f"nvme://{BDF}/1")
        seconds = float(re.search(r"in ([0-9.]+) seconds", out).group(1))
        return {"iops": count / seconds, "commands": count,
                "daemon_cpu_us": (self.cpu_ns() - before) / 1e3 / count}

    def close(self):
        self.proc.terminate()
        self.proc.communicate()


def best(rounds, measure):
    return max((measure() for _ in range(rounds)), key=lambda r: r["iops"])


def figures(r):
    """What is worth printing, with three digits that mean something."""
    return {k: round(r[k], 3 if k.endswith("_us") else 0)
            for k in ("iops", "mb_s", "daemon_cpu_us", "client_cpu_us")
            if k in r}


def measure_device(args, work, device, memories):
    result = {}
    i = Instance(args, work, device)
    try:
        # storage that was never written to is not what is to be measured
        i.nvme_perf(131072, 32, "file", "-w")
        for memory in memories:
            for size, depth in SIZES[1:2] if args.quick else SIZES:
                result[f"{memory} {size} B x{depth}"] = figures(best(
                    args.rounds, lambda: i.nvme_perf(size, depth, memory)))
        for depth in (1, 32):
            count = 2000 if args.quick else 5000 + 2000 * depth
            result[f"qemu-img bench 4096 B x{depth}"] = figures(best(
                args.rounds, lambda: i.qemu_bench(depth, count)))
    finally:
        i.close()
    return result


def plain_qemu(args, disk):
    """qemu-img bench of the file itself, no device in between"""
    def one(depth, count):
        out = subprocess.run(
            [*args.before, "qemu-img", "bench", "-f", "raw", "-c", str(count),
             "-d", str(depth), "-s", "4096", str(disk)], check=True,
            capture_output=True, text=True).stdout
        seconds = float(re.search(r"in ([0-9.]+) seconds", out).group(1))
        return {"iops": count / seconds}
    return {f"qemu-img bench of the file 4096 B x{d}": figures(best(
        args.rounds, lambda: one(d, 2000 if args.quick else 20000)))
        for d in (1, 32)}


def floors(args, disk):
    floor = args.build.resolve() / "tests" / "bench" / "bench_floor"
    out = json.loads(subprocess.run([*args.before, floor, disk], check=True,
                                    capture_output=True, text=True).stdout)
    out.update(plain_qemu(args, disk))
    return out


def main():
    args = arguments()
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        disk = work / "disk.img"
        disk.write_bytes(os.urandom(MIB) * 64)
        result = {
            "load": os.getloadavg()[0],
            "floors": floors(args, disk),
            "memory": measure_device(args, work, "nvme,size=64M",
                                     ["file", "mem"]),
            "image": measure_device(args, work, f"nvme,file={disk}",
                                    ["file", "mem"]),
        }
    print(json.dumps(result, indent=1))


main()
