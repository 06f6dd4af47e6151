"""Choices: a plain value among others near it. What is equal to it and to no other knows it.

The value is changed in a few places, in each in a few ways, and shown with all combinations of these, or a random lot.
By a change that is as likely as the one back, none of them is the middle one, or the one that most others resemble; so
a guess is right once in as many times as there are choices.
"""

from __future__ import annotations

import ast
import copy
import datetime
import decimal
import fractions
import functools
import itertools
import math
import random
import string
from collections.abc import Callable
from typing import Any

from swegym.grading.changes import STEPS, changed, fine_step

SHOWN = 16
_SHOWN_OF_LONG, _LONG = 4, 4_000  # characters of a literal of which fewer are shown
_SHORT = 200  # and of one in which further letters are put
_MARKS = string.punctuation + string.whitespace
_PLACES = 3
_LAX, _LAX_OF_LONG = 48, 3  # ways in which a lax equality might be lax
_PARTS = 8  # of a date, of which each is another one in some choice
_NEAR = 4  # values of one place, or letters
_LETTERS = (string.digits, string.ascii_lowercase, string.ascii_uppercase)

# What dates, times and exact numbers are written with, and where it is to be had.
_NAMES = {"datetime": datetime, "Decimal": decimal.Decimal, "Fraction": fractions.Fraction}
_PLACES_OF_NAMES = {
    "datetime": "__import__('datetime')",
    "Decimal": "__import__('decimal').Decimal",
    "Fraction": "__import__('fractions').Fraction",
}

Edit = Callable[[Any], Any]  # of a node's value; the first of a place leaves it as it is


def among_neighbours(value: Any, source: random.Random) -> tuple[list[str], list[bool]] | None:
    """The literal of a plain value among some near it, in random order, and which of them it is.

    None for what has no literal, an infinity, or no number, and for what has no neighbours.
    """
    if not _has_literal(value):
        return None
    literal = _parsed(repr(value))
    most = SHOWN if len(repr(value)) < _LONG else _SHOWN_OF_LONG
    others: dict[str, None] = {}
    combinations = list(itertools.product(*_places(literal, source)))[1:]
    for chosen in source.sample(combinations, len(combinations)):
        if len(others) == most - 1:
            break
        try:
            other = _value(_edited(literal, chosen))
        except (ValueError, ArithmeticError):  # no date, or no number
            continue
        if other != value and _has_literal(other):
            others[repr(other)] = None
    if not others and not _is_named(value):
        nodes = [changed(literal, step) or ast.Constant(step) for step in range(1, STEPS + 1)]
        others = dict.fromkeys(repr(one) for one in map(_value, nodes) if one != value and _has_literal(one))
    if not others:
        return None
    order = [repr(value), *source.sample(list(others), min(len(others), most - 1))]
    order += _lax(order, source, _LAX if most == SHOWN else _LAX_OF_LONG)
    source.shuffle(order)
    right = [text == repr(value) for text in order]
    return _by_themselves(order), right


def _has_literal(value: Any) -> bool:
    try:
        tree = _parsed(repr(value))
    except SyntaxError:  # a time zone that is not the standard library's own
        return False
    names = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return set(names) <= {"set", "frozenset", "bytearray", *_NAMES}


def _by_themselves(texts: list[str]) -> list[str]:
    """Literals that need no name but those of the language; all written alike, so that none stands out."""

    class Placed(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return _parsed(_PLACES_OF_NAMES[node.id]) if node.id in _PLACES_OF_NAMES else node

    named = any(name in text for text in texts for name in _NAMES)
    return [ast.unparse(Placed().visit(_parsed(text))) for text in texts] if named else texts


def _lax(order: list[str], source: random.Random, most: int) -> list[str]:
    """The literals of what differs from each of these in case, blanks, punctuation, order, sign or part of a date."""
    values = [_value(_parsed(text)) for text in order]
    texts = _texts(values[0])
    letters = sorted({letter for text in texts for letter in text if not letter.isalnum()})
    ways: list[Edit] = [_with_sign, _turned_round, _with_text(str.swapcase), _with_text(" {} ".format)]
    ways += [_with_text(functools.partial(_doubled, letter)) for letter in letters]
    if len(repr(values[0])) < _SHORT:
        ways += [_with_text(functools.partial(_inserted, letter, source.random())) for letter in _MARKS]
    ways = source.sample(ways, min(most, len(ways)))
    if _is_named(values[0]):
        ways += [functools.partial(_stepped, place) for place in range(min(len(_nodes(_parsed(order[0]))), _PARTS))]
    others = [way(value) for way in ways for value in values]
    return list({repr(other): None for other in others if other not in values})


def _is_named(value: Any) -> bool:
    return any(isinstance(node, ast.Name) and node.id in _NAMES for node in ast.walk(_parsed(repr(value))))


def _stepped(place: int, value: Any) -> Any:
    """A date, a time or a fraction with one of its numbers another, all else the same; of a text its last digit."""
    literal = _parsed(repr(value))
    nodes = _nodes(literal)
    if place >= len(nodes) or not isinstance(nodes[place], ast.Constant):
        return value
    node, before = nodes[place], nodes[place].value
    for step in (1, -1):
        digit = isinstance(before, str) and before[-1:].isdigit()
        node.value = (
            before + step if isinstance(before, int) else f"{before[:-1]}{int(before[-1]) + step}" if digit else before
        )
        try:
            return _value(literal)
        except (ValueError, ArithmeticError):
            continue
    return value


def _texts(value: Any) -> list[str]:
    if isinstance(value, str | bytes):
        return [value if isinstance(value, str) else value.decode("ascii", "surrogateescape")]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [text for part in parts for text in _texts(part)]


def _with_text(change: Callable[[str], str]) -> Edit:
    def edit(value: Any) -> Any:
        if isinstance(value, bytes):
            return change(value.decode("ascii", "surrogateescape")).encode("ascii", "surrogateescape")
        return change(value) if isinstance(value, str) else _inside(edit, value)

    return edit


def _with_sign(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return -value if number else _inside(_with_sign, value)


def _turned_round(value: Any) -> Any:
    inner = _inside(_turned_round, value)
    return inner[::-1] if isinstance(inner, list | tuple) else inner


def _inside(edit: Edit, value: Any) -> Any:
    """A list, tuple or dict with its members changed; anything else as it is."""
    if isinstance(value, dict):
        return {key: edit(inner) for key, inner in value.items()}
    return type(value)(map(edit, value)) if isinstance(value, list | tuple) else value


def _doubled(letter: str, text: str) -> str:
    return text.replace(letter, 2 * letter)


def _inserted(letter: str, place: float, text: str) -> str:
    at = int(place * (len(text) + 1))
    return text[:at] + letter + text[at:]


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _value(node: ast.expr) -> Any:
    return eval(compile(ast.fix_missing_locations(ast.Expression(node)), "<choice>", "eval"), dict(_NAMES))


def _nodes(literal: ast.expr) -> list[Any]:
    """What can be changed in a literal: numbers, texts and lists, but no keys."""
    keys = {id(key) for node in ast.walk(literal) if isinstance(node, ast.Dict) for key in node.keys}
    return [
        node
        for node in ast.walk(literal)
        if id(node) not in keys
        and (
            (isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | bytes))
            or (isinstance(node, ast.List | ast.Tuple) and len(node.elts) > 1)
        )
    ]


def _places(literal: ast.expr, source: random.Random) -> list[list[tuple[int, Edit]]]:
    nodes = _nodes(literal)
    drawn = source.sample(range(len(nodes)), min(len(nodes), _PLACES))
    each = -(-_PLACES // max(len(drawn), 1))
    found = [(number, edits) for number in drawn for edits in _edits(nodes[number], each, source)]
    return [[(number, edit) for edit in edits] for number, edits in found]


def _edited(literal: ast.expr, chosen: tuple[tuple[int, Edit], ...]) -> ast.expr:
    other = copy.deepcopy(literal)
    nodes = _nodes(other)
    for number, edit in chosen:
        node = nodes[number]
        if isinstance(node, ast.Constant):
            node.value = edit(node.value)
        else:
            node.elts = edit(node.elts)
    return other


def _edits(node: Any, most: int, source: random.Random) -> list[list[Edit]]:
    """For some places in a node what can be done there. The last place of a text is first, as edits may shift it."""
    if not isinstance(node, ast.Constant):
        return [[_same, functools.partial(_cut, source.randrange(len(node.elts)), 1, [])]]
    value = node.value
    if isinstance(value, bool):
        return [[_same, lambda value: not value]]
    if isinstance(value, int | float):
        far = 10 if abs(value) < 1_000 else max(abs(value) // 100, 10)
        sizes: tuple[float, ...] = (1, far) if isinstance(value, int) or math.ulp(value) < 1 else (far,)
        if isinstance(value, float) and abs(value) < 1_000 and fine_step(value)[0]:
            sizes = (fine_step(value)[0], far)
        return [[functools.partial(_plus, step * size) for step in _around(source)] for size in sizes[:most]]
    assert isinstance(value, str | bytes)
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    places = [place for place, letter in enumerate(text) if letter.isascii() and letter.isalnum()]
    drawn: list[int] = []
    for place in source.sample(places, len(places)):
        if all(abs(place - other) > 1 for other in drawn):
            drawn.append(place)
    found = [_letter_edits(text[place], place, source) for place in sorted(drawn[:most], reverse=True)]
    return [[functools.partial(_of_bytes, edit) for edit in edits] for edits in found] if text is not value else found


def _letter_edits(letter: str, place: int, source: random.Random) -> list[Edit]:
    """A letter is another one of its kind, or left out; or before it stands one, as often as that is left out."""
    letters = next(letters for letters in _LETTERS if letter in letters)
    at = letters.index(letter)
    if source.randrange(_NEAR):
        near = [letters[(at + step) % len(letters)] for step in _around(source, _NEAR - 1)]
        return [functools.partial(_cut, place, 1, other) for other in [*near, ""]]
    at = source.randrange(len(letters))
    near = [letters[(at + step) % len(letters)] for step in range(_NEAR - 1)]
    return [functools.partial(_cut, place, 0, other) for other in ["", *near]]


def _around(source: random.Random, count: int = _NEAR) -> list[int]:
    """Steps from a value, 0 first: the value is anywhere among those that they lead to."""
    below = source.randrange(count)
    return sorted(range(-below, count - below), key=bool)


def _same(value: Any) -> Any:
    return value


def _cut(place: int, length: int, instead: Any, value: Any) -> Any:
    return value[:place] + instead + value[place + length :]


def _plus(step: float, value: Any) -> Any:
    """A sum that has no more digits than the value, for these would tell which is which."""
    total = value + step
    if isinstance(value, int) or "e" in repr(value):
        return total
    return round(total, len(repr(value).partition(".")[2]))


def _of_bytes(edit: Edit, value: bytes) -> bytes:
    changed_text: str = edit(value.decode("latin-1"))
    return changed_text.encode("latin-1")
