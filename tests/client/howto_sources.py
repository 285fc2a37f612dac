# SPDX-License-Identifier: BSD-3-Clause
"""What a reader of docs/howto-device.md has at its end: the sources.

Usage: howto_sources.py PAGE CONF_C OUTPUT_DIR. Writes the page's files, and the
table of models with the line and the include that the page says to add.
"""
import pathlib
import re
import sys

FILES = ("dice.c", "dice.h", "driver.c")


def code(page, name):
    blocks = re.findall(rf"^```c {re.escape(name)}\n(.*?)^```$", page,
                        re.M | re.S)
    if not blocks:
        sys.exit(f"the page has no {name}")
    return "".join(blocks)


def add(text, behind, line):
    if text.count(behind) != 1:
        sys.exit(f"the table of models has no single line {behind!r}")
    return text.replace(behind, behind + line)


def add_model(table, name):
    """The table of models, as daemon/conf.c has it, with one more."""
    table = add(table, '#include "dev/nvme/nvme.h"\n',
                f'#include "{name}.h"\n')
    return add(table, "\t&nvme_ops,\n", f"\t&{name}_ops,\n")


def main():
    page = pathlib.Path(sys.argv[1]).read_text()
    table = pathlib.Path(sys.argv[2]).read_text()
    output = pathlib.Path(sys.argv[3])
    for file in FILES:
        (output / file).write_text(code(page, file))
    (output / "conf_dice.c").write_text(add_model(table, "dice"))


if __name__ == "__main__":
    main()
