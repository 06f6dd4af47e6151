"""Weakness: patches that solve nothing, made from a task, to see whether its tests let one of them pass.

A `deletion` takes away the lines that the reference fix takes away and puts nothing in their place. A `stub` empties
the functions that it changes. A `test change` switches tests off and leaves the sources alone.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable

from swegym.errors import TaskError
from swegym.syntax import parse
from swegym.tasks.repository import git
from swegym.types import Task

_SKIP_ALL = """import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.skip(reason="not now"))
"""
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")


def trivial_patches(task: Task) -> dict[str, str]:
    """Patches by the name of what they do; one that a task has no place for is left out."""
    removed = removed_lines(task.gold_patch)
    deleted: list[str] = []
    stubbed: list[str] = []
    for path, (lines, near) in removed.items():
        if not path.endswith(".py"):
            continue
        old = _text(task, path)
        if old is None:
            continue
        deleted.append(_patch(path, old, without_lines(old, lines)))
        stubbed.append(_patch(path, old, with_stubs(old, lines | near)))
    tests = [path for path in task.tests.visible if not path.endswith(".py")] or ["."]
    place = "conftest.py" if tests[0] == "." else f"{tests[0]}/conftest.py"
    found = {
        "deletion": "".join(deleted),
        "stub": "".join(stubbed),
        "test change": _patch(place, _text(task, place) or "", _SKIP_ALL, new=_text(task, place) is None),
    }
    return {name: patch for name, patch in found.items() if patch}


def removed_lines(patch: str) -> dict[str, tuple[set[int], set[int]]]:
    """By path, the lines (from 1) that a patch takes away, and the lines right before which it adds."""
    found: dict[str, tuple[set[int], set[int]]] = {}
    path, line = "", 0
    for text in patch.splitlines():
        if text.startswith("--- a/"):
            path = text[6:].split("\t")[0]
            found.setdefault(path, (set(), set()))
        elif match := _HUNK.match(text):
            line = int(match[1]) if match[2] != "0" else int(match[1]) + 1
        elif path and text.startswith("-") and not text.startswith("---"):
            found[path][0].add(line)
            line += 1
        elif path and text.startswith("+") and not text.startswith("+++"):
            found[path][1].add(max(line - 1, 1))
        elif text.startswith(" "):
            line += 1
        elif text.startswith("diff --git"):
            path = ""
    return found


def without_lines(source: str, lines: Iterable[int]) -> str:
    """The source without these lines; unchanged if it would not be Python any more."""
    gone = set(lines)
    kept = "".join(line for number, line in enumerate(source.splitlines(keepends=True), 1) if number not in gone)
    try:
        parse(kept)
    except (SyntaxError, ValueError):
        return source
    return kept


def with_stubs(source: str, lines: Iterable[int]) -> str:
    """The source with every innermost function around one of these lines emptied."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError):
        return source
    spans = [
        (node.body[0].lineno, node.end_lineno or node.lineno, node.body[0].col_offset)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.body[0].lineno > node.lineno
    ]
    around = {max(span for span in spans if span[0] <= line <= span[1]) for line in lines if _inside(line, spans)}
    rows = source.splitlines(keepends=True)
    for first, last, column in sorted(around, reverse=True):
        rows[first - 1 : last] = [" " * column + "pass\n"]
    return "".join(rows)


def _inside(line: int, spans: Iterable[tuple[int, int, int]]) -> bool:
    return any(first <= line <= last for first, last, _ in spans)


def _text(task: Task, path: str) -> str | None:
    """A file of the base commit, if it is text."""
    try:
        return git(task.pristine, "show", f"{task.base_commit}:{path}").decode("utf-8")
    except (TaskError, UnicodeDecodeError):
        return None


def _patch(path: str, old: str, text: str, *, new: bool = False) -> str:
    if old == text or not (old.endswith("\n") or not old) or "\r" in old:
        return ""
    rows = difflib.unified_diff(
        old.splitlines(keepends=True), text.splitlines(keepends=True), "/dev/null" if new else f"a/{path}", f"b/{path}"
    )
    header = f"diff --git a/{path} b/{path}\n" + ("new file mode 100644\n" if new else "")
    return header + "".join(rows)
