# SPDX-License-Identifier: BSD-3-Clause
"""tools/oracle: a difference is never lost, and neither is a stale row."""
import pathlib
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tools"))

from oraclelib import compare, machine, place, table, transcript  # noqa: E402

ROWS = """
why: a quirk of the device
  that takes two lines.
kernels: 6.12 7.2
a.quirk.* errno EIO EINVAL

why: Linux changed it.
kernels: 6.12
changed: 7.2
a.wrap errno EINVAL EOVERFLOW
"""


def rows(tmp_path, text=ROWS):
    path = tmp_path / "differences"
    path.write_text(text)
    return compare.load_rows(path)


def compared(linux, soft, table_rows=(), kernel="7.2"):
    return compare.Comparison(transcript.Transcript(linux, "linux"),
                              transcript.Transcript(soft, "soft"), kernel,
                              table_rows)


def test_equal_lines_differ_in_nothing():
    lines = ["# Linux", "a.b ret=0 x=1 x=2", 'a.c skip="no device"']
    assert compared(lines, lines[1:])


@pytest.mark.parametrize("linux, soft", [
    (["a.b ret=0"], ["a.b ret=1"]),
    (["a.b ret=0"], ["a.b ret=0 more=1"]),
    (["a.b ret=0 more=1"], ["a.b ret=0"]),
    (["a.b x=1 x=2"], ["a.b x=1 x=3"]),
    (["a.b x=1 x=2"], ["a.b x=1"]),
    (["a.b word"], ["a.b"]),
    (["a.b ret=0"], []),
    ([], ["a.b ret=0"]),
    (["a.b ret=0"], ['a.b skip="no device"']),
])
def test_each_kind_of_difference_is_found(linux, soft):
    result = compared(linux, soft)
    assert not result and result.unexplained and "a.b" in result.report()[0]


def test_order_of_words_does_not_matter():
    assert compared(["a.b x=1 y=2"], ["a.b y=2 x=1"])


def test_a_row_explains_these_values_only(tmp_path):
    table_rows = rows(tmp_path)
    assert compared(["a.quirk.1 errno=EIO"], ["a.quirk.1 errno=EINVAL"],
                    table_rows)
    assert not compared(["a.quirk.1 errno=EIO"], ["a.quirk.1 errno=EPERM"],
                        rows(tmp_path))
    assert not compared(["a.other errno=EIO"], ["a.other errno=EINVAL"],
                        rows(tmp_path))


def test_a_row_holds_for_its_kernels_only(tmp_path):
    linux = ["a.wrap errno=EINVAL", "a.quirk.1 errno=EIO"]
    soft = ["a.wrap errno=EOVERFLOW", "a.quirk.1 errno=EINVAL"]
    assert compared(linux, soft, rows(tmp_path), "6.12")
    assert not compared(linux, soft, rows(tmp_path), "7.2")


def test_a_row_that_nothing_needs_is_an_error(tmp_path):
    result = compared(["a.b ret=0"], ["a.b ret=0"], rows(tmp_path))
    assert not result and not result.unexplained
    assert "a.quirk.*" in result.report()[0]


@pytest.mark.parametrize("text", [
    "a.b errno EIO EINVAL\n",
    "why: x\na.b errno EIO EINVAL\n",
    "why: x\nkernels: 7.2\n",
    "why: x\nkernels: 7.2\na.b errno EIO\n",
    "why: x\nkernels: 6.12\na.b errno EIO EINVAL\n",
])
def test_a_row_without_reason_kernels_or_version_is_refused(tmp_path, text):
    with pytest.raises(place.Failed):
        rows(tmp_path, text)


def test_two_cases_of_one_name_are_refused():
    with pytest.raises(place.Failed):
        transcript.Transcript(["a.b x=1", "a.b x=1"], "twice")


def test_an_area_is_replaced_in_its_place():
    old = ["a.1 x=1", "b.1 x=1", "b.2 x=1", "c.1 x=1"]
    new = ["# Linux", "b.1 x=2", "b.3 x=2"]
    assert transcript.splice(old, new) == [
        "a.1 x=1", "b.1 x=2", "b.3 x=2", "c.1 x=1"]


def test_areas_that_are_apart_stay_so():
    old = ["a.1 x=1", "b.1 x=1", "c.1 x=1"]
    new = ["# Linux", "a.1 x=2", "c.1 x=2", "c.2 x=2", "d.1 x=2"]
    assert transcript.splice(old, new) == [
        "a.1 x=2", "b.1 x=1", "c.1 x=2", "c.2 x=2", "d.1 x=2"]


def test_figures_count_each_case_once(tmp_path):
    linux = ["a.quirk.1 errno=EIO x=1", "a.b ret=0", 'a.c skip="why"']
    soft = ["a.quirk.1 errno=EINVAL x=1", "a.b ret=0", 'a.c skip="why"']
    result = compared(linux, soft, rows(tmp_path))
    assert table.figures(result) == {"a": table.Figures(3, 1, 1, 1)}


def test_both_sides_have_the_same_functions(tmp_path):
    args = " ".join(machine.qemu_devices(tmp_path))
    text = machine.topology(tmp_path).read_text()
    for bdf in machine.bdfs():
        assert bdf in text
        assert f"bus=port{int(bdf[5:7], 16)},addr=0.{bdf[-1]}" in args
