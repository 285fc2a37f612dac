#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Is docs/howto-device.md true? Takes the code from the page, builds it the way
the page says, runs it, and compares what it prints with what the page shows.

Usage: howto_device.py PAGE SOURCE_ROOT, with CC and SANITIZE (as meson's
b_sanitize) in the environment. Prints TAP.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

FILES = ("dice.h", "dice.c", "dice_test.c", "driver.c")
STRICT = ["-Wall", "-Wextra", "-Werror"]
DEADLINE = 120  # seconds, for a compiler or a program that hangs


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def check(self, ok, name, details=""):
        self.count += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.count} - {name}")
        if not ok:
            for line in details.splitlines():
                print(f"# {line}")
        return ok


def fences(page):
    """Text of the blocks, by info string; several of one name are joined."""
    found = {}
    for info, text in re.findall(r"^```([^\n]+)\n(.*?)^```$", page, re.M | re.S):
        found[info] = found.get(info, "") + text
    return found


def run(command, cwd):
    return subprocess.run(command, cwd=cwd, text=True, timeout=DEADLINE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def compiler():
    command = shlex.split(os.environ.get("CC", "cc")) + ["-g"]
    sanitize = os.environ.get("SANITIZE", "none")
    if sanitize != "none":
        command.append(f"-fsanitize={sanitize}")
    return command


def build(tap, cwd, name, args):
    done = run(compiler() + STRICT + args, cwd)
    return tap.check(done.returncode == 0, name, done.stdout)


def check_page(tap, page, root, cwd):
    blocks = fences(page)
    for name in FILES:
        code = blocks.get(f"c {name}", "")
        tap.check(bool(code), f"the page has {name}")
        (cwd / name).write_text(code)
    lines = blocks.get("c dice.c", "").count("\n")
    tap.check(lines <= 140, "the device is short", f"{lines} lines")
    api = f"-I{root / 'include'}"
    host = root / "tests" / "unit"
    build(tap, cwd, "the device needs the API only",
          [api, "-c", "dice.c", "-o", "dice.o"])
    if build(tap, cwd, "the test builds",
             [api, f"-I{host}", "dice_test.c", "dice.o",
              str(host / "devhost.c"), "-o", "dice_test"]):
        done = run(["./dice_test"], cwd)
        shown = blocks.get("text output", "")
        tap.check(done.returncode == 0 and done.stdout == shown,
                  "it prints what the page shows",
                  f"printed:\n{done.stdout}page:\n{shown}")
    build(tap, cwd, "the VFIO driver builds", ["driver.c", "-o", "driver"])


def main():
    page = pathlib.Path(sys.argv[1]).read_text()
    root = pathlib.Path(sys.argv[2]).resolve()
    tap = Tap()
    with tempfile.TemporaryDirectory() as scratch:
        check_page(tap, page, root, pathlib.Path(scratch))
    print(f"1..{tap.count}")
    return 0 if not tap.failed else 1


if __name__ == "__main__":
    sys.exit(main())
