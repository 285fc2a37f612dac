#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The memory gate: closing and opening BARs, and what touching one costs a
program, each beside the bare calls in the same run. One JSON object: ratios,
and the medians they are made of.

bench_gate.py BUILD-DIRECTORY [--rounds N] [--before COMMAND...]

--before puts a command in front of everything measured, e.g.
`--before chrt -r 1` where the machine has other work to do.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess

BDF = "0000:01:00.0"


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--before", nargs=argparse.REMAINDER, default=[])
    return p.parse_args()


def measured(args, *command):
    return json.loads(subprocess.run(
        [*args.before, *command], check=True, capture_output=True,
        text=True).stdout)


def medians(runs):
    return {k: statistics.median(r[k] for r in runs) for k in runs[0]}


def touching(args, bench):
    """The bare program and the same under softvfio, by turns."""
    softvfio = args.build.resolve() / "cli" / "softvfio"
    bare, ours = [], []
    for _ in range(args.rounds):
        bare.append(measured(args, bench / "bench_touch"))
        ours.append(measured(
            args, softvfio, "run", "-d", "ram,size=256M", "--",
            bench / "bench_touch", BDF))
    bare, ours = medians(bare), medians(ours)
    # plain memory of the same program: there is no other difference
    floors = {k: ours["plain_" + k] if k.startswith("store_") else bare[k]
              for k in ours if not k.startswith("plain_")}
    return {k: {"now": ours[k], "floor": floors[k]} for k in floors}


def closing(shapes):
    """A shape's figures by what was done, or the reason why there are none."""
    result = {}
    for name, shape in shapes.items():
        if "skipped" in shape:
            result[name] = shape
            continue
        for what in ("close", "open"):
            result[f"{name}_{what}_us"] = {
                "now": shape[f"{what}_us"],
                "floor": shape[f"{what}_floor_us"]}
    return result


def main():
    args = arguments()
    bench = args.build.resolve() / "tests" / "bench"
    gate = measured(args, bench / "bench_gate")
    calls = {k: gate.pop(k) for k in list(gate) if not isinstance(gate[k], dict)}
    figures = closing(gate) | touching(args, bench)
    print(json.dumps({
        "load": os.getloadavg()[0],
        "ratios": {k: round(v["now"] / v["floor"], 2)
                   for k, v in figures.items() if "floor" in v},
        "figures": figures,
        "calls": calls,
    }, indent=1))


main()
