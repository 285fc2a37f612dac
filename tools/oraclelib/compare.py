# SPDX-License-Identifier: BSD-3-Clause
"""What differs between two transcripts, and which rows explain it."""
import fnmatch
import typing

from oraclelib import place

REFERENCE = "7.2"  # what softvfio follows
ABSENT = "-"       # a key, or a whole case, that one side does not have
CASE = "case"      # the key under which whole cases are there or not


class Difference(typing.NamedTuple):
    """One key of one case that is not the same."""
    case: str
    key: str
    linux: str
    soft: str


class Row:
    """A pattern of differences that are meant."""

    def __init__(self, fields, reason):
        self.fields = fields  # case, key, linux, soft: patterns
        self.reason = reason
        self.used = 0

    def matches(self, difference):
        """Whether it explains @difference."""
        # [ is common in names of nothing; only * is special
        return all(fnmatch.fnmatchcase(have, want.replace("[", "[[]"))
                   for have, want in zip(difference, self.fields))

    def __str__(self):
        return " ".join(self.fields)


class Reason(typing.NamedTuple):
    """Why rows differ, and for which kernels they do."""
    why: str
    kernels: tuple
    changed: str  # the version that changed it, or ""
    line: int


def parse_block(number, lines):
    """A block: why:, kernels: and changed:, then rows."""
    head = {"why": "", "kernels": "", "changed": ""}
    rows = []
    last = None
    for offset, text in enumerate(lines):
        where = f"{place.DIFFERENCES}:{number + offset}"
        key, colon, rest = text.partition(":")
        if colon and key in head and not rows:
            head[key], last = rest.strip(), key
        elif text.startswith(" ") and last and not rows:
            head[last] += " " + text.strip()
        elif len(text.split()) == 4 and last:
            rows.append(tuple(text.split()))
        else:
            raise place.Failed(f"{where}: neither why:, kernels:, changed:, "
                               "nor a row of case, key, Linux's value and "
                               "softvfio's")
    if not head["why"] or not head["kernels"] or not rows:
        raise place.Failed(f"{place.DIFFERENCES}:{number}: a block takes a "
                           "why:, kernels: and rows")
    if REFERENCE not in head["kernels"].split() and not head["changed"]:
        raise place.Failed(f"{place.DIFFERENCES}:{number}: kernels differ, so "
                           "it takes a changed: with the version")
    reason = Reason(head["why"], tuple(head["kernels"].split()),
                    head["changed"], number)
    return [Row(row, reason) for row in rows]


def load_rows(path=place.DIFFERENCES):
    """All rows of the table of differences."""
    rows = []
    block, start = [], 0
    text = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate([*text, ""], 1):
        if line.startswith("#"):
            continue
        if line.strip():
            start = start if block else number
            block.append(line)
        elif block:
            rows += parse_block(start, block)
            block = []
    return rows


def differences(linux, soft):
    """All differences of two transcripts, in order."""
    found = []
    for name in [*linux.cases, *(n for n in soft.cases
                                 if n not in linux.cases)]:
        if name not in linux.cases or name not in soft.cases:
            sides = ("present" if name in side.cases else ABSENT
                     for side in (linux, soft))
            found.append(Difference(name, CASE, *sides))
            continue
        one, two = linux.cases[name], soft.cases[name]
        found += [Difference(name, key, one.get(key, ABSENT),
                             two.get(key, ABSENT))
                  for key in [*one, *(k for k in two if k not in one)]
                  if one.get(key) != two.get(key)]
    return found


class Comparison:
    """softvfio's transcript against a kernel's, with the table applied."""

    def __init__(self, linux, soft, kernel, rows):
        self.linux = linux
        self.soft = soft
        self.kernel = kernel
        series = kernel.split("-")[0]  # 7.2-small is a 7.2
        self.rows = [r for r in rows if series in r.reason.kernels]
        self.found = differences(linux, soft)
        self.explained = {}    # difference: row
        self.unexplained = []
        for difference in self.found:
            row = next((r for r in self.rows if r.matches(difference)), None)
            if row:
                row.used += 1
                self.explained[difference] = row
            else:
                self.unexplained.append(difference)
        self.unused = [r for r in self.rows if not r.used]

    def __bool__(self):
        return not self.unexplained and not self.unused

    def report(self):
        """Lines that say what is wrong; none when nothing is."""
        out = []
        for case in dict.fromkeys(d.case for d in self.unexplained):
            out.append(case)
            for side, label in ((self.linux, "linux"), (self.soft, "soft")):
                values = side.cases.get(case)
                keys = [d.key for d in self.unexplained if d.case == case]
                text = "(no such case)" if values is None else " ".join(
                    f"{k}={values[k]}" if k in values else f"{k}:absent"
                    for k in keys)
                out.append(f"    {label:6} {text}")
        out += [f"{place.DIFFERENCES.name}:{r.reason.line}: nothing differs "
                f"so any more: {r}" for r in self.unused]
        return out
