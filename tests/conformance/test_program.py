# SPDX-License-Identifier: BSD-3-Clause
"""softvfio-conformance: its lines are fit to be compared with others."""
import re
import subprocess

import pytest

from support import BUILD, SOFTVFIO, deadline

PROGRAM = BUILD / "conformance" / "softvfio-conformance"
NAME = re.compile(r"[a-z]+(\.[A-Za-z0-9_+]+)+")
EDU = ("-d", "edu")


def run(devices, *args):
    """Its lines under softvfio on a machine with @devices."""
    done = subprocess.run([SOFTVFIO, "run", *devices, "--", PROGRAM, *args],
                          timeout=deadline(120), capture_output=True,
                          text=True, check=True)
    return done.stdout.splitlines()


def names(lines):
    return [line.split(" ")[0] for line in lines]


@pytest.fixture(scope="module", name="listed")
def all_names():
    """What --list prints, which needs no device."""
    done = subprocess.run([PROGRAM, "--list"], timeout=deadline(60),
                          capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_names_are_words_and_unique(listed):
    assert [n for n in listed if not NAME.fullmatch(n)] == []
    assert len(set(listed)) == len(listed) > 1500


def test_a_run_prints_each_listed_case_once_in_order(listed):
    lines = run(EDU, "--area", "info")
    assert names(lines) == [n for n in listed if n.startswith("info.")]
    assert not [line for line in lines if "broken=" in line]


def test_two_runs_print_the_same():
    args = (EDU, "--case", "close.edu.order.C")
    first = run(*args)
    assert len(first) == 6
    assert first == run(*args)


def test_cases_without_their_device_are_skipped(listed):
    lines = run(("-d", "ram"), "--area", "unmap")
    assert names(lines) == [n for n in listed if n.startswith("unmap.")]
    assert all(line.split(" ", 1)[1] == 'skip="no edu 0"' for line in lines)


def test_case_selects_by_prefix(listed):
    lines = run(EDU, "--case", "map.v2.range.bits")
    assert names(lines) == [n for n in listed
                            if n.startswith("map.v2.range.bits")]


def test_wrong_options_are_refused():
    for args in (["--area", "nothing"], ["--unknown"], ["word"]):
        done = subprocess.run([PROGRAM, *args], timeout=deadline(60),
                              capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "usage:" in done.stderr
