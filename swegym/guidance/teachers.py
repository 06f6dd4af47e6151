"""Choosing a teacher: by name, or by the import path of a function that makes one.

Each declares what it may see (`swegym.guidance.sight`), and is handed no more. A teacher of one's own is made by
`my_package.my_module:factory`, which takes the teacher options as keywords and returns
`(task, trajectory, verdict) -> Guidance | None`. It declares its level by an attribute `sees` of the function that is
returned or of the factory; without one it is public. Whatever anyone says passes the leak check.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from swegym.config import validate
from swegym.errors import InputError, UnknownName
from swegym.guidance.asking import TRIES, Tutor
from swegym.guidance.critique import CritiqueOptions, CritiqueTeacher
from swegym.guidance.llm import LLMOptions, LLMTeacher
from swegym.guidance.oracle import OracleOptions, oracle
from swegym.guidance.recorded import RecordedOptions, look_up, recorded
from swegym.guidance.self_feedback import SelfOptions, self_feedback
from swegym.guidance.sibling import SiblingOptions, sibling
from swegym.guidance.sight import LEVELS, Question, Sees
from swegym.types import Guidance, Teacher


def make_teacher(name: str, options: Mapping[str, Any] | None = None) -> Tutor:
    """A teacher that is handed what its level allows and whose hints are checked for leaks."""
    options = dict(options or {})
    if ":" in name:
        return _imported(name, options)
    if name not in TEACHERS:
        raise UnknownName.among(
            "teacher", name, TEACHERS, "Or give an import path such as my_package.my_module:factory."
        )
    return TEACHERS[name](options)


def _oracle(options: dict[str, Any]) -> Tutor:
    return Tutor("oracle", "privileged", functools.partial(oracle, _options(OracleOptions, options)))


def _llm(options: dict[str, Any]) -> Tutor:
    chosen = _options(LLMOptions, options)
    return Tutor("llm", chosen.sees, LLMTeacher(chosen), TRIES)


def _self(options: dict[str, Any]) -> Tutor:
    return Tutor("self", "public", functools.partial(self_feedback, _options(SelfOptions, options)))


def _sibling(options: dict[str, Any]) -> Tutor:
    return Tutor("sibling", "verdict", functools.partial(sibling, _options(SiblingOptions, options)))


def _critique(options: dict[str, Any]) -> Tutor:
    return Tutor("critique", "verdict", CritiqueTeacher(_options(CritiqueOptions, options)), TRIES)


def _recorded(options: dict[str, Any]) -> Tutor:
    return Tutor("recorded", "public", functools.partial(look_up, recorded(_options(RecordedOptions, options))))


TEACHERS: dict[str, Callable[[dict[str, Any]], Tutor]] = {
    "oracle": _oracle,
    "llm": _llm,
    "self": _self,
    "sibling": _sibling,
    "critique": _critique,
    "recorded": _recorded,
}


def _options(model: Any, options: dict[str, Any]) -> Any:
    return validate(model, options, "teacher_options")


def _imported(path: str, options: dict[str, Any]) -> Tutor:
    module, _, attribute = path.partition(":")
    try:
        factory: Callable[..., Teacher] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"teacher {path!r}: {error}. Give it as module:function, importable from here.") from error
    try:
        teacher = factory(**options)
    except TypeError as error:
        raise InputError(f"teacher {path!r}: teacher_options do not suit it: {error}. Correct them.") from error
    sees: Sees = getattr(teacher, "sees", getattr(factory, "sees", "public"))
    if sees not in LEVELS:
        raise InputError.at(path, "sees", sees, "is no level", f"Use one of: {', '.join(LEVELS)}.")

    def teach(question: Question) -> Guidance | None:
        return teacher(question.task, question.attempt, question.attempt.verdict)

    return Tutor(path, sees, teach)
