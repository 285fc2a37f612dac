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
    areas = {}
    for area, names in result.linux.areas().items():
        different = sum(n in differing for n in names)
        skipped = sum(n not in differing and "skip" in result.linux.cases[n]
                      for n in names)
        areas[area] = Figures(len(names), len(names) - different - skipped,
                              different, skipped)
    return areas


def total(result):
    """One line that says it all."""
    f = sum(figures(result).values(), Figures())
    return (f"{f.cases} cases: {f.same} as on Linux {result.kernel}, "
            f"{f.different} known to differ, {f.skipped} skipped, "
            f"{len({d.case for d in result.unexplained})} unexplained")


def code(text):
    """A pattern or a value in a Markdown table."""
    return "`" + text.replace("|", "\\|") + "`"


def reasons(result):
    """The rows with their reasons, those of other kernels too."""
    out = ["| Cases | What | Linux | softvfio | Why |", "|---|---|---|---|---|"]
    for row in compare.load_rows():
        case, key, linux, soft = row.fields
        reason = row.reason
        only = "" if compare.REFERENCE in reason.kernels else \
            f"Linux {', '.join(reason.kernels)} only; {reason.changed} " \
            "changed it. "
        out.append(f"| {code(case)} | {code(key)} | {code(linux)} | "
                   f"{code(soft)} | {only}{reason.why} |")
    return out if len(out) > 2 else ["None."]


def conformance(result):
    """The generated part of docs/CONFORMANCE.md."""
    areas = figures(result)
    out = ["| Area | Cases | As on Linux | Known to differ | Skipped |",
           "|---|---|---|---|---|"]
    rows = {**areas, "**all**": sum(areas.values(), Figures())}
    out += [f"| {name} | {f.cases} | {f.same} | {f.different} | {f.skipped} |"
            for name, f in rows.items()]
    return [*out, "", "### Cases that differ", "", *reasons(result)]


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
    if not result:
        raise place.Failed("there are unexplained differences; see "
                           "tools/oracle diff")
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
