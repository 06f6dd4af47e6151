"""Plain values as a sandbox sends them (`_questions.py`), and whether an answer agrees with what was expected.

The comparison is more lenient than the test: the test itself runs as well, in the open. It is here to find answers that
cannot be right.
"""

from __future__ import annotations

import base64
import builtins
import cmath
import datetime
import decimal
import fractions
import functools
import json
import operator
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from swegym.grading import tolerances

OPAQUE = object()  # an answer that says nothing
_LONGEST = 250_000  # characters of an answer: keys of one hash take the square of their number to read
_MADE_OF, _HOLDS = 2, 3  # places in an answer that nobody can compare
_CONTAINERS: Mapping[Any, Any] = {  # what is expected -> of what kinds an answer may be told from it
    dict: dict,
    list: (list, tuple),
    tuple: (list, tuple),
    frozenset: (list, tuple, frozenset),
}
_KINDS_OF_EXCEPTION = 3  # unrelated builtin exceptions that one class may be at once
_OWN_CLASSES = 6  # of an exception, beyond those that the reference fix's has
_MESSAGE = 4_000  # characters of an exception's text
_DATES: Mapping[str, Any] = {kind.__name__: kind for kind in (datetime.datetime, datetime.date, datetime.time)}
_EXACT = (int, decimal.Decimal, fractions.Fraction, datetime.timedelta, *_DATES.values())
_NUMBERS = (int, float, complex, decimal.Decimal, fractions.Fraction)
_SEARCH = "import json, re, sys; sys.exit(not re.search(*json.load(sys.stdin)))"
_SEARCHING = 5.0  # seconds for one text: a pattern of several repetitions can take hours to fail

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "!=": operator.ne,
    "is not": lambda answer, literal: answer is not literal,
    "in": lambda answer, literal: answer in literal,
    "not in": lambda answer, literal: answer not in literal,
    "contains": lambda answer, literal: literal in answer,
    "lacks": lambda answer, literal: literal not in answer,
    "startswith": lambda answer, literal: answer.startswith(literal),
    "endswith": lambda answer, literal: answer.endswith(literal),
}
COMPARED = frozenset(_COMPARE)


def decode(text: str) -> Any:
    """The value of an answer; OPAQUE for what is none, and for what nobody who encodes would send."""
    if len(text) > _LONGEST:
        return OPAQUE
    try:
        return _value(json.loads(text))
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return OPAQUE


def _value(node: Any) -> Any:
    kind, content = node[:2]
    if kind == "none":
        return None
    if kind in ("bool", "int"):
        return bool(int(content)) if kind == "bool" else int(content)
    if kind == "float":
        return float(content)
    if kind == "complex":
        return complex(float(content[0]), float(content[1]))
    if kind in ("str", "written"):
        return str(content)
    if kind in ("bytes", "bytearray"):
        return base64.b64decode(content)
    if kind == "dict":
        return {_value(key): _value(item) for key, item in content}
    if kind in ("list", "tuple", "set", "frozenset"):
        values = [_value(item) for item in content]
        return values if kind == "list" else tuple(values) if kind == "tuple" else frozenset(values)
    if kind == "raised":
        names, message, *more = content
        noted, line = (*more, message, 0)[0], int((*more, 0, 0)[1])
        return Raised(tuple(str(name) for name in names), str(message)[:_MESSAGE], str(noted)[:_MESSAGE], line)
    if kind == "warned":
        return Warned(tuple(_value(["raised", one]) for one in content))
    if kind == "keyed":
        return _value(content)
    if kind in _DATES:
        return _DATES[kind].fromisoformat(content)
    if kind == "timedelta":
        return datetime.timedelta(*map(int, content))
    if kind == "decimal":
        return decimal.Decimal(content)
    if kind == "fraction":
        return fractions.Fraction(*map(int, content))
    return OPAQUE


def content_of(text: str) -> Any:
    """What an answer is made of, or how it is written, that is an object nobody can compare; OPAQUE for none."""
    try:
        node = _content(text)
        return OPAQUE if node is None else _value(node)
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return OPAQUE


def is_made_of_text(text: str) -> bool:
    """Whether an answer that nobody can compare is a text: whatever that is equal to, it reads as it does."""
    try:
        node = _content(text)
        return node is not None and node[0] in ("str", "bytes")
    except (ValueError, TypeError, LookupError, RecursionError):
        return False


def is_made_of_another(text: str, expected: Any) -> bool:
    """Whether an answer that nobody can compare is a whole number or a date, as is expected, and another one."""
    content = content_of(text)
    return type(content) is type(expected) and isinstance(content, _EXACT) and bool(content != expected)


def holds_others(text: str, expected: Any) -> bool:
    """Whether an answer that nobody can compare is a container, as is expected, and holds other things.

    It does if they are others both in the plain value that it is made of and to who goes through it. In whatever case
    its letters are counts for nothing, as an equality of its own may overlook it.
    """
    ours = _CONTAINERS.get(type(expected))
    if ours is None:
        return False
    try:
        nodes = [node for place in (_MADE_OF, _HOLDS) if (node := _content(text, place)) is not None]
        seen = [value for value in map(_value, nodes) if isinstance(value, ours)]
        if isinstance(expected, frozenset):
            seen = [frozenset(value) for value in seen]
        return bool(seen) and _folded(expected) not in map(_folded, seen)
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return False


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, dict):
        return {_folded(key): _folded(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return frozenset(map(_folded, value))
    return [*map(_folded, value)] if isinstance(value, list | tuple) else value


def _content(text: str, place: int = _MADE_OF) -> Any:
    """The encoded content of an opaque answer, or what it holds; None for none.

    Raises what reading damaged ones raises.
    """
    parts = json.loads(text) if len(text) <= _LONGEST else [""]
    return parts[place] if parts[0] == "opaque" and len(parts) > place else None


def finds_keys_itself(text: str) -> bool:
    """Whether an answer is a dict that says in a way of its own which keys it holds, in whatever case for one."""
    return text.startswith('["keyed",')


class Raised(NamedTuple):
    """An exception: the names of its classes, the nearest first, its text, and the text with its notes.

    `line` of the block that it comes from, from 1 on; 0 where that is not known.
    """

    names: tuple[str, ...]
    message: str
    noted: str = ""
    line: int = 0


class Warned(NamedTuple):
    """The warnings of a block, as if they were raised."""

    all: tuple[Raised, ...]


def agrees(check: Mapping[str, Any], answer: Any, reference: Any) -> bool:
    """Whether an answer may be right. `check` is a seal's: form, operator, literal; `reference` the reference fix's."""
    if answer is OPAQUE:
        return False
    form, sign = check["form"], check["operator"]
    try:
        if isinstance(answer, Raised) or form == "raises":
            return isinstance(answer, Raised) and form == "raises" and _raised(check, answer, reference)
        if isinstance(answer, Warned) or form == "warns":
            return isinstance(answer, Warned) and form == "warns" and _warned(check, answer, reference)
        if form == "near":
            if "literal" in check:
                return _near(answer, decode(check["literal"]), *tolerances.allowed(sign))
            return _near(answer, reference, *(2 * far for far in tolerances.allowed(sign)))
        if form == "compare":
            return bool(_COMPARE[sign](answer, decode(check["literal"])))
        if sign == "is":
            return answer is reference or (type(answer) is type(reference) and bool(answer == reference))
        return bool(answer == reference)
    except (TypeError, AttributeError, ValueError, ArithmeticError, RecursionError, re.error):  # it cannot be compared
        return False


def _raised(check: Mapping[str, Any], answer: Raised, reference: Any) -> bool:
    """Whether an exception is of a class that the test names.

    Where the reference fix's is a builtin one, it has to be that, for a class may have any name. Of other classes only
    the last name counts, as a fix may move them; and there are not many more of them than the reference fix's has.
    """
    names = answer.names
    known = frozenset(reference.names) if isinstance(reference, Raised) else frozenset(names)
    wanted = {f"builtins.{name}" if f"builtins.{name}" in known else name for name in check["names"]}
    if check.get("by_row"):  # the names of other rows are none of this one's
        wanted &= _said(known)
    said = _said(names)
    if 0 < answer.line <= check.get("before", 0):
        return False  # lines that were taken into the block raise nothing
    if not said & wanted or _too_many_kinds(names) or len(names) > len(known) + _OWN_CLASSES:
        return False
    patterns = check.get("match")
    if isinstance(patterns, list) and isinstance(reference, Raised):
        patterns = [pattern for pattern in patterns if _is_found(pattern, reference)]
    elif patterns is None or isinstance(patterns, str):
        return patterns is None or _is_found(patterns, answer)
    return any(_is_found(pattern, answer) for pattern in patterns)


def _is_found(pattern: str, raised: Raised) -> bool:
    return _matches(pattern, raised.message) or _matches(pattern, raised.noted)


def _said(names: Iterable[str]) -> set[str]:
    """Names with and without what is in front of them."""
    return {part for name in names for part in (name, name.rpartition(".")[2])}


def _warned(check: Mapping[str, Any], answer: Warned, reference: Any) -> bool:
    """Whether one of the warnings is as the test wants one. One of every kind satisfies whatever a test names."""
    right = [one for one in reference.all if _raised(check, one, one)] if isinstance(reference, Warned) else []
    if not right or _too_many_kinds(tuple(name for one in answer.all for name in one.names)):
        return False
    return any(_raised(check, one, right[0]) for one in answer.all)


@functools.lru_cache(maxsize=256)
def _matches(pattern: str, message: str) -> bool:
    """Whether a text has the pattern; where that could last, it is looked for in a process that can be ended."""
    if sum(map(pattern.count, "*+{")) < 2:
        return re.search(pattern, message) is not None
    try:
        found = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SEARCH],
            input=json.dumps([pattern, message]).encode("ascii"),
            stderr=subprocess.DEVNULL,
            timeout=_SEARCHING,
        )
    except subprocess.TimeoutExpired:
        return False
    return found.returncode == 0


def _too_many_kinds(names: tuple[str, ...]) -> bool:
    """An exception that is one of everything satisfies whatever a test names."""
    kinds = [getattr(builtins, name.rpartition(".")[2], None) for name in names if name.startswith("builtins.")]
    classes = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseException)]
    leaves = [kind for kind in classes if not any(other is not kind and issubclass(other, kind) for other in classes)]
    return len(leaves) > _KINDS_OF_EXCEPTION


def _near(answer: Any, reference: Any, relative: float, absolute: float) -> bool:
    if isinstance(reference, list | tuple):
        return len(answer) == len(reference) and all(
            _near(one, other, relative, absolute) for one, other in zip(answer, reference, strict=True)
        )
    if isinstance(reference, dict):
        return set(answer) == set(reference) and all(
            _near(answer[key], reference[key], relative, absolute) for key in reference
        )
    if isinstance(reference, _NUMBERS) and isinstance(answer, _NUMBERS) and answer != reference:
        return cmath.isclose(complex(answer), complex(reference), rel_tol=relative, abs_tol=absolute)
    return bool(answer == reference)
