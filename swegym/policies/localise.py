"""Fault localisation: which lines and functions deserve suspicion, from test spectra and from the words of an issue.

A spectrum counts, for a line, the failing and the passing tests that execute it. Suspicion is Ochiai (Abreu, Zoeteweij,
van Gemund, 2006): failed(line) / sqrt(failed_in_all * (failed(line) + passed(line))).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MENTION = 0.35  # what being named in the issue adds to a function's suspicion
MENTIONED_FILE = 0.1


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the repository, or a stretch of statements outside any, by its lines."""

    path: str
    name: str  # dotted within the file; "" for statements outside functions
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Suspect:
    function: Function
    score: float
    lines: Mapping[int, float] = field(default_factory=dict)  # suspicion of each executed line

    def line_score(self, line: int) -> float:
        """Suspicion of a line; a line that was not executed takes a share of its function's."""
        return self.lines.get(line, 0.4 * self.score)


def ochiai(failed_here: int, passed_here: int, failed_in_all: int) -> float:
    """Between 0 and 1; 0 for a line that no failing test executes."""
    if failed_here == 0 or failed_in_all == 0:
        return 0.0
    return failed_here / math.sqrt(failed_in_all * (failed_here + passed_here))


def line_scores(runs: Iterable[tuple[int, int, int, int]], failed_in_all: int) -> dict[int, float]:
    """Ochiai per line from runs (first line, last line, failed, passed) of lines with equal counts."""
    return {
        line: ochiai(failed, passed, failed_in_all)
        for first, last, failed, passed in runs
        for line in range(first, last + 1)
    }


_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"


def issue_names(text: str) -> frozenset[str]:
    """What an issue names in code: backticked, called, dotted, snake_case and CamelCase words, and file names."""
    names: set[str] = set()
    for code in re.findall(r"`+([^`\n]+)`+", text):
        names.update(re.findall(_IDENTIFIER, code))
    names.update(re.findall(rf"({_IDENTIFIER})\(", text))
    names.update(
        part for dotted in re.findall(rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})+", text) for part in dotted.split(".")
    )
    names.update(re.findall(r"\b[A-Za-z0-9]*_[A-Za-z0-9_]+\b", text))
    names.update(re.findall(r"\b(?:[A-Z][a-z0-9]+){2,}\b", text))
    names.update(re.findall(r"[\w/]+\.py\b", text))
    return frozenset(name for name in names if len(name) > 2)


def rank(
    functions: Iterable[Function], scores: Mapping[str, Mapping[int, float]], names: frozenset[str]
) -> list[Suspect]:
    """Functions by falling suspicion: the highest Ochiai of their lines, more where the issue names them."""
    suspects = []
    for function in functions:
        in_file = scores.get(function.path, {})
        lines = {line: in_file[line] for line in range(function.first, function.last + 1) if line in in_file}
        score = max(lines.values(), default=0.0)
        bonus = MENTION if function.name and function.name.rpartition(".")[2] in names else 0.0
        if any(name.endswith(".py") and function.path.endswith(name) for name in names):
            bonus += MENTIONED_FILE
        if score or bonus:
            boosted = {line: value + bonus for line, value in lines.items()}
            suspects.append(Suspect(function, score + bonus, boosted))
    return sorted(suspects, key=lambda each: (-each.score, each.function.path, each.function.first))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hint says to look."""

    path: str
    function: str = ""
    first: int = 0
    last: int = 0

    def holds(self, function: Function) -> bool:
        """Whether a function is the one, or touches the lines, that the hint names."""
        if not _same_file(function.path, self.path):
            return False
        if self.last:
            return function.first <= self.last and self.first <= function.last
        return not self.function or function.name.rpartition(".")[2] == self.function.rpartition(".")[2]

    def near(self, line: int, margin: int) -> bool:
        """Whether a line is one of those named, or at most `margin` away."""
        return not self.last or self.first - margin <= line <= self.last + margin


def places(text: str) -> list[Place]:
    """Every `Look at: PATH, function NAME, lines A-B` of a hint; function and lines may be missing."""
    found = []
    for line in re.findall(r"Look at:\s*(.+)", text):
        path = re.match(r"`?([\w./-]+\.\w+)`?", line)
        if path is None:
            continue
        function = re.search(r"(?:function|method|class)\s+`?([\w.]+)`?", line)
        lines = re.search(r"lines?\s+(\d+)(?:\s*(?:-|–|to)\s*(\d+))?", line)
        first = int(lines[1]) if lines else 0
        last = int(lines[2] or lines[1]) if lines else 0
        found.append(Place(path[1], function[1] if function else "", first, last))
    return found


def _same_file(left: str, right: str) -> bool:
    return left == right or left.endswith("/" + right) or right.endswith("/" + left)
