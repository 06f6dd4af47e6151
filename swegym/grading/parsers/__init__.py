"""Log parsers: from the text that a test runner printed to a word for each test that it names.

A parser is a function `(log) -> {name: word}`. The words are those that runners print and published task sets are
graded by: PASSED, FAILED, ERROR, SKIPPED, XFAIL; any other word means neither success nor failure. A name is whatever
the log calls the test. Parsers keep the quirks of the logs that expected names were taken from, so they are for
verdicts that must equal others'; where a structured channel exists, our own verdict never reads a log. Code under test
may print what it likes, so a parser takes no longer than a log is long: an expression that begins again at each of
many places would keep the whole process waiting.

To add one, write such a function and name it by its import path ("my_pkg.logs:read") wherever a parser is named: in a
row's `log_parser`, or in `[build]` of a recipe.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from typing import cast

from swegym.errors import InputError, UnknownName
from swegym.grading.parsers import django_log, pytest_log, sympy_log, unittest_log

Parser = Callable[[str], dict[str, str]]

PARSERS: dict[str, Parser] = {
    "pytest": pytest_log.summary,
    "pytest_options": pytest_log.summary_with_short_options,
    "pytest_whole_line": pytest_log.whole_line,
    "pytest_verbose": pytest_log.verbose,
    "matplotlib": pytest_log.summary_with_button_numbers,
    "seaborn": pytest_log.passed_or_failed,
    "unittest": unittest_log.read,
    "django": django_log.read,
    "sympy": sympy_log.read,
}
# What the `log_parser` of a published row calls them.
_PUBLISHED = {
    "pytest": ("pytest", "astroid", "flask", "marshmallow", "pvlib", "pyvista", "sqlfluff", "xarray"),
    "pytest_options": ("pytest_options", "pydicom", "requests", "pylint"),
    "pytest_whole_line": ("pytest_v2", "astropy", "scikit", "sphinx"),
    "matplotlib": ("matplotlib",),
    "seaborn": ("seaborn",),
    "django": ("django",),
    "sympy": ("sympy",),
}
_ALIASES = {f"parse_log_{theirs}": ours for ours, names in _PUBLISHED.items() for theirs in names}
_CUT_PATH = re.compile(r"\[/[^/*\]]+\]$")
_METHOD_AND_CLASS = re.compile(r"^\w+ \([\w.]+\)$")

__all__ = ["PARSERS", "Parser", "infer_parser", "known_parser", "make_parser"]


def known_parser(name: str) -> str:
    """Our name of a parser that a row names in its own way. Raises `UnknownName`."""
    if name in PARSERS or ":" in name:
        return name
    if name in _ALIASES:
        return _ALIASES[name]
    raise UnknownName.among("log parser", name, (*PARSERS, *_ALIASES), "Or give an import path: my_pkg.logs:read.")


def make_parser(name: str) -> Parser:
    """A parser by name, by the name that published rows use, or by import path."""
    ours = known_parser(name)
    if ours in PARSERS:
        return PARSERS[ours]
    module, _, function = ours.partition(":")
    try:
        return cast(Parser, getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError) as error:
        raise InputError(f"log parser {name!r} cannot be imported: {error}. Check the path.") from error


def infer_parser(expected: Iterable[str]) -> str:
    """The parser whose names look like these; rows of older task sets do not name theirs.

    Names that pytest prints hold "::". Of those, spaces are only kept by the parser that takes whole lines, and a path
    in brackets with one part only is what is left of a longer one.
    """
    names = list(expected)
    ids = [name for name in names if "::" in name]
    if not ids:
        if any(_METHOD_AND_CLASS.match(name) for name in names):
            return "django"
        return "sympy" if any(name.startswith("test_") for name in names) else "pytest"
    if any(" " in name for name in ids):
        return "pytest_whole_line"
    return "pytest_options" if any(_CUT_PATH.search(name) for name in ids) else "pytest"
