"""A leak: a hint that gives away the answer, by quoting the fix or the hidden tests.

Text is compared without white space, so that re-wrapping does not hide a quotation. Short lines (`else:`, `return x`)
are not counted on their own, because prose may contain them by chance. A fix told in other words is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from swegym.errors import GuidanceError
from swegym.types import Guidance, Task

LINE_LENGTH = 9  # characters besides white space from which an added line counts
RUN_LENGTH = 7  # tokens in a row, found only in the fix, from which a part of a line counts
TEST_LINE_LENGTH = 20  # characters besides white space from which a line of a hidden test file counts


def find_leaks(text: str, task: Task) -> list[str]:
    """What `text` gives away of `task`, in words that do not repeat it; empty when nothing was found."""
    return list(dict.fromkeys([*_fix_leaks(text, task), *_test_leaks(text, task)]))


def refuse_leaks(guidance: Guidance, task: Task) -> Guidance:
    """The same guidance.

    Raises:
        GuidanceError: It leaks.
    """
    leaks = find_leaks("\n".join(guidance.parts.values()), task)
    if leaks:
        raise GuidanceError(f"guidance of {guidance.teacher!r} for {task.id} leaks: {'; '.join(leaks)}.")
    return guidance


def _fix_leaks(text: str, task: Task) -> Iterator[str]:
    squeezed, spoken = _squeeze(text), _tokens(text)
    added, known = _added_and_known(task.gold_patch)
    known_runs = {run for line in known for run in _runs(_tokens(line))}
    spoken_runs = set(_runs(spoken))
    for line in added:
        if len(_squeeze(line)) >= LINE_LENGTH and _squeeze(line) in squeezed:
            yield "it quotes a line that the reference fix adds"
        elif spoken_runs & (set(_runs(_tokens(line))) - known_runs):
            yield "it quotes a part of a line that the reference fix adds"


def _test_leaks(text: str, task: Task) -> Iterator[str]:
    words = set(re.findall(r"\w+", text))
    for test in task.hidden.expected:
        function = test.rpartition("::")[2].partition("[")[0]
        if function in words or test in text:
            yield "it names a hidden test"
            break
    squeezed = _squeeze(text)
    for data in task.hidden.files.values():
        for line in data.decode("utf-8", "replace").splitlines():
            bare = _squeeze(line)
            if len(bare) >= TEST_LINE_LENGTH and bare in squeezed and not line.startswith(("import ", "from ")):
                yield "it quotes a line of a hidden test file"
                return


def _added_and_known(patch: str) -> tuple[list[str], list[str]]:
    """Lines that a unified diff adds, and lines of the old version that it shows."""
    added, known, in_hunk = [], [], False
    for line in patch.splitlines():
        if line.startswith(("diff --git ", "Index: ")):
            in_hunk = False
        elif line.startswith("@@"):
            in_hunk = True
        elif in_hunk and line.startswith("+"):
            added.append(line[1:])
        elif in_hunk and line.startswith((" ", "-")):
            known.append(line[1:])
    return added, known


def _squeeze(text: str) -> str:
    return "".join(text.split())


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def _runs(tokens: list[str]) -> Iterator[tuple[str, ...]]:
    for start in range(len(tokens) - RUN_LENGTH + 1):
        yield tuple(tokens[start : start + RUN_LENGTH])
