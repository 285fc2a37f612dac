# SPDX-License-Identifier: BSD-3-Clause
"""docs/CONFORMANCE.md's figures and the README's, between two marks each."""
import typing

from oraclelib import compare, place

BEGIN = "<!-- tools/oracle table: begin -->"
END = "<!-- tools/oracle table: end -->"


class Figures(typing.NamedTuple):
    """Of an area, or of all."""
    cases: int = 0
    same: int = 0
    different: int = 0
    skipped: int = 0

    def __add__(self, other):
        return Figures(*(a + b for a, b in zip(self, other)))


def figures(result):
    """By area. A case that is skipped on both sides says nothing."""
    differing = {d.case for d in result.found}
    found = {}
    for area, names in result.linux.areas().items():
        different = sum(n in differing for n in names)
        skipped = sum(n not in differing and "skip" in result.linux.cases[n]
                      for n in names)
        found[area] = Figures(len(names), len(names) - different - skipped,
                              different, skipped)
    return found


def total(result):
    """One line that says it all."""
    f = sum(figures(result).values(), Figures())
    return (f"{f.cases} cases: {f.same} as on Linux {result.kernel}, "
            f"{f.different} known to differ, {f.skipped} skipped, "
            f"{len({d.case for d in result.unexplained})} unexplained")


def reasons(result):
    """Why cases differ; the rows themselves are in the table of differences."""
    cases = {}
    for difference, row in result.explained.items():
        cases.setdefault(row.reason.why, set()).add(difference.case)
    out = ["| Cases | Why |", "|---|---|"]
    out += [f"| {len(names)} in {', '.join(areas(names))} | {why} |"
            for why, names in cases.items()]
    older = dict.fromkeys(f"up to {r.reason.kernels[-1]}, until "
                          f"{r.reason.changed}: {r.reason.why}"
                          for r in compare.load_rows()
                          if compare.REFERENCE not in r.reason.kernels)
    out += ["", "Where kernels differ, softvfio follows "
            f"{compare.REFERENCE}:", "", *(f"- {text}" for text in older)]
    return out


def areas(names):
    """The areas of cases, in order."""
    return dict.fromkeys(sorted(n.split(".")[0] for n in names))


def conformance(result):
    """The generated part of docs/CONFORMANCE.md."""
    by_area = figures(result)
    out = ["| Area | Cases | As on Linux | Known to differ | Skipped |",
           "|---|---|---|---|---|"]
    rows = {**by_area, "**all**": sum(by_area.values(), Figures())}
    out += [f"| {name} | {f.cases} | {f.same} | {f.different} | {f.skipped} |"
            for name, f in rows.items()]
    return [*out, "", "### Cases that differ", "",
            "`conformance/differences` has them with both sides' values.", "",
            *reasons(result)]


def readme(result):
    """The generated part of the README."""
    f = sum(figures(result).values(), Figures())
    return [f"Of {f.cases} cases, {f.same} say on softvfio what they say on a "
            f"real Linux {result.kernel};",
            f"{f.different} differ for a known reason"
            + (f" and {f.skipped} can't run." if f.skipped else ".")]


PAGES = {"docs/CONFORMANCE.md": conformance, "README.md": readme}


def update(result, dry):
    """Write what is not up to date, unless @dry; which pages that were."""
    stale = []
    for name, generate in PAGES.items():
        path = place.TREE / name
        text = path.read_text(encoding="utf-8")
        head, begin, rest = text.partition(BEGIN)
        _, end, foot = rest.partition(END)
        if not begin or not end:
            raise place.Failed(f"{name} has lost its marks {BEGIN} and {END}")
        new = "\n".join([head + BEGIN, *generate(result), END + foot])
        if new == text:
            continue
        stale.append(path)
        if not dry:
            path.write_text(new, encoding="utf-8")
    return stale
