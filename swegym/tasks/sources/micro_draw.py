"""Drawing a micro repository: forms with their holes filled, put into modules, and the calls they will be asked.

Everything comes from one generator of random numbers, and of that only from `random()`, which gives the same on every
version of Python.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any, TypeVar

from swegym.tasks.micro_options import MicroOptions
from swegym.tasks.sources.micro_forms import FORMS, LETTERS, LISTS, MODULES, NUMBERS, SEPARATORS, TEXTS, WORDS, Form

CANDIDATES = 14  # calls that are tried of each function
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Function:
    """A form with its holes filled."""

    name: str
    form: Form | None  # None: it hands on what another function gives
    text: str
    calls: tuple[str, ...]  # distinct, in the order they were drawn


@dataclass(slots=True)
class Module:
    name: str
    imports: tuple[str, ...]
    functions: list[Function]

    @property
    def path(self) -> str:
        return f"{self.name}.py"

    @property
    def text(self) -> str:
        head = "".join(f"{line}\n" for line in self.imports) + ("\n\n" if self.imports else "")
        return head + "\n\n".join(function.text for function in self.functions)


def repository(draw: random.Random, options: MicroOptions) -> list[Module]:
    count = between(draw, *options.modules)
    names = shuffled(draw, MODULES)[:count]
    forms = iter(shuffled(draw, FORMS))
    taken: set[str] = set()
    return [
        Module(name, (), [_filled(draw, next(forms), taken) for _ in range(between(draw, *options.functions))])
        for name in names
    ]


def _filled(draw: random.Random, form: Form, taken: set[str]) -> Function:
    name = pick(draw, [name for name in form.names if name not in taken] or form.names)
    taken.add(name)
    low = between(draw, 2, 6)
    high = low + between(draw, 2, 6)
    numbers = shuffled(draw, NUMBERS)
    texts = shuffled(draw, TEXTS)
    holes = {
        "f": name,
        "a": numbers[0],
        "b": numbers[1],
        "v": pick(draw, LISTS),
        "t": texts[0],
        "u": texts[1],
        "w": pick(draw, WORDS),
        "s": pick(draw, SEPARATORS),
        "k": str(low),
        "m": str(high),
    }
    calls: dict[str, None] = {}
    for _ in range(3 * CANDIDATES):
        given = ", ".join(repr(value) for value in _arguments(draw, form, low, high))
        call = f"{name}({given})"
        if form.twice:
            again = ", ".join(repr(value) for value in _arguments(draw, form, low, high))
            call = f"{name}({given}) + {name}({again})"
        calls[call] = None
    return Function(name, form, Template(form.text).substitute(holes), tuple(calls)[:CANDIDATES])


def _arguments(draw: random.Random, form: Form, low: int, high: int) -> list[Any]:
    """Values for one call, many of them where the form's numbers make a difference."""
    edges = (0, low - 1, low, low + 1, high - 1, high, high + 1)

    def number() -> int:
        return pick(draw, edges) if draw.random() < 0.6 else between(draw, -4, 20)

    def text() -> str:
        word = "".join(pick(draw, LETTERS) for _ in range(between(draw, 2, 9)))
        return pick(draw, (word, word, word.capitalize()))

    given: list[Any] = []
    for kind in form.takes:
        if kind == "a":
            given.append(number())
        elif kind == "v":
            given.append([number() for _ in range(between(draw, int(form.nonempty), 5))])
        elif kind == "w":
            given.append([text() for _ in range(between(draw, 0, 4))])
        elif given and draw.random() < 0.5:  # a second text that begins like the first
            given.append(given[-1][:2] + text())
        else:
            given.append(pick(draw, ("", "", "", " ")) + text())
    return given


def wrap(draw: random.Random, function: Function, module: Module, other: Module) -> tuple[Module, Function]:
    """Another module that imports the function and hands on what it gives; the bug shows there and lies elsewhere."""
    number = between(draw, 2, 9)
    tree = ast.parse(function.text).body[0]
    assert isinstance(tree, ast.FunctionDef)
    parameters = [one.arg for one in tree.args.args[: len(tree.args.args) - len(tree.args.defaults)]]
    name = f"{pick(draw, ('show', 'list', 'pair', 'note'))}_{function.name}"
    given = ", ".join(parameters)
    text = (
        f'def {name}({given}):\n    """A pair: {function.name} of {given}, and {number}."""\n'
        f"    return {function.name}({given}), {number}\n"
    )
    calls = tuple(call.replace(f"{function.name}(", f"{name}(") for call in function.calls)
    handing = Function(name, None, text, calls)
    place = between(draw, 0, len(other.functions))
    functions = [*other.functions[:place], handing, *other.functions[place:]]
    return Module(other.name, (f"from {module.name} import {function.name}",), functions), handing


# --- chance ----------------------------------------------------------------------------------------------------------


def between(draw: random.Random, low: int, high: int) -> int:
    """A whole number from `low` up to and with `high`."""
    return low + int(draw.random() * (high - low + 1))


def pick(draw: random.Random, items: Sequence[Item]) -> Item:
    return items[int(draw.random() * len(items))]


def shuffled(draw: random.Random, items: Sequence[Item]) -> list[Item]:
    order = list(items)
    for place in range(len(order) - 1, 0, -1):
        other = int(draw.random() * (place + 1))
        order[place], order[other] = order[other], order[place]
    return order


def weighted(draw: random.Random, weights: Mapping[Item, float]) -> Item:
    rest = draw.random() * sum(weights.values())
    for name, weight in weights.items():
        rest -= weight
        if rest < 0:
            return name
    return [name for name, weight in weights.items() if weight > 0][-1]
