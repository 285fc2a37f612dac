# SPDX-License-Identifier: BSD-3-Clause
"""The table of models with one more: model_table.py CONF_C NAME OUTPUT."""
import pathlib
import sys

from howto_sources import add_model

pathlib.Path(sys.argv[3]).write_text(
    add_model(pathlib.Path(sys.argv[1]).read_text(), sys.argv[2]))
