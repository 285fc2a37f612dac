# SPDX-License-Identifier: BSD-3-Clause
"""Where things are kept, and the one way to say that something went wrong."""
import os
import pathlib

TREE = pathlib.Path(__file__).resolve().parents[2]
CONFORMANCE = TREE / "conformance"
TRANSCRIPTS = CONFORMANCE / "transcripts"
DIFFERENCES = CONFORMANCE / "differences"
KERNEL_CONFIG = CONFORMANCE / "kernel.config"


class Failed(Exception):
    """Ends the command; its text says what would have been right."""


def cache(*parts):
    """A folder for what takes long to get; safe to delete."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = pathlib.Path(base, "softvfio", *parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def transcript(kernel):
    """The committed transcript of a kernel."""
    return TRANSCRIPTS / f"{kernel}.txt"
