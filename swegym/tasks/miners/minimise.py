"""Delta debugging: the smallest parts of a change that do what the whole does, one for each problem that it solves.

`minimise` is `ddmin` of Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input" (IEEE TSE 28(2),
2002), figure 6, with "the test passes" in the place of "the failure shows": its answer is 1-minimal, no single item can
be left out. `problems` searches for one test after the other. Only the standard library is used: this file is copied
into sandboxes (see `searcher.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

Item = TypeVar("Item")
Ask = Callable[[Collection[int], Sequence[str]], set[str]]  # hunks by number, test functions -> those that pass


class OutOfTries(Exception):
    """The search asked more often than it may."""


class Question:
    """Whether a part makes one test pass: asked once for each part, and at most `tries` times in all."""

    def __init__(self, ask: Ask, test: str, tries: int) -> None:
        self._ask, self._test, self._tries = ask, test, tries
        self._answers: dict[frozenset[int], bool] = {}

    def __call__(self, part: Collection[int]) -> bool:
        key = frozenset(part)
        if key not in self._answers:
            if len(self._answers) >= self._tries:
                raise OutOfTries
            self._answers[key] = self._test in self._ask(key, [self._test])
        return self._answers[key]


def problems(
    paths: Sequence[str], tests: Sequence[str], likely: Mapping[str, Sequence[int]], ask: Ask, tries: int, most: int
) -> tuple[list[tuple[list[int], list[str]]], dict[str, str]]:
    """Smallest parts with the tests that each makes pass, and the tests without one, each with the reason.

    Parts that overlap become one.

    Args:
        paths: The file of every hunk, by the hunk's number.
        tests: Test functions that all hunks together make pass.
        likely: For a test, the hunks to begin with; where these do not suffice, all are taken.
        ask: What is asked of the tests.
        tries: Questions for one test.
        most: The search ends when so many problems are found.
    """
    left, unsettled = list(dict.fromkeys(tests)), dict[str, str]()
    found: list[tuple[list[int], list[str]]] = []
    while left:
        test = left.pop(0)
        if len(found) >= most:
            unsettled[test] = "enough problems were found before it"
            continue
        try:
            part = smallest(paths, likely.get(test, ()), Question(ask, test, tries))
        except OutOfTries:
            unsettled[test] = f"no smallest fix found in {tries} test runs"
            continue
        if part is None:
            unsettled[test] = "does not pass again with the whole change"
            continue
        covered = ask(part, left) if left else set()
        found = merged([*found, (part, [test, *(other for other in left if other in covered)])])
        left = [other for other in left if other not in covered]
    return found, unsettled


def smallest(
    paths: Sequence[str], likely: Sequence[int], suffices: Callable[[Collection[int]], bool]
) -> list[int] | None:
    """The numbers of a 1-minimal part of all hunks; None when all do not suffice. Whole files are tried first."""
    everything = list(range(len(paths)))
    if likely and suffices(likely):
        everything = list(likely)
    elif not suffices(everything):
        return None
    files = minimise(
        list(dict.fromkeys(paths[number] for number in everything)),
        lambda some: suffices([number for number in everything if paths[number] in some]),
    )
    return minimise([number for number in everything if paths[number] in files], suffices)


def merged(parts: Sequence[tuple[list[int], list[str]]]) -> list[tuple[list[int], list[str]]]:
    """Parts that share a hunk become one."""
    done: list[tuple[list[int], list[str]]] = []
    for hunks, tests in parts:
        touching = [other for other in done if set(other[0]) & set(hunks)]
        done = [other for other in done if other not in touching]
        numbers = sorted({number for other in touching for number in other[0]} | set(hunks))
        done.append((numbers, list(dict.fromkeys([test for other in touching for test in other[1]] + tests))))
    return done


def minimise(items: Sequence[Item], suffices: Callable[[list[Item]], bool]) -> list[Item]:
    """A 1-minimal part of `items` that suffices. All of them must; nothing at all is not asked for."""
    current, count = list(items), 2
    while len(current) >= 2:
        count = min(count, len(current))
        ends = [len(current) * number // count for number in range(count + 1)]
        pieces = [current[start:end] for start, end in pairwise(ends)]
        smaller = next((piece for piece in pieces if suffices(piece)), None)
        if smaller is not None:
            current, count = smaller, 2
            continue
        rests = ([item for piece in pieces if piece is not left for item in piece] for left in pieces)
        rest = next((rest for rest in rests if suffices(rest)), None) if count > 2 else None
        if rest is not None:
            current, count = rest, count - 1
        elif count < len(current):
            count *= 2
        else:
            break
    return current
