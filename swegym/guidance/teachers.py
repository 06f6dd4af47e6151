"""Choosing a teacher: by name, or by the import path of a function that makes one.

A teacher of one's own is made by `my_package.my_module:factory`, which takes the teacher options as keywords and
returns `(task, trajectory, verdict) -> Guidance | None`. Whatever it says passes the leak check.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from swegym.config import validate
from swegym.errors import InputError, UnknownName
from swegym.guidance.leaks import refuse_leaks
from swegym.guidance.oracle import OracleOptions, oracle
from swegym.types import Guidance, Task, Teacher, Trajectory, Verdict


def make_teacher(name: str, options: Mapping[str, Any] | None = None) -> Teacher:
    """A teacher whose hints are checked for leaks; one that leaks raises `GuidanceError` when called."""
    options = dict(options or {})
    if ":" in name:
        return _checked(_imported(name)(**options))
    if name not in TEACHERS:
        raise UnknownName.among(
            "teacher", name, TEACHERS, "Or give an import path such as my_package.my_module:factory."
        )
    return _checked(TEACHERS[name](options))


def _oracle(options: dict[str, Any]) -> Teacher:
    return oracle(validate(OracleOptions, options, "teacher_options"))


TEACHERS: dict[str, Callable[[dict[str, Any]], Teacher]] = {"oracle": _oracle}


def _imported(path: str) -> Callable[..., Teacher]:
    module, _, attribute = path.partition(":")
    try:
        factory: Callable[..., Teacher] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"teacher {path!r}: {error}. Give it as module:function, importable from here.") from error
    return factory


def _checked(teacher: Teacher) -> Teacher:
    def teach(task: Task, trajectory: Trajectory, verdict: Verdict) -> Guidance | None:
        guidance = teacher(task, trajectory, verdict)
        return None if guidance is None else refuse_leaks(guidance, task)

    return teach
