"""The issue text of an injected bug: what a user sees, in words of our own, and never where the cause lies.

It is made from calls that give something else than they should, each run in both versions, and from the failures of
tests that the reader has. Neither names the edited code, and hidden tests are not mentioned.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SHOWN_TESTS = 3
_MESSAGE_LINES = 8
_MESSAGE_LENGTH = 500
_RESULT_LENGTH = 600
_EMPTY = ("", "fails", "AssertionError")


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A call, and what an interactive session shows for it."""

    imports: tuple[str, ...]
    call: str
    got: str
    expected: str

    @property
    def target(self) -> str:
        return self.call.removeprefix("list(").partition("(")[0]


def choose(candidates: Iterable[Reproduction]) -> Reproduction | None:
    """The plainest of the calls that really differ and show the same at every run: values before errors, then short."""
    usable = [
        one
        for one in candidates
        if one.got != one.expected
        and not re.search(r"\bat 0x[0-9a-f]+", one.got + one.expected)
        and max(len(one.got), len(one.expected)) <= _RESULT_LENGTH
    ]
    return min(usable, key=_plainness, default=None)


def _plainness(one: Reproduction) -> tuple[int, int, str]:
    errors = sum(text.startswith("Traceback") for text in (one.got, one.expected))
    return errors, len(one.call) + len(one.got) + len(one.expected), one.call


def bug_report(package: str, version: str, reproduction: Reproduction | None, failures: Mapping[str, str]) -> str:
    """The text of the issue. `failures` are visible tests that fail, with what each says."""
    parts = [_title(package, reproduction), ""]
    if reproduction is not None:
        call, got, expected = _printed(reproduction)
        session = [f">>> {line}" for line in (*reproduction.imports, call)]
        parts += [f"With {package} {version} I get this:", "", _indented("\n".join([*session, got])), ""]
        parts += ["It should be this:", "", _indented(expected), ""]
        parts += ["Tests of the repository fail with it:", ""]
    else:
        parts += [
            f"Something that used to work is broken in {package} {version}. These tests of the repository fail:",
            "",
        ]
    # The shortest message is the easiest to read; one that says nothing but that an assertion failed comes last.
    ordered = sorted(failures, key=lambda test: (failures[test] in _EMPTY, len(failures[test]), test))
    for test in ordered[:_SHOWN_TESTS]:
        said = [] if failures[test] in _EMPTY else ["", _indented(shortened(failures[test]))]
        parts += [f"`{test}`", *said, ""]
    if len(ordered) > _SHOWN_TESTS:
        parts += [f"and {len(ordered) - _SHOWN_TESTS} more.", ""]
    parts.append("There may be other cases that no test in the repository covers.")
    lines = "\n".join(parts).strip().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _printed(one: Reproduction) -> tuple[str, str, str]:
    """Call, result and due result; text of several lines is printed, unless spaces at line ends would not be seen."""
    texts = []
    for shown in (one.got, one.expected):
        try:
            value = ast.literal_eval(shown)
        except (SyntaxError, ValueError):
            value = None
        if not isinstance(value, str) or "\n" not in value.strip("\n") or re.search(r"[ \t]$", value, re.MULTILINE):
            return one.call, one.got, one.expected
        texts.append(value)
    return f"print({one.call})", texts[0], texts[1]


def shortened(message: str) -> str:
    """The head of a failure message, without folders of the machine it came from."""
    lines = message.replace("/testbed/", "").strip().splitlines()
    text = "\n".join(lines[:_MESSAGE_LINES])
    cut = len(lines) > _MESSAGE_LINES or len(text) > _MESSAGE_LENGTH
    return text[:_MESSAGE_LENGTH] + ("\n..." if cut else "")


def _title(package: str, reproduction: Reproduction | None) -> str:
    if reproduction is None:
        return f"{package}: wrong behaviour, several tests fail"
    raised = _error(reproduction.got)
    due = _error(reproduction.expected)
    if raised and not due:
        return f"{reproduction.target} raises {raised} for valid input"
    if due and not raised:
        return f"{reproduction.target} accepts what it should refuse with {due}"
    if raised and due and raised != due:
        return f"{reproduction.target} raises {raised} instead of {due}"
    return f"{reproduction.target} gives a wrong {'message' if raised else 'result'}"


def _error(shown: str) -> str | None:
    """The name of the exception, if what is shown is one."""
    if not shown.startswith("Traceback"):
        return None
    return shown.splitlines()[2].partition(":")[0]


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ", lambda line: bool(line.strip()))
