"""Logs of Django's own test runner with `--verbosity 2`: "test_a (app.tests.Case) ... ok".

A test's docstring stands in for its name, and what tests print breaks lines apart, so names are whatever stands before
" ... ", and an "ok" on a line of its own belongs to the last of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_PASSED = (" ... ok", " ... OK", " ...  OK")
_VERSION = "--version is equivalent to version"
# One test prints a migration's progress in front of another's name.
_MIGRATION = "Applying sites.0002_alter_domain_unique...test_no_migrations"
# What the runner is known to print between a name and its "ok": how it begins and ends, and whether over many lines.
_BROKEN_APART = tuple(
    (re.compile(rf"^(.*?)\s\.\.\.\s{begins}", re.MULTILINE), re.compile(ends, re.MULTILINE), far)
    for begins, ends, far in (
        ("Testing against Django installed in ", r"(?s:.)*? silenced\)\.\nok$", True),
        ("Internal Server Error: /", r".*/\nok$", False),
        (r"System check identified no issues \(0 silenced\)", r"\nok$", False),
    )
)


def read(log: str) -> dict[str, str]:
    found: dict[str, str] = {}
    last: str | None = None
    for raw in log.split("\n"):
        line = raw.strip()
        if _VERSION in line:
            found[_VERSION] = "PASSED"
        if " ... " in line:
            last = line.partition(" ... ")[0]
        line = _note_success(line, found)
        if " ... skipped" in line:
            found[line.partition(" ... skipped")[0]] = "SKIPPED"
        for ending, word in (("FAIL", "FAILED"), ("ERROR", "ERROR")):
            if line.endswith(f" ... {ending}"):
                found[line.partition(f" ... {ending}")[0]] = word
            # A heading without a name stops the reader that expected names were taken with; here it names nothing.
            if line.startswith(f"{ending}:") and len(words := line.split()) > 1:
                found[words[1]] = word
        if line.startswith("ok") and last is not None:
            found[last] = "PASSED"
    return found | dict.fromkeys(_broken_apart(log), "PASSED")


def _broken_apart(log: str) -> Iterator[str]:
    """The names with an "ok" that stands lines behind them."""
    for begins, ends, far in _BROKEN_APART:
        place = 0
        while begun := begins.search(log, place):
            ended = ends.match(log, begun.end())
            if ended:
                yield begun[1]
            elif far:
                break  # nor does a later one end
            place = (ended or begun).end()


def _note_success(line: str, found: dict[str, str]) -> str:
    """Note a line that says "ok" of a test; returns the line as what follows has to see it."""
    for ending in _PASSED:
        if line.endswith(ending):
            if line.startswith(_MIGRATION):
                line = line.partition("...")[2].strip()
            found[line.rpartition(ending)[0]] = "PASSED"
            break
    return line
