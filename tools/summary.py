#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Add up meson's test logs: every TAP line is a test, any other program one.

Prints each failure and each skip with its reason, then the closing line
"N passed, N failed, N skipped".
"""
import json
import re
import sys

TAP = re.compile(r"^(not )?ok \d+(?: -)?([^#]*)(?:#\s*(skip|todo)\b(.*))?",
                 re.I)


def tap_counts(test, out):
    """(passed, failed, skipped) of one program's TAP, or None without any.
    As meson has it, a skip that is "not ok" has failed."""
    counts = [0, 0, 0]
    for line in out.splitlines():
        m = TAP.match(line.strip())
        if not m:
            continue
        name = m.group(2).strip()
        directive = (m.group(3) or "").lower()
        if m.group(1) and directive != "todo":
            counts[1] += 1
            print(f"FAILED: {test}: {name}")
        elif directive:
            counts[2] += 1
            print(f"skip: {test}: {name}: {m.group(4).strip()}")
        else:
            counts[0] += 1
    return counts if any(counts) else None


def pytest_counts(test, out):
    """(passed, failed, skipped) of pytest's last line, or None."""
    lines = out.strip().splitlines()
    if not lines or not re.search(r" in \d+\.\d+s", lines[-1]):
        return None
    for line in lines:
        if line.startswith("SKIPPED"):
            print(f"skip: {test}: {line}")
    found = dict((what, int(n)) for n, what in
                 re.findall(r"(\d+) (passed|failed|skipped|errors?)",
                            lines[-1]))
    failed = sum(n for what, n in found.items()
                 if what in ("failed", "error", "errors"))
    if not found:
        return None
    if failed:
        print(f"FAILED: {test}: {lines[-1]}")
    return [found.get("passed", 0), failed, found.get("skipped", 0)]


def count(path):
    total = [0, 0, 0]
    with open(path, encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            result = test["result"]
            out = test.get("stdout", "")
            counts = pytest_counts(test["name"], out) or \
                tap_counts(test["name"], out)
            if counts is None:
                counts = [result == "OK", result not in ("OK", "SKIP"),
                          result == "SKIP"]
                if result == "SKIP":
                    reason = (out.strip() or test.get("stderr", "")
                              ).strip().splitlines()
                    print(f"skip: {test['name']}: {' '.join(reason[-1:])}")
            elif result not in ("OK", "SKIP") and not counts[1]:
                print(f"FAILED: {test['name']}: {result}")
                counts[1] += 1
            total = [a + int(b) for a, b in zip(total, counts)]
    return total


def main():
    totals = [[0, 0, 0], *map(count, sys.argv[1:])]
    passed, failed, skipped = (sum(t) for t in zip(*totals))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")


main()
