"""Logs of `python -m unittest -v`: "test_a (package.module.Class) ... ok".

Since Python 3.11 the name in brackets ends with the method's own; it is cut off, so that one test has one name. A test
with a docstring takes two lines, of which the first holds the name.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"^(?P<method>\w+) \((?P<path>[\w.<>]+)\)(?P<rest>.*)$")
_ENDING = re.compile(r" \.\.\. (?P<said>ok|FAIL|ERROR|skipped|expected failure|unexpected success)\b")
_HEADING = re.compile(r"^(?P<word>FAIL|ERROR): (?P<method>\w+) \((?P<path>[\w.<>]+)\)")
_WORDS = {
    "ok": "PASSED",
    "FAIL": "FAILED",
    "ERROR": "ERROR",
    "skipped": "SKIPPED",
    "expected failure": "XFAIL",
    "unexpected success": "FAILED",
}


def read(log: str) -> dict[str, str]:
    """One word for each test; what the headings of failures say at the end wins."""
    found: dict[str, str] = {}
    open_test: str | None = None
    for line in log.split("\n"):
        if match := _HEADING.match(line):
            found[_name(match)] = _WORDS[match["word"]]
            continue
        if match := _NAME.match(line):
            open_test = _name(match)
        if open_test is None:
            continue
        if ending := _ENDING.search(line):
            found[open_test] = _WORDS[ending["said"]]
            open_test = None
        elif line.strip() == "ok":  # the test printed something before its end
            found[open_test] = "PASSED"
            open_test = None
    return found


def _name(match: re.Match[str]) -> str:
    method, path = match["method"], match["path"]
    return f"{method} ({path.removesuffix('.' + method)})"
