"""Logs of SymPy's own runner, `bin/test --verbose`: "test_a ok", and a heading for each failure.

Names are functions without their files, so two tests of one name in two files are one test here.
"""

from __future__ import annotations

_ENDINGS = {" E": "ERROR", " F": "FAILED", " ok": "PASSED"}


def read(log: str) -> dict[str, str]:
    lines = log.split("\n")
    found = {heading: "FAILED" for line in lines if (heading := _heading(line))}
    for raw in lines:
        line = raw.strip()
        if line.startswith("test_"):
            for ending, word in _ENDINGS.items():
                if line.endswith(ending):
                    found[line.split()[0]] = word
    return found


def _heading(line: str) -> str:
    """What stands between the first and the last blank, where that names a file: "____ sympy/core/x.py:test_a ____"."""
    inner = line.partition(" ")[2].rpartition(" ")[0]
    return inner if ".py:" in inner else ""
