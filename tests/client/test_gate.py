# SPDX-License-Identifier: BSD-3-Clause
"""The memory gate as programs see it (victim_gate.c): what mappings do while
memory decode, resets and power states come and go, under many threads.

Each stress test has the rounds that its promise was tried with, and a share of
them that every run makes. SOFTVFIO_SOAK=1 makes them all.
"""
import os
import re

import pytest

import support

HERE = support.BUILD / "tests" / "client"
MACHINE = (
    "-d", "ram,size=64M,slot=a", "-d", "ram,slot=a",
    "-d", "ram,af,nosoftrst", "-d", "edu", "-d", "edu", "-d", "nvme,size=1M")
SOAK = os.environ.get("SOFTVFIO_SOAK")
SLOW = int(os.environ.get("SOFTVFIO_SLOW", "1"))
REPORT = re.compile(r"\d+ refusals?; |\d+ DMA mappings? .* left behind |"
                    r"[0-9a-f:.]+: \d+ DMA access(es)? "
                    r"(missed|with bus mastering off)$")

ONCE = [
    "every_mapping_1_0_1", "closed_calls_1_0_5", "every_way_1_0_7",
    "power_1_0_7", "split_mappings_1_1_7", "attributes_1_2_1",
    "handed_over_1_2_2", "stopped_1_2_3", "aborted_peer"]

# name: rounds of a run, rounds of a soak
ROUNDS = {
    "toggling_1_0_3": (2000, 100000),
    "resets_1_0_4": (1000, 100000),
    "hot_resets_1_0_4": (500, 100000),
    "sibling_1_0_8": (500, 10000),
    "fork_and_unmap_1_0_9": (200, 10000),
    "same_page_1_1_1": (50, 10000),
    "different_pages_1_1_2": (50, 10000),
    "each_other": (2000, 100000),
}


def check(result):
    status, out, err = result
    assert status == 0 and out == "", out + err
    strange = [line for line in err.splitlines() if not REPORT.match(line)]
    assert not strange, err


def run(user, *args):
    check(user.softvfio("run", *MACHINE, "--", user.bring(HERE / "victim_gate"),
                        *args))


@pytest.mark.parametrize("name", ONCE)
def test_gate(user, name):
    run(user, name)


@pytest.mark.parametrize("name", ROUNDS)
def test_gate_under_load(me, name):
    few, many = ROUNDS[name]
    run(me, name, str(many if SOAK else max(few // SLOW, 10)))
