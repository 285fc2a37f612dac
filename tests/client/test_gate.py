# SPDX-License-Identifier: BSD-3-Clause
"""The memory gate as programs see it (victim_gate*.c): what mappings do while
memory decode, resets and power states come and go, under many threads.

Each stress test has the rounds that its promise was tried with, and a share of
them that every run makes. SOFTVFIO_SOAK=1 makes them all.
"""
import os
import pathlib
import re
import subprocess

import pytest

import support

HERE = support.BUILD / "tests" / "client"
ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = [*ROOT.glob("tests/client/victim_gate*.c"),
           *ROOT.glob("tests/unit/test_*.c")]
MACHINE = (
    "-d", "ram,size=64M,slot=a", "-d", "ram,slot=a",
    "-d", "ram,af,nosoftrst", "-d", "edu,bar4=io:64", "-d", "edu",
    "-d", "nvme,size=1M")
SOAK = os.environ.get("SOFTVFIO_SOAK")
SLOW = int(os.environ.get("SOFTVFIO_SLOW", "1"))
REPORT = re.compile(r"\d+ refusals?; |\d+ DMA mappings? .* left behind |"
                    r"[0-9a-f:.]+: (\d+ DMA access(es)? "
                    r"(missed|with bus mastering off)$|"
                    # a doorbell of a queue that a reset has removed
                    r"the driver made \d+ mistakes?; )")

ONCE = [
    "every_mapping_1_0_1", "same_addresses_1_0_2", "closed_calls_1_0_5",
    "io_bar_1_0_5", "ioeventfds_1_0_6", "every_way_1_0_7", "power_1_0_7",
    "closed_buffers_1_0_10", "counted_once_1_1_4", "failed_is_forgotten_1_1_4",
    "population_1_1_5", "split_mappings_1_1_7", "attributes_1_2_1",
    "every_descriptor_1_2_2", "stopped_1_2_3", "closed_all_1_2_3",
    "forked_1_2_3", "handed_over_1_2_3", "offsets_1_2_4",
    "private_dump_grow_1_2_5", "unaligned_1_2_6",
    "unaligned_registers_1_2_6", "late_1_2_7", "lazy_1_2_8",
    "read_only_1_2_9", "aborted_peer"]

# name: rounds of a run, rounds of a soak
ROUNDS = {
    "toggling_1_0_3": (400, 100000),
    "resets_1_0_4": (250, 100000),
    "hot_resets_1_0_4": (150, 100000),
    "sibling_1_0_8": (500, 10000),
    "fork_and_unmap_1_0_9": (200, 10000),
    "buffers_1_0_10": (200, 10000),
    "same_page_1_1_1": (20, 10000),
    "different_pages_1_1_2": (20, 10000),
    "different_mappings_1_1_2": (20, 10000),
    "first_touch_and_close_1_1_3": (10, 1000),
    "each_other": (1000, 100000),
}


def check(result):
    status, out, err = result
    assert status == 0 and out == "", out + err
    strange = [line for line in err.splitlines() if not REPORT.match(line)]
    assert not strange, err


def run(user, *args):
    check(user.softvfio("run", *MACHINE, "--", user.bring(HERE / "victim_gate"),
                        *args, timeout=3600 if SOAK else 60))


@pytest.mark.parametrize("name", ONCE)
def test_gate(user, name):
    run(user, name)


@pytest.mark.parametrize("name", ROUNDS)
def test_gate_under_load(me, name):
    few, many = ROUNDS[name]
    run(me, name, str(many if SOAK else max(few // SLOW, 10)))


def test_no_test_is_left_out():
    listed = subprocess.run([HERE / "victim_gate", "list"], text=True,
                            stdout=subprocess.PIPE, check=True).stdout.split()
    assert sorted(listed) == sorted(ONCE + list(ROUNDS))


def test_every_criterion_has_its_tests():
    """docs/gate.md is true: each number has tests that exist and bear it."""
    sources = "".join(p.read_text() for p in SOURCES)
    rows = re.findall(r"^\| (1\.\d\.\d+) \|[^|]*\|([^|]*)\|$",
                      (ROOT / "docs" / "gate.md").read_text(), re.MULTILINE)
    assert [number for number, _ in rows] == [
        f"1.{i}.{j}" for i, last in enumerate((10, 8, 9))
        for j in range(1, last + 1)]
    for number, names in rows:
        names = re.findall(r"`([^`]*)`", names)
        mine = [n for n in names
                if n.endswith("_" + number.replace(".", "_")) or number in n]
        assert mine, number
        for name in names:
            # as a test's name in its table, or as what a test says
            assert re.search(rf'T\({name}\)|\{{"{name}",|"[^"]*{name}',
                             sources), (number, name)
