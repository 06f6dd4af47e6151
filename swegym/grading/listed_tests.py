"""Tests of a task whose project runs them by a command of its own, under pytest's ids: so that they can be asked.

What such a command printed decides whether a patch passes (`command_run.py`), and code under test can print. Questions
need no log: the hidden tests are functions, of unittest or plain, and pytest runs most of these in a project that does
not use it. Whether it does so here, the reference says: a test that pytest does not pass with the reference fix is not
asked.
"""

from __future__ import annotations

import re
from dataclasses import replace

from swegym.grading import expectations
from swegym.types import Task

_UNITTEST = re.compile(r"(\w+) \(([\w.]+)\)")  # unittest and Django's runner: "test_a (package.module.Case)"


def by_pytest(task: Task) -> Task:
    """The task with pytest for its runner, and those of its tests by pytest's ids whose names say which they are.

    A task that pytest runs is returned as it is, and so is one of whose tests none is found.
    """
    if task.tests.runner == "pytest":
        return task
    known = _known(task)
    ids = {name: _id_of(name, known) for name in task.hidden.expected}
    if not any(ids.values()):
        return task
    turning, staying = (
        tuple(dict.fromkeys(ids[name] or name for name in names))
        for names in (task.hidden.fail_to_pass, task.hidden.pass_to_pass)
    )
    hidden = replace(task.hidden, fail_to_pass=turning, pass_to_pass=staying)
    return replace(task, tests=replace(task.tests, runner="pytest"), hidden=hidden)


def _known(task: Task) -> dict[str, str]:
    """Id -> dotted name of every function in the hidden files that may be a test."""
    found = {}
    for path in sorted(task.hidden.files):
        tree = expectations.parse(task.hidden.files[path]) if path.endswith(".py") else None
        for name, _ in expectations.test_functions(tree) if tree else ():
            found[f"{path}::{name}"] = f"{path.removesuffix('.py')}/{name}".replace("/", ".").replace("::", ".")
    return found


def _id_of(name: str, known: dict[str, str]) -> str | None:
    """The one id that a listed name means; None where there is none, or more than one."""
    if "::" in name:
        return name if name.partition("[")[0] in known else None
    said = _UNITTEST.fullmatch(name)
    if said is None:
        return None
    dotted = f"{said[2].removesuffix(f'.{said[1]}')}.{said[1]}"
    meant = [test for test, known_as in known.items() if f".{known_as}".endswith(f".{dotted}")]
    return meant[0] if len(meant) == 1 else None
