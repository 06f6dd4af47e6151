"""Splitting a large change into single problems: for each failing test the fewest hunks that make it pass.

Tests that need overlapping hunks belong to one problem. The search runs inside a sandbox (`searcher.py`), begins with
the hunks in functions that a test reaches, and is bounded; what it cannot settle is said.
"""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swegym.errors import TaskError
from swegym.syntax import parse
from swegym.tasks.hunks import Hunk
from swegym.tasks.miners import minimise, searcher
from swegym.tasks.miners.bench import Bench

_PLACE = "/tmp/search"
_SECONDS = 900.0  # for one whole search


@dataclass(frozen=True, slots=True)
class Cluster:
    """Hunks that belong together, and the test functions that they make pass."""

    hunks: tuple[Hunk, ...]
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """The problems of a change, and the test functions for which no small part was found, each with the reason."""

    clusters: tuple[Cluster, ...]
    unsettled: Mapping[str, str]


def split(
    bench: Bench,
    hunks: Sequence[Hunk],
    tests: Sequence[str],
    likely: Mapping[str, Collection[Hunk]],
    tries: int,
    most: int,
) -> Split:
    """Find at most `most` problems; `tries` bounds the test runs for each.

    Args:
        bench: Where parts are tried, with no part of the change applied.
        hunks: The whole change, which makes every test pass.
        tests: Test functions.
        likely: For a test function, the part to begin with; where that does not suffice, the whole is taken.
        tries: Test runs for one search.
        most: The search ends when so many problems are found; tests that are left are unsettled.
    """
    setup, box = bench.task.tests, bench.sandbox
    numbers = {hunk: number for number, hunk in enumerate(hunks)}
    for module in (minimise, searcher):
        file = Path(str(module.__file__))
        box.write(f"{_PLACE}/{file.name}", file.read_bytes())
    options = "".join(f"{name} = {value}\n" for name, value in setup.ini.items())
    box.write(f"{_PLACE}/pytest.ini", f"[pytest]\n{options}".encode())
    job = {
        "root": bench.task.image.workdir,
        "ini": f"{_PLACE}/pytest.ini",
        "pythonpath": setup.pythonpath,
        "plugins": setup.plugins,
        "seconds": setup.timeout / 2,
        "deadline": _SECONDS * 0.8,
        "hunks": [_packed(hunk) for hunk in hunks],
        "tests": list(tests),
        "likely": {test: sorted(numbers[hunk] for hunk in part) for test, part in likely.items()},
        "tries": tries,
        "most": most,
    }
    done = box.exec(["python", f"{_PLACE}/searcher.py"], stdin=json.dumps(job).encode(), timeout=_SECONDS)
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise TaskError(f"the search for its fixes broke off: {done.limit or done.text.strip()[-200:]}") from None
    clusters = [Cluster(tuple(hunks[number] for number in part), tuple(tests)) for part, tests in answer["found"]]
    return Split(tuple(clusters), answer["unsettled"])


def reached_hunks(hunks: Sequence[Hunk], tree: Path, reached: Mapping[str, Collection[int]]) -> list[Hunk]:
    """The hunks that a test may depend on: outside functions, or in functions of the new `tree` that it reached."""
    functions: dict[str, list[tuple[int, int]]] = {}
    found = []
    for hunk in hunks:
        if hunk.whole or not hunk.path.endswith(".py"):
            found.append(hunk)
            continue
        if hunk.path not in functions:
            functions[hunk.path] = _functions((tree / hunk.path).read_bytes())
        first, last = hunk.place + 1, hunk.place + max(len(hunk.added), 1)
        around = [(start, end) for start, end in functions[hunk.path] if start <= first and last <= end]
        lines = reached.get(hunk.path, ())
        if not around or any(start < line <= end for start, end in [max(around)] for line in lines):
            found.append(hunk)
    return found


def _functions(source: bytes) -> list[tuple[int, int]]:
    """First and last line of every function, decorators left out."""
    try:
        nodes = ast.walk(parse(source))
    except (SyntaxError, ValueError):
        return []
    return [
        (node.lineno, node.end_lineno or node.lineno)
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _packed(hunk: Hunk) -> dict[str, object]:
    added = [b"".join(hunk.added)] if hunk.whole else hunk.added
    lines = [base64.b64encode(line).decode() for line in added]
    return {"path": hunk.path, "start": hunk.start, "end": hunk.end, "added": lines, "whole": hunk.whole}
