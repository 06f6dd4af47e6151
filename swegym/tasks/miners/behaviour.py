"""Behaviour that differs: calls which tests make, run before and after a change, and the issue text made from them.

The text says what a user sees: a call, what it gives, what it should give. It names no test and no place in the code.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym.tasks import call_probe
from swegym.tasks.bug_report import Reproduction
from swegym.types import Sandbox, TestSetup

_PLACE = "/tmp/probe"
_MOST_CALLS = 80
_SHOWN = 3  # calls of one issue
_LONGEST = 500  # characters of a result that is shown
_UNSEEN = re.compile(r"[ \t]$|[\x00-\x09\x0b-\x1f\x7f-\xa0]|\\", re.MULTILINE)  # what print would not show


@dataclass(frozen=True, slots=True)
class Trace:
    """What tests did: the calls into the package that each made from its own file, and the lines that each reached."""

    calls: Mapping[str, tuple[str, ...]]  # test -> text that can be run again
    reached: Mapping[str, Mapping[str, frozenset[int]]]  # test -> path -> lines, from 1

    def calls_of(self, tests: Collection[str]) -> list[str]:
        """The calls of these test functions."""
        found = [call for test, calls in self.calls.items() if test.partition("[")[0] in tests for call in calls]
        return list(dict.fromkeys(found))[:_MOST_CALLS]


def trace(sandbox: Sandbox, setup: TestSetup, sources: Sequence[str], tests: Sequence[str], workdir: str) -> Trace:
    """Run test functions under coverage and the call probe; an empty trace when that does not end well."""
    options = "".join(f"{name} = {value}\n" for name, value in setup.ini.items())
    include = ",".join(f"{workdir}/{path}" if path.endswith(".py") else f"{workdir}/{path}/*" for path in sources)
    sandbox.write(f"{_PLACE}/call_probe.py", Path(call_probe.__file__).read_bytes())
    sandbox.write(f"{_PLACE}/pytest.ini", f"[pytest]\n{options}".encode())
    sandbox.write(f"{_PLACE}/coverage.ini", f"[run]\ndata_file = {_PLACE}/data\ninclude = {include}\n".encode())
    command = ["python", "-m", "coverage", "run", f"--rcfile={_PLACE}/coverage.ini", "-m", "pytest"]
    command += ["-c", f"{_PLACE}/pytest.ini", "--rootdir", workdir, "--confcutdir", workdir, "-q", "--tb=no"]
    command += ["-p", "no:cacheprovider", "-p", "call_probe"]
    command += [part for plugin in setup.plugins for part in ("-p", plugin)]
    variables = {
        "PYTHONPATH": ":".join([_PLACE, *(f"{workdir}/{folder}" for folder in setup.pythonpath)]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "CALL_PROBE_PACKAGE": Path(sources[0]).stem,
        "CALL_PROBE_FILE": f"{_PLACE}/notes.json",
    }
    sandbox.exec([*command, *tests], cwd=workdir, env=variables, timeout=2 * setup.timeout)
    try:
        noted = json.loads(sandbox.read(f"{_PLACE}/notes.json"))
    except (FileNotFoundError, json.JSONDecodeError):
        return Trace({}, {})
    ids = [note["test"] for note in noted["tests"]]
    reached: dict[str, dict[str, set[int]]] = {test: {} for test in ids}
    for place, lines in noted["reached"].items():
        path = place.removeprefix(f"{workdir}/")
        for line, numbers in lines.items():
            for number in numbers:
                reached[ids[number]].setdefault(path, set()).add(int(line))
    return Trace(
        {note["test"]: tuple(note["calls"]) for note in noted["tests"]},
        {test: {path: frozenset(lines) for path, lines in files.items()} for test, files in reached.items()},
    )


def outcomes(sandbox: Sandbox, calls: Sequence[str]) -> list[dict[str, Any]]:
    """What each call gives in this sandbox, all in one process; empty when that does not end well."""
    sandbox.write(f"{_PLACE}/call_probe.py", Path(call_probe.__file__).read_bytes())
    ran = sandbox.exec(
        ["python", f"{_PLACE}/call_probe.py"], cwd="/tmp", stdin=json.dumps(calls).encode(), timeout=30.0
    )
    try:
        return list(json.loads(ran.stdout)) if ran.exit_code == 0 else []
    except json.JSONDecodeError:
        return []


def differing(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> list[Reproduction]:
    """The calls that give something else before than after, and the same at every run; the plainest first."""
    pairs = zip(before, after, strict=False)
    found = [Reproduction(tuple(due["imports"]), due["shown"], got["result"], due["result"]) for got, due in pairs]
    usable = [
        one
        for one in found
        if one.got != one.expected
        and not re.search(r"\bat 0x[0-9a-f]+|/testbed|/tmp/", one.got + one.expected)
        and max(len(one.got), len(one.expected)) <= _LONGEST
    ]
    return sorted(usable, key=_plainness)


def issue_text(package: str, version: str, found: Sequence[Reproduction]) -> str:
    """The issue: one to three calls with what they give and what they should."""
    shown = _varied(found)
    parts = [_title(shown[0]), "", f"With {package} {version}:", ""]
    for number, one in enumerate(shown):
        call, got, expected = _readable(one)
        imports = [line for line in one.imports if number == 0 or line not in shown[0].imports]
        session = "\n".join([*(f">>> {line}" for line in (*imports, call)), got or "(nothing)"])
        parts += [_indented(session), "", "It should be:", "", _indented(expected or "(nothing)"), ""]
    parts.append("Other input of the same kind is affected, too; what is right today must stay as it is.")
    return "\n".join(line.rstrip() for line in "\n".join(parts).splitlines())


def _plainness(one: Reproduction) -> tuple[int, int, str]:
    errors = 2 * one.expected.startswith("Traceback") + one.got.startswith("Traceback")
    return errors, len(one.call) + len(one.got) + len(one.expected), one.call


def _varied(found: Sequence[Reproduction]) -> list[Reproduction]:
    """The plainest, then such of other functions or with other results; at most a few."""
    shown: list[Reproduction] = []
    for one in found:
        seen = {(other.target, other.expected) for other in shown}
        if (one.target, one.expected) not in seen and len(shown) < _SHOWN:
            shown.append(one)
    return shown


def _title(one: Reproduction) -> str:
    raised, due = _error(one.got), _error(one.expected)
    if raised and not due:
        return f"{one.target} raises {raised} where it should give a result"
    if due and not raised:
        return f"{one.target} accepts what it should refuse with {due}"
    if raised and due:
        return (
            f"{one.target} raises {raised} instead of {due}" if raised != due else f"{one.target} says the wrong thing"
        )
    return f"{one.target} gives a wrong result"


def _error(shown: str) -> str | None:
    return shown.splitlines()[2].partition(":")[0] if shown.startswith("Traceback") else None


def _readable(one: Reproduction) -> tuple[str, str, str]:
    """Call, result and due result; text of several lines is printed, unless spaces at line ends would not be seen."""
    texts = []
    for shown in (one.got, one.expected):
        try:
            value = ast.literal_eval(shown)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return one.call, one.got, one.expected
        if not isinstance(value, str) or "\n" not in value.strip("\n") or _UNSEEN.search(value):
            return one.call, one.got, one.expected
        texts.append(value)
    return f"print({one.call})", texts[0], texts[1]


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ", lambda line: bool(line.strip()))
