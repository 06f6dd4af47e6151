"""Patch in, verdict out: extraction, sealed test run, integrity rules."""

from __future__ import annotations

import importlib
from typing import cast

from swegym.errors import InputError, UnknownName
from swegym.grading.apply import AppliedPatch, Change, apply_patch
from swegym.grading.extract import Extraction, extract_patch
from swegym.grading.judging import judge, not_judged, take_patch
from swegym.grading.pytest_run import TestReport, run_hidden
from swegym.types import Grader

GRADERS = {
    "sealed": "swegym.grading.sealed:grade",
    "sealed-strong": "swegym.grading.stronger:grade",
    "unasked": "swegym.grading.sealed:grade_unasked",
    "warm": "swegym.grading.warm:grade",
    "compatible": "swegym.grading.compatible:grade",
}

__all__ = [
    "GRADERS",
    "AppliedPatch",
    "Change",
    "Extraction",
    "TestReport",
    "apply_patch",
    "extract_patch",
    "judge",
    "make_grader",
    "not_judged",
    "run_hidden",
    "take_patch",
]


def make_grader(name: str = "sealed") -> Grader:
    """A grader by name, by import path ("my_pkg.my_module:my_grader"), or "sealed[seals,twins]": some layers only."""
    if name.startswith("sealed[") and name.endswith("]"):
        return _with_layers(name)
    module, separator, function = GRADERS.get(name, name).partition(":")
    if not separator:
        raise UnknownName.among("grader", name, GRADERS, "Or give an import path: my_pkg.my_module:my_grader.")
    try:
        return cast(Grader, getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError) as error:
        raise InputError(f"grader {name!r} cannot be imported: {error}. Check the path.") from error


def _with_layers(name: str) -> Grader:
    from swegym.grading.sealed import grader_with
    from swegym.grading.strict import LAYERS

    layers = [layer.strip() for layer in name[len("sealed[") : -1].split(",") if layer.strip()]
    for layer in layers:
        if layer not in LAYERS:
            raise UnknownName.among(f"layer of the grader {name!r}:", layer, LAYERS)
    return grader_with(*layers)
