# SPDX-License-Identifier: BSD-3-Clause
"""Transcripts: lines "area.case key=value ...", and # for what they ran on."""
import re

from oraclelib import place

WORD = re.compile(r'([^\s="]+)(?:=("[^"]*"|\S*))?')


def words(line):
    """The name of a case and its values by key; a key's second value is key#2.

    A word without = is its own key, with an empty value.
    """
    name, _, rest = line.partition(" ")
    values = {}
    for key, value in WORD.findall(rest):
        count, unique = 1, key
        while unique in values:
            count += 1
            unique = f"{key}#{count}"
        values[unique] = value
    return name, values


class Transcript:
    """What one side said: cases by name, in order."""

    def __init__(self, lines, source):
        self.source = source
        self.cases = {}
        for line in lines:
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            name, values = words(line)
            if name in self.cases:
                raise place.Failed(f"{source}: two cases are called {name}")
            self.cases[name] = values

    def areas(self):
        """The names of the cases by area."""
        found = {}
        for name in self.cases:
            found.setdefault(name.split(".")[0], []).append(name)
        return found

    def beginning(self, prefix):
        """The part whose names begin so."""
        part = Transcript([], self.source)
        part.cases = {name: values for name, values in self.cases.items()
                      if name.startswith(prefix)}
        return part


def load(path):
    """Read a transcript."""
    try:
        with open(path, encoding="utf-8") as file:
            return Transcript(file, path)
    except OSError as err:
        raise place.Failed(f"{path}: {err.strerror}; tools/oracle run makes "
                           "transcripts") from err


def committed(kernel):
    """The transcript of a kernel that is in the repository."""
    return load(place.transcript(kernel))


def area(text):
    """The area a line is about, or nothing."""
    return "" if text.startswith("#") else text.split(".")[0]


def splice(old, new):
    """The lines of a transcript with those areas replaced that are in @new."""
    fresh = {}
    for text in new[1:]:
        fresh.setdefault(area(text), []).append(text)
    lines, done = [], set()
    for text in [*old, *new[1:]]:
        name = area(text)
        if name not in done:
            lines += fresh.get(name, [text])
        if name in fresh:
            done.add(name)
    return lines
