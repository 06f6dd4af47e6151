"""Golden files: what hidden tests compare with, or give to the code, and keep outside their folders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from swegym.grading import expectations
from swegym.grading.pytest_run import TestReport
from swegym.grading.rules import PathRules, rules_for
from swegym.grading.scratch import EXECUTABLE, GITLINK, REGULAR, ScratchRepository
from swegym.types import Task

_FILES = (REGULAR, EXECUTABLE)


def of_tests(task: Task, report: TestReport) -> tuple[str, ...]:
    """The files of the base that belong to hidden tests without lying in their folders.

    Those that the tests read themselves and no code does, and links that lead them there. And those that they name and
    no code does: of what a test hands to the code, or to a command, only the name is to be seen.

    Not those that the reference fix changes, and none of the package's own. Scripts are code.
    """
    rules = rules_for(task)
    with ScratchRepository(task.pristine, task.base_commit) as scratch:
        held = {path for path, entry in rules.base.items() if entry.mode != GITLINK}
        found = held & (_read(task, report, rules) | _named(task, rules, scratch))
        fair = [path for path in found - rules.reference if rules.against(path) is None and not _is_packed(path, task)]
        contents = scratch.read_blobs(rules.base[path].blob for path in fair)
    return tuple(sorted(path for path in fair if not contents[rules.base[path].blob].startswith(b"#!")))


def compared(task: Task, report: TestReport) -> dict[str, bytes]:
    """The files, hidden ones or of the base, that hidden tests read themselves and no code does; path -> content.

    Not those that the reference fix changes.
    """
    rules = rules_for(task)
    read = {path for path in _read(task, report, rules) - rules.reference if not path.endswith(".py")}
    hidden = {path: data for path, data in task.hidden.files.items() if path in read}
    base = [path for path in read - hidden.keys() if path in rules.base and rules.base[path].mode in _FILES]
    if not base:
        return hidden
    with ScratchRepository(task.pristine, task.base_commit) as scratch:
        contents = scratch.read_blobs(rules.base[path].blob for path in base)
    return hidden | {path: contents[rules.base[path].blob] for path in base}


def _read(task: Task, report: TestReport, rules: PathRules) -> set[str]:
    read = {(opener, path) for kind, opener, path, _ in report.facts if kind == "read"}
    tests = {path for opener, path in read if opener in task.hidden.files}
    code = {path for opener, path in read if opener not in task.hidden.files}
    return {_place(path, rules) for path in tests - code}


def _place(path: str, rules: PathRules) -> str:
    """The path, or the link in place of a folder that it leads through."""
    above = map(str, PurePosixPath(path).parents)
    return next((place for place in (path, *above) if place in rules.base), path)


def _named(task: Task, rules: PathRules, scratch: ScratchRepository) -> set[str]:
    """The files whose names, or folders, stand in texts of the hidden tests and in none of the package."""
    names = _names(data for path, data in task.hidden.files.items() if path.endswith(".py"))
    found = {path: names.intersection(PurePosixPath(path).parts) for path in rules.base if not path.endswith(".py")}
    wanted = frozenset().union(*found.values())
    sources = scratch.read_blobs(
        entry.blob for path, entry in rules.base.items() if wanted and path.endswith(".py") and _is_packed(path, task)
    )
    encoded = {name: name.encode("utf-8", "surrogateescape") for name in wanted}
    used = _names(data for data in sources.values() if any(name in data for name in encoded.values()))
    return {path for path, parts in found.items() if parts - used}


def _is_packed(path: str, task: Task) -> bool:
    """Whether a file is the package's own."""
    return f"{path}/".startswith(tuple(f"{source}/" for source in task.source))


def _names(sources: Iterable[bytes]) -> set[str]:
    """What may be the name of a file in the texts of code: parts of paths, and words of a command or a program."""
    trees = filter(None, map(expectations.parse, sources))
    texts = {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {part for text in texts for part in (*re.split(r"[/\\]", text), *re.findall(r"[\w.-]+", text))}
