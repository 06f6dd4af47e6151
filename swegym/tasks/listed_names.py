"""Listed names: from what a published row calls its tests to the ids of the tests that pytest has.

Rows take names from logs, and each log parser cuts ids in its own way. So every id is spelled in all the ways in which
parsers spell it, and a listed name means the ids that are spelled so. Names that no id is spelled as are words that a
parser took for tests, or tests that are not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_OPTION = re.compile(r"(.*?)\[(.*)\]")


@dataclass(frozen=True, slots=True)
class Matched:
    """Which ids listed names mean."""

    ids: tuple[str, ...]
    unknown: tuple[str, ...]  # names that mean none


def match(listed: Iterable[str], ids: Iterable[str]) -> Matched:
    """All ids that the listed names mean, each once, in the names' order."""
    known = list(dict.fromkeys(ids))
    tables = [_table(known, spell) for spell in _SPELLINGS]
    found: dict[str, None] = {}
    unknown = []
    for name in listed:
        meant = next((table[name] for table in tables if name in table), None)
        if meant is None and name.count("[") > name.count("]"):
            meant = [one for one in known if one.startswith(name)]
        if meant:
            found.update(dict.fromkeys(meant))
        else:
            unknown.append(name)
    return Matched(tuple(found), tuple(unknown))


def _table(ids: list[str], spell: Callable[[str], str]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for one in ids:
        table.setdefault(spell(one), []).append(one)
    return table


def _first_word(test: str) -> str:
    return (test.split() or [""])[0]


def _short_option(test: str) -> str:
    """Of a path in brackets, only the last part."""
    found = _OPTION.search(_first_word(test))
    if found is None:
        return _first_word(test)
    option = found[2]
    if option.startswith("/") and not option.startswith("//") and "*" not in option:
        option = "/" + option.rpartition("/")[2]
    return f"{found[1]}[{option}]"


def _function(test: str) -> str:
    """The function alone, as runners that know no ids print it."""
    return test.rpartition("::")[2].partition("[")[0]


def _dotted(test: str) -> str:
    """The id without its file: "Class.test" of "file.py::Class::test"."""
    return ".".join(test.split("::")[1:])


def _unittest(test: str) -> str:
    """As runners of unittest print it: "test (package.module.Class)"."""
    path, *classes, function = test.split("::")
    return f"{function} ({'.'.join([path.removesuffix('.py').replace('/', '.'), *classes])})"


_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda test: test,
    _first_word,
    _short_option,
    lambda test: " ".join(test.split()),
    _function,
    _dotted,
    _unittest,
)
