"""Logs of SymPy's own runner, `bin/test --verbose`: "test_a ok", and a heading for each failure.

Names are functions without their files, so two tests of one name in two files are one test here.
"""

from __future__ import annotations

import re

_HEADING = re.compile(r"(?:_*) (.*)\.py:(.*) (?:_*)")
_ENDINGS = {" E": "ERROR", " F": "FAILED", " ok": "PASSED"}


def read(log: str) -> dict[str, str]:
    found = {f"{match[1]}.py:{match[2]}": "FAILED" for match in _HEADING.finditer(log)}
    for raw in log.split("\n"):
        line = raw.strip()
        if line.startswith("test_"):
            for ending, word in _ENDINGS.items():
                if line.endswith(ending):
                    found[line.split()[0]] = word
    return found
