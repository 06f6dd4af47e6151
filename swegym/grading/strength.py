"""Strength: how much of a wrong fix a task's hidden tests notice.

The reference fix is broken on purpose, by small edits of the lines that it changes and by fixes that are none (a body
that does nothing, only some of its files), and each is run against the hidden tests. The score is the share of them
that fail a test. One that passes shows a task that accepts it, unless it does the same as the reference fix: a score of
less than 1 asks for a look. A task is *weak* that accepts nothing in the place of the one function that is fixed, or
more than half of the broken fixes.
"""

from __future__ import annotations

import ast
import difflib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from swegym.grading.apply import Change, apply_patch
from swegym.grading.pytest_run import run_hidden
from swegym.grading.scratch import ScratchRepository
from swegym.grading.work_tree import write_tree
from swegym.tasks import mutation
from swegym.types import SandboxFactory, Task

MUTANTS = 8
_WEAK = 0.5  # a score below this flags a task, given enough tries
_ENOUGH = 4
_PASSING = ("passed", "xfailed")

Changes = Mapping[str, Change]


@dataclass(frozen=True, slots=True)
class Strength:
    """What broken fixes came to. `score` is None where no broken fix could be made."""

    tried: int
    noticed: int
    survivors: tuple[str, ...] = ()  # the broken fixes that passed all hidden tests, in words
    weak: tuple[str, ...] = ()  # why the task counts as weak

    @property
    def score(self) -> float | None:
        return self.noticed / self.tried if self.tried else None

    def as_json(self) -> dict[str, Any]:
        score = None if self.score is None else round(self.score, 3)
        return {
            "score": score,
            "tried": self.tried,
            "noticed": self.noticed,
            "survivors": list(self.survivors),
            "weak": list(self.weak),
        }


def strength(task: Task, open_sandbox: SandboxFactory, *, mutants: int = MUTANTS) -> Strength:
    """Run broken fixes against the hidden tests, each in a fresh sandbox. The same task gets the same ones every time.

    Raises:
        TaskError: The reference fix does not apply.
        SandboxError: A machine failed.
    """
    fix = apply_patch(task, task.gold_patch).changes
    tried = noticed = 0
    survivors, weak = [], []
    for name, trivial, changes in broken_fixes(task, fix, mutants):
        tried += 1
        if passes(task, changes, open_sandbox):
            survivors.append(name)
            if trivial:
                weak.append(name)
        else:
            noticed += 1
    found = Strength(tried, noticed, tuple(survivors), tuple(weak))
    if found.score is not None and found.score < _WEAK and tried >= _ENOUGH and not weak:
        return replace(found, weak=(f"{tried - noticed} of {tried} broken fixes",))
    return found


def broken_fixes(task: Task, fix: Changes, mutants: int) -> Iterator[tuple[str, bool, Changes]]:
    """(name, whether it is trivial, changes) of the broken fixes of a task."""
    sources = {path: change.data for path, change in fix.items() if change.data is not None and path.endswith(".py")}
    base = _base(task, sources)
    if len(fix) > 1:
        for path in sources:
            yield f"without the change of {path}", False, {other: fix[other] for other in fix if other != path}
    chosen, emptied = [], []
    for path, data in sources.items():
        lines = changed_lines(base.get(path, b""), data)
        emptied += [(path, name, edited) for name, edited in _emptied(path, data, lines)]
        chosen += [(path, data, found) for found in _mutations(data, lines)]
    for path, name, edited in emptied:
        yield name, len(emptied) == 1, {**fix, path: replace(fix[path], data=edited)}
    order = random.Random(task.digest)
    for path, data, found in order.sample(chosen, min(mutants, len(chosen))):
        place = f"{path}:{found.line}: {found.operator}"
        yield place, False, {**fix, path: replace(fix[path], data=mutation.splice(data, found))}


def changed_lines(before: bytes, after: bytes) -> frozenset[int]:
    """The lines of `after`, from 1, that are new or changed, and those around what was taken out."""
    old, new = before.split(b"\n"), after.split(b"\n")
    found: set[int] = set()
    matcher = difflib.SequenceMatcher(None, [line.rstrip() for line in old], [line.rstrip() for line in new], False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind != "equal":
            found |= set(range(start + 1, max(end, start + 1) + 1))
    return frozenset(found)


def _mutations(data: bytes, lines: frozenset[int]) -> list[mutation.Mutation]:
    try:
        found = mutation.mutations(data)
    except (SyntaxError, UnicodeDecodeError):
        return []
    near = [edit for edit in found if edit.line in lines]
    return [edit for edit in near if mutation.takes_effect(data, edit) and mutation.changes_code(data, edit)]


def _emptied(path: str, data: bytes, lines: frozenset[int]) -> Iterator[tuple[str, bytes]]:
    """The file with the body of each function that the fix touches gone, one at a time."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return
    text = data.split(b"\n")
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or not node.body or node.end_lineno is None:
            continue
        first = node.body[0]
        inside = any(first.lineno <= line <= node.end_lineno for line in lines)
        if inside and first.lineno > node.lineno:
            body = b" " * first.col_offset + b"return None"
            yield (
                f"{path}: {node.name}() does nothing",
                b"\n".join([*text[: first.lineno - 1], body, *text[node.end_lineno :]]),
            )


def _base(task: Task, paths: Mapping[str, bytes]) -> dict[str, bytes]:
    with ScratchRepository(task.pristine, task.base_commit) as scratch:
        blobs = {path: scratch.base_files[path].blob for path in paths if path in scratch.base_files}
        contents = scratch.read_blobs(blobs.values())
    return {path: contents[blob] for path, blob in blobs.items()}


def passes(task: Task, changes: Changes, open_sandbox: SandboxFactory) -> bool:
    """Whether these changes pass all hidden tests. Raises SandboxError."""
    with open_sandbox(task.image) as sandbox:
        write_tree(sandbox, task, changes)
        report = run_hidden(sandbox, task.tests, task.hidden.expected, workdir=task.image.workdir)
    return all(report.statuses.get(test) in _PASSING for test in task.hidden.expected)
