"""Golden files: what hidden tests compare with, or give to the code, and keep outside their folders."""

from __future__ import annotations

from pathlib import PurePosixPath

from swegym.grading.pytest_run import TestReport
from swegym.grading.rules import PathRules, rules_for
from swegym.grading.scratch import EXECUTABLE
from swegym.types import Task


def read_by_tests(task: Task, report: TestReport) -> tuple[str, ...]:
    """The files of the base that hidden tests read themselves and no code does, and links that lead them there.

    Not those that the reference fix changes, and none of the package's own.
    """
    read = {(opener, path) for kind, opener, path, _ in report.facts if kind == "read"}
    tests = {path for opener, path in read if opener in task.hidden.files}
    code = {path for opener, path in read if opener not in task.hidden.files}
    rules = rules_for(task)
    sources = tuple(f"{source}/" for source in task.source)
    places = {_place(path, rules) for path in tests - code} - rules.reference
    found = [place for place in places if place in rules.base and rules.against(place) is None]
    # Scripts are code.
    return tuple(sorted(p for p in found if rules.base[p].mode != EXECUTABLE and not f"{p}/".startswith(sources)))


def _place(path: str, rules: PathRules) -> str:
    """The path, or the link in place of a folder that it leads through."""
    above = map(str, PurePosixPath(path).parents)
    return next((place for place in (path, *above) if place in rules.base), path)
