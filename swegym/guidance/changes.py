"""What a patch changes: places of the *base* version, told as file, function and lines, with the kinds of change.

A place is the innermost function (or class, or the module level) that holds edited lines, in base numbering; for lines
that are only added it is the function of the base version that they end up in, and the lines are their neighbours.
Files that are not Python, or do not parse, count as one module level and have no kinds. Version numbers are left out.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import unidiff

from swegym import syntax
from swegym.errors import PatchError, TaskError
from swegym.guidance.kinds import MODULE, Scope, kinds_by_function
from swegym.messages import lines_of
from swegym.types import Task

CLUSTER_GAP = 20  # unedited lines between two edits from which they count as two places
_VERSION = re.compile(r"\s*(__version__|version|VERSION|__date__)\s*(:\s*\w+\s*)?=")


@dataclass(frozen=True, slots=True)
class Place:
    """A function that is edited. `first` to `last` are base lines: where, if it is long, most of it is edited.

    `weight` counts the lines that the patch removes and adds in the whole function.
    """

    path: str
    function: str  # qualified name, a class's name for lines of its body, or MODULE
    first: int
    last: int
    weight: int
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring edited lines: where they lie before and after, both inclusive."""

    before: tuple[int, int]
    after: tuple[int, int] | None  # None when lines are only removed
    weight: int


def places(task: Task, patch: str) -> list[Place]:
    """Where `patch` changes the task's base version: functions of Python files first, then by how much is edited.

    Raises:
        PatchError: The patch is not a unified diff, or does not fit the base version.
    """
    try:
        files = unidiff.PatchSet(lines_of(patch))
    except unidiff.UnidiffParseError as error:
        raise PatchError(f"patch for {task.id}: not a unified diff: {error}. Write it with `git diff`.") from None
    found: list[Place] = []
    for file in files:
        before = "" if file.is_added_file else _base_text(task, file.source_file.removeprefix("a/"))
        after = _apply(before, file)
        found += _places(file.path, before, after, [run for hunk in file for run in _runs(hunk)])
    return sorted(found, key=lambda p: (not p.path.endswith(".py"), p.function == MODULE, -p.weight, p.path, p.first))


def _base_text(task: Task, path: str) -> str:
    if not task.pristine.exists():
        raise TaskError(f"{task.id}: {task.pristine} is gone. Build it again: swegym tasks build {task.set}.")
    command = ["git", "--git-dir", str(task.pristine), "cat-file", "blob", f"{task.base_commit}:{path}"]
    result = subprocess.run(command, capture_output=True, check=False)
    if result.returncode != 0:
        raise PatchError(f"patch for {task.id}: it changes {path}, which the base version does not have.")
    return result.stdout.decode("utf-8", "replace")


def _apply(before: str, file: unidiff.PatchedFile) -> str:
    lines = lines_of(before)
    result: list[str] = []
    position = 0
    for hunk in file:
        start = hunk.source_start - (1 if hunk.source_length else 0)
        old = [line.value.rstrip("\r\n") for line in hunk if line.is_removed or line.is_context]
        if [text.rstrip("\r\n") for text in lines[start : start + len(old)]] != old:
            raise PatchError(f"{file.path}: the hunk at line {hunk.source_start} does not fit the base version.")
        result += lines[position:start]
        result += [line.value for line in hunk if line.is_added or line.is_context]
        position = start + len(old)
    return "".join([*result, *lines[position:]])


def _runs(hunk: unidiff.Hunk) -> Iterator[_Run]:
    """Neighbouring edited lines, except those that only change a version number."""
    # An empty side of a hunk is numbered by the line before it.
    old = hunk.source_start + (0 if hunk.source_length else 1)
    new = hunk.target_start + (0 if hunk.target_length else 1)
    removed = added = 0
    telling = False
    for line in [*hunk, None]:
        edited = line is not None and (line.is_added or line.is_removed)
        telling = telling or (edited and not _VERSION.match(line.value))
        if line is not None and line.is_removed:
            removed += 1
        elif line is not None and line.is_added:
            added += 1
        elif line is None or line.is_context:
            if telling:
                before = (old, old + removed - 1) if removed else (max(old - 1, 1), old)
                yield _Run(before, (new, new + added - 1) if added else None, removed + added)
            old, new, removed, added, telling = old + removed + 1, new + added + 1, 0, 0, False


def _places(path: str, before: str, after: str, runs: list[_Run]) -> list[Place]:
    old, new = _parse(path, before), _parse(path, after)
    old_spans, new_spans = list(_spans(old)), list(_spans(new))
    kinds = kinds_by_function(old, new) if old and new else {}
    known = {name for _, _, name in old_spans}
    end = max(len(lines_of(before)), 1)
    by_function: dict[str, list[_Run]] = {}
    for run in runs:
        name = _enclosing(new_spans, *run.after) if run.after and new else _enclosing(old_spans, *run.before)
        while name != MODULE and name not in known:
            name = name.rpartition(".")[0] or MODULE
        by_function.setdefault(name, []).append(run)
    found = []
    for name, edits in by_function.items():
        first, last = _densest(edits)
        weight = sum(run.weight for run in edits)
        found.append(Place(path, name, min(first, end), min(last, end), weight, kinds.get(name, ())))
    return found


def _densest(runs: list[_Run]) -> tuple[int, int]:
    """First and last line of the heaviest cluster of runs."""
    clusters: list[list[_Run]] = []
    for run in sorted(runs, key=lambda run: run.before):
        if clusters and run.before[0] - clusters[-1][-1].before[1] <= CLUSTER_GAP:
            clusters[-1].append(run)
        else:
            clusters.append([run])
    heaviest = max(clusters, key=lambda cluster: sum(run.weight for run in cluster))
    return heaviest[0].before[0], max(run.before[1] for run in heaviest)


def _parse(path: str, text: str) -> ast.Module | None:
    if not path.endswith(".py"):
        return None
    try:
        return syntax.parse(text)
    except (SyntaxError, ValueError):
        return None


def _spans(node: ast.AST | None, prefix: str = "") -> Iterator[tuple[int, int, str]]:
    """(first line, last line, qualified name) of every function and class, outer before inner."""
    for child in ast.iter_child_nodes(node) if node else ():
        if isinstance(child, Scope):
            first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
            yield first, child.end_lineno or child.lineno, prefix + child.name
            yield from _spans(child, f"{prefix}{child.name}.")
        else:
            yield from _spans(child, prefix)


def _enclosing(spans: list[tuple[int, int, str]], first: int, last: int) -> str:
    inside = [name for start, end, name in spans if start <= first and last <= end]
    return inside[-1] if inside else MODULE
