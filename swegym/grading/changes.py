"""Changes of one literal: what the twins of a test expect instead of it.

Whoever writes a test chooses round numbers and words of his program, so a changed one would show which copy is the
test. So a round number becomes another one as round, and a word another word of the file: numbers by their last digit
that counts, words among the five of their lot, in a circle, so that each of those shown might be the one that was
changed. Such literals have finer changes besides (from `FINE` on), of the right one and of the others alike: by one, or
by a letter, for equalities that overlook as much. All others are changed by a digit or a letter at once.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import math
import re
from collections.abc import Collection, Sequence

STEPS = 6
OFFSETS = (1, -1, 2, -2, 3, -3)  # from the true digit, letter or word, by step
FINE = 10  # a finer change of the literal itself; FINE + step of the one that this step makes
ALIKE = 4  # steps of a literal that has finer ones
_LOT = 5  # words
_WORD = re.compile("[A-Za-z]{3,}")
_MOST_WORDS = 2_000
_FINE = 0.01  # of the first digit of a number
_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

Words = Sequence[str]


def vocabulary(tree: ast.Module) -> Words:
    """The words in the texts of a file, in an order of no meaning."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    words = sorted({word for text in texts for word in _WORD.findall(text)})
    return sorted(words[:_MOST_WORDS], key=lambda word: hashlib.sha256(word.encode()).digest())


def words_of(tree: ast.Module) -> Words:
    """The vocabulary that a tree was given when it was parsed: tests that have left it since count, too."""
    words: Words = getattr(tree, "words", ())
    return words


def steps_for(literals: Collection[ast.expr], words: Words) -> list[int]:
    """The steps by which each of some literals can be changed."""

    def can(step: int) -> bool:
        return bool(literals) and all(changed(literal, step, words) is not None for literal in literals)

    alike = [*range(1, ALIKE + 1), *range(FINE, FINE + ALIKE + 1)]
    return alike if all(map(can, alike)) else [step for step in range(1, STEPS + 1) if can(step)]


def changed(node: ast.expr, step: int, words: Words = ()) -> ast.expr | None:
    """The expression with its first literal that can be changed, changed; None when it holds none."""
    other = copy.deepcopy(node)
    if isinstance(other, ast.Constant):
        return _constant(other, step, words)
    for parent in ast.walk(other):
        for name, child in ast.iter_fields(parent):
            if name in ("func", "ctx", "op", "keys", "format_spec", "conversion"):
                continue
            for index, item in enumerate(child if isinstance(child, list) else [child]):
                if isinstance(item, ast.Constant) and _constant(item, 1, words) is not None:
                    new = _constant(item, step, words)
                    if isinstance(child, list):
                        child[index] = new
                    else:
                        setattr(parent, name, new)
                    return other if new is not None else None
    if isinstance(other, ast.List | ast.Tuple) and not other.elts:
        other.elts = [_constant(ast.Constant(0), step, words) or ast.Constant(0)]
        return other if step <= STEPS else None
    if isinstance(other, ast.Dict) and not other.keys:
        other.keys, other.values = [ast.Constant(step)], [ast.Constant(0)]
        return other if step <= STEPS else None
    return None


def _constant(node: ast.Constant, step: int, words: Words) -> ast.Constant | None:
    value = node.value
    if isinstance(value, str | bytes):
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        new = _text(text, step, words)
        return None if new is None else ast.Constant(new.encode("latin-1") if isinstance(value, bytes) else new)
    if isinstance(value, int) and not isinstance(value, bool):
        number = _integer(value, step)
        return None if number is None else ast.Constant(number)
    if step > STEPS:
        return None
    if value is None:
        others: list[bool | int | str | bytes] = [True, 0, "", False, b"", 1]
        return ast.Constant(others[step - 1])
    if isinstance(value, bool):
        return ast.Constant(not value) if step == 1 else None
    if isinstance(value, float):
        size, digits = fine_step(value)
        return ast.Constant(round(value + OFFSETS[step - 1] * size, digits)) if size else ast.Constant(value + step)
    return None


def _integer(value: int, step: int) -> int | None:
    """The number with another last digit that counts. A finer change is one by one, where zeros follow that digit."""
    if step >= FINE:
        near = value if step == FINE else _integer(value, step - FINE)
        return near + 1 if value and value % 10 == 0 and near is not None else None
    text = str(abs(value)).rstrip("0") or "0"
    zeros = len(str(abs(value))) - len(text) if value else 0
    offset, digit = OFFSETS[step - 1], int(text[-1])
    other = (digit + offset) % 10 if abs(value) < 10 else (digit - 1 + offset) % 9 + 1
    number = int(text[:-1] + str(other) + zeros * "0")
    return -number if value < 0 else number


def fine_step(value: float) -> tuple[float, int]:
    """A hundredth of the first digit, or the last one that is written, if that is more; and how many follow the dot.

    A whole number away is no question to an equality with some tolerance. 0 for a number that has no such digits.
    """
    whole, _, digits = repr(value).partition(".")
    if not value or not (whole.lstrip("-") + digits).isdigit():
        return 0, 0
    return max(_FINE * 10 ** math.floor(math.log10(abs(value))), 10 ** -len(digits)), len(digits)


def _text(text: str, step: int, words: Words) -> str | None:
    found = list(_WORD.finditer(text))
    there = {word[0] for word in found}
    others = [[other for other in words if other == word[0] or other not in there] for word in found]
    lots = [(word, lot) for word, other in zip(found, others, strict=True) if (lot := _lot(word[0], other))]
    if not lots:
        return None if step >= FINE else _lettered(text, step)
    if step >= FINE:
        near = text if step == FINE else _text(text, step - FINE, words)
        return None if near is None else _lettered(near, 1)
    word, lot = lots[len(text) % len(lots)]
    other = lot[(lot.index(word[0]) + OFFSETS[step - 1]) % len(lot)]
    return text[: word.start()] + other + text[word.end() :]


def _lot(word: str, words: Words) -> Words:
    """The words that one is exchanged for, itself among them; none where there are too few of its look."""
    alike = [other for other in words if _look(other) == _look(word)]
    if word not in alike or len(alike) < _LOT:
        return ()
    at = min(alike.index(word) // _LOT, len(alike) // _LOT - 1) * _LOT
    return alike[at:] if at + 2 * _LOT > len(alike) else alike[at : at + _LOT]


def _look(word: str) -> tuple[bool, bool]:
    return word[0].isupper(), word[1:].islower()


def _lettered(text: str, step: int) -> str | None:
    """The text with one letter or digit replaced by another of its kind."""
    if not text:
        return _LETTERS[step]
    found = places(text)
    if not found:
        return None if not text.isascii() else text + " \t.,;:"[step - 1]
    place = found[len(text) % len(found)]
    character = text[place]
    alphabet = _DIGITS if character.isdigit() else _LETTERS if character.islower() else _LETTERS.upper()
    other = alphabet[(alphabet.index(character) + OFFSETS[step - 1]) % len(alphabet)]
    return text[:place] + other + text[place + 1 :]


def places(text: str) -> list[int]:
    """Where a text can be changed without becoming longer."""
    return [place for place, character in enumerate(text) if character.isascii() and character.isalnum()]
