"""Calls with wrong arguments, of the wrong function, or not made at all."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from swegym.tasks.operators.edits import Edit, Scope, SourceText, atomic


def swapped_arguments(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`f(a, b)` becomes `f(b, a)`, for each two neighbouring positional arguments."""
    if not isinstance(node, ast.Call):
        return
    for left, right in itertools.pairwise(node.args):
        if isinstance(left, ast.Starred | ast.GeneratorExp) or isinstance(right, ast.Starred | ast.GeneratorExp):
            continue
        first, second = source.text(left), source.text(right)
        if first != second:
            middle = source.data[source.end(left) : source.start(right)]
            yield Edit(source.start(left), source.end(right), second + middle + first)


def dropped_keyword(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`f(a, key=b)` becomes `f(a)`."""
    if not isinstance(node, ast.Call):
        return
    given: list[ast.expr | ast.keyword] = sorted([*node.args, *node.keywords], key=source.start)
    for before, argument in itertools.pairwise(given):
        if isinstance(argument, ast.keyword) and argument.arg is not None and b"#" not in source.text(argument):
            yield Edit(source.end(before), source.end(argument), b"")


def removed_call(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """A call whose result nobody uses becomes `pass`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield source.replace(node, b"pass")


_METHODS = {
    "strip": ("lstrip", "rstrip"),
    "lstrip": ("rstrip",),
    "rstrip": ("lstrip",),
    "find": ("rfind",),
    "rfind": ("find",),
    "index": ("rindex",),
    "rindex": ("index",),
    "split": ("rsplit",),
    "rsplit": ("split",),
    "partition": ("rpartition",),
    "rpartition": ("partition",),
    "startswith": ("endswith",),
    "endswith": ("startswith",),
    "ljust": ("rjust",),
    "rjust": ("ljust",),
    "upper": ("lower",),
    "lower": ("upper",),
    "append": ("extend",),
    "match": ("search",),
    "search": ("match",),
}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}


def method_name(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """A method is taken for its sibling: `lstrip` for `rstrip`, `find` for `rfind`, `startswith` for `endswith`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        end = source.end(node.func)
        for other in _METHODS.get(name, ()):
            yield Edit(end - len(name), end, other.encode())


def function_name(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`min` is taken for `max`, `any` for `all`, and the other way round."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        yield source.replace(node.func, _FUNCTIONS[node.func.id].encode())


_FALLBACKS = {"get": 2, "pop": 2, "setdefault": 2, "getattr": 3, "next": 2}


def dropped_fallback(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`d.get(key, default)` becomes `d.get(key)`; so for `pop`, `setdefault`, `getattr` and `next`."""
    if isinstance(node, ast.Call) and not node.keywords:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        plain = not any(isinstance(given, ast.Starred) for given in node.args)
        if plain and len(node.args) == _FALLBACKS.get(name):
            yield Edit(source.end(node.args[-2]), source.end(node.args[-1]), b"")


_CONVERSIONS = frozenset(
    {"list", "tuple", "set", "dict", "sorted", "reversed", "str", "int", "float", "bool", "abs", "len", "repr"}
)


def dropped_conversion(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`list(x)` becomes `x`, `abs(x)` too, and `x.copy()`."""
    if not isinstance(node, ast.Call) or node.keywords:
        return
    if isinstance(node.func, ast.Name) and node.func.id in _CONVERSIONS and len(node.args) == 1:
        (given,) = node.args
        if not isinstance(given, ast.Starred):
            yield source.replace(node, atomic(given, source))
    elif isinstance(node.func, ast.Attribute) and node.func.attr == "copy" and not node.args:
        yield source.replace(node, source.text(node.func.value))
