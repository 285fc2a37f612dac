# SPDX-License-Identifier: BSD-3-Clause
"""What a machine can't do is a skip with its reason, for meson and for
tools/summary.py, in each way that a test is run here."""
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import pytest

import support

TESTS = pathlib.Path(__file__).resolve().parent.parent
SUMMARY = TESTS.parent / "tools" / "summary.py"
CONFINE = support.BUILD / "tests" / "client" / "confine"
SKIPS = support.BUILD / "tests" / "runners" / "skips"
TEST_ABI = support.BUILD / "tests" / "abi" / "test_abi"
PYTEST = f"{sys.executable} {TESTS}/run_pytest.py -q -rs -p no:cacheprovider"
WHY = "no flux here"

# What pytest is given.
SCRIPTS = {
    "passes.py": "def test_passes(): pass\n",
    "skips.py": f"import pytest\ndef test_skips(): pytest.skip('{WHY}')\n",
    "fails.py": "def test_fails(): assert False\n",
    "gone/pytest.py": "raise ImportError('it has gone')\n",
}

# A command; what meson has to say of it, and of its lines of TAP; tests that
# passed, failed and were skipped; a part of what the summary says.
Kind = collections.namedtuple("Kind", "command result lines counts said")
OK, SKIP, FAIL = "ok", "skipped", "failure"
KINDS = {
    "cmocka": Kind(f"CMOCKA_MESSAGE_OUTPUT=TAP exec {SKIPS}", "OK", [OK, SKIP],
                   [1, 0, 1], "cannot_be_done: no flux here"),
    "abi": Kind(f"exec {TEST_ABI} hotreset", "SKIP", [SKIP], [0, 0, 1],
                "no ram 0"),
    "lines": Kind(f"echo '1..2\nok 1 - it # SKIP {WHY}\nok 2 - that # 2'",
                  "OK", [SKIP, OK], [1, 0, 1], WHY),
    "plan": Kind(f"echo '1..0 # SKIP {WHY}'", "SKIP", [], [0, 0, 1], WHY),
    "status": Kind(f"echo {WHY}; exit 77", "SKIP", None, [0, 0, 1], WHY),
    "status, on stderr": Kind(f"echo {WHY} >&2; exit 77", "SKIP", None,
                              [0, 0, 1], WHY),
    "pytest": Kind(f"exec {PYTEST} passes.py skips.py", "OK", None, [1, 0, 1],
                   WHY),
    "pytest, all": Kind(f"exec {PYTEST} skips.py", "SKIP", None, [0, 0, 1],
                        WHY),
    "no pytest": Kind(f"PYTHONPATH=gone exec {PYTEST} passes.py", "SKIP", None,
                      [0, 0, 1], "pytest is not installed"),
    "confine": Kind(f"exec {CONFINE} -d 'a wish' true", "SKIP", None,
                    [0, 0, 1], "a wish"),
    # no skips
    "not ok": Kind("echo '1..1\nnot ok 1 - it'", "FAIL", [FAIL], [0, 1, 0],
                   "FAILED"),
    "skip that is not ok": Kind(f"echo '1..1\nnot ok 1 # SKIP {WHY}'", "FAIL",
                                [FAIL], [0, 1, 0], "FAILED"),
    "pytest, one failed": Kind(f"exec {PYTEST} fails.py skips.py", "FAIL",
                               None, [0, 1, 1], "FAILED"),
    "a death": Kind("echo '1..1\nok 1 - it'; kill -9 $$", "ERROR", [OK],
                    [1, 1, 0], "FAILED"),
}


def write_project(folder):
    """All kinds as tests of a project, each in a script named by its number."""
    lines = ["project('runners')"]
    for n, kind in enumerate(KINDS.values()):
        script = folder / f"{n}.sh"
        script.write_text(f"#!/bin/sh\ncd {folder}\n{kind.command}\n")
        script.chmod(0o755)
        protocol = "exitcode" if kind.lines is None else "tap"
        lines.append(f"test('{n}', find_program('{n}.sh'), "
                     f"protocol: '{protocol}')")
    (folder / "meson.build").write_text("\n".join(lines) + "\n")
    for name, text in SCRIPTS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def need_meson():
    if not shutil.which("meson"):
        pytest.skip("meson is not in the path")


@pytest.fixture(scope="module", name="logs")
def meson_logs(tmp_path_factory):
    """Where meson wrote about all of them."""
    need_meson()
    folder = tmp_path_factory.mktemp("runners")
    write_project(folder)
    subprocess.run(["meson", "setup", folder / "build", folder], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["meson", "test", "-C", folder / "build"], check=False,
                   stdout=subprocess.DEVNULL)
    return folder / "build" / "meson-logs"


def subtests(logs, name):
    """Meson's word for each line of TAP."""
    root = xml.etree.ElementTree.parse(logs / "testlog.junit.xml").getroot()
    suites = [s for s in root.iter("testsuite")
              if s.get("name").rpartition(".")[2] == name]
    return [next((e.tag for e in case if e.tag in (SKIP, FAIL)), OK)
            for suite in suites for case in suite.iter("testcase")]


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_counted_as_what_it_is(logs, tmp_path, name):
    kind, number = KINDS[name], str(list(KINDS).index(name))
    entry = next(line for line in (logs / "testlog.json").open()
                 if json.loads(line)["name"] == number)
    assert json.loads(entry)["result"] == kind.result, entry
    if kind.lines is not None:
        assert subtests(logs, number) == kind.lines, entry

    (tmp_path / "log").write_text(entry)
    said = subprocess.run([sys.executable, SUMMARY, tmp_path / "log"],
                          check=True, capture_output=True, text=True).stdout
    closing = re.search(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", said,
                        re.M)
    assert list(map(int, closing.groups())) == kind.counts, said
    assert kind.said in said


# What tools/check asks for

def test_a_short_run_makes_fewer_schedules():
    done = subprocess.run(
        [support.BUILD / "tests" / "sched" / "schedules", "gate", "10000"],
        env={**os.environ, "SOFTVFIO_SCHEDULES": "200"}, check=True,
        capture_output=True, text=True)
    assert "# 200 schedules of " in done.stdout


def test_a_tier_that_there_is_not_is_named():
    done = subprocess.run([TESTS.parent / "tools" / "check", "everything"],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 2 and "'everything' is no tier" in done.stderr


def test_every_suite_that_a_tier_asks_for_is_there():
    need_meson()
    text = (TESTS.parent / "tools" / "check").read_text()
    asked = {name for names in re.findall(r"--suite=\{(.*?)\}", text)
             for name in names.split(",")}
    asked |= set(re.findall(r"--no-suite=(\w+)", text))
    listed = subprocess.run(["meson", "introspect", "--tests", support.BUILD],
                            check=True, capture_output=True, text=True).stdout
    there = {suite.rpartition(":")[2] for test in json.loads(listed)
             for suite in test["suite"]}
    there.add("long")   # in gcc's plain build only
    assert len(asked) > 5 and asked <= there
