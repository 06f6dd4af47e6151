"""Helpers that only compare: a test that calls one is read as if it compared for itself, so that it can be asked.

Such a helper takes two arguments and asserts that they are equal; it may print besides. Others stay calls.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from swegym.grading import hidden_imports
from swegym.grading.bindings import Function


def write_out(
    tree: ast.Module, path: str, files: Mapping[str, bytes], folders: tuple[str, ...], tests: Iterable[Function]
) -> None:
    """Have tests of a hidden file compare where they call such a helper, in place."""
    helpers = _helpers(tree, path, files, folders)
    if not helpers:
        return
    for test in tests:
        bound = {node.id for node in ast.walk(test) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        bound |= {node.arg for node in ast.walk(test) if isinstance(node, ast.arg)}
        _WriteOut({name: sides for name, sides in helpers.items() if name not in bound}).visit(test)


class _WriteOut(ast.NodeTransformer):
    def __init__(self, helpers: Mapping[str, tuple[str, str, tuple[str, ...]]]) -> None:
        self._helpers = helpers

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        call = node.value
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in self._helpers):
            return node
        left, right, names = self._helpers[call.func.id]
        given = dict(zip(names, call.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg in names}
        if len(call.args) + len(call.keywords) != 2 or len(given) != 2 or any(_starred(part) for part in call.args):
            return node
        return ast.copy_location(ast.Assert(ast.Compare(given[left], [ast.Eq()], [given[right]]), None), node)


def _starred(node: ast.expr) -> bool:
    return isinstance(node, ast.Starred)


def _helpers(
    tree: ast.Module, path: str, files: Mapping[str, bytes], folders: tuple[str, ...]
) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Name in the file -> the sides that a helper compares, by parameter, and its parameters in order."""
    found = _comparing(tree)
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        place = hidden_imports.file_of(node.module, node.level, path, files, folders)
        if place is None:
            continue
        try:
            there = _comparing(ast.parse(files[place]))
        except (SyntaxError, ValueError):
            continue
        called = {alias.asname or alias.name: alias.name for alias in node.names}
        found |= {name: there[inner] for name, inner in called.items() if inner in there}
    return found


def _comparing(tree: ast.Module) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    found: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    for function in functions:
        names = tuple(argument.arg for argument in function.args.args)
        others = (function.args.posonlyargs, function.args.kwonlyargs, function.args.vararg, function.args.kwarg)
        body = [node for node in function.body if not _says_only(node)]
        if len(names) != 2 or any(others) or function.args.defaults or function.decorator_list or len(body) != 1:
            continue
        test = body[0].test if isinstance(body[0], ast.Assert) else None
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
            sides = [side.id for side in (test.left, test.comparators[0]) if isinstance(side, ast.Name)]
            if sorted(sides) == sorted(names) and [f.name for f in functions].count(function.name) == 1:
                found[function.name] = (sides[0], sides[1], names)
    return found


def _says_only(node: ast.stmt) -> bool:
    """A docstring, or a call of print."""
    if not isinstance(node, ast.Expr):
        return False
    call = node.value
    prints = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"
    return prints or isinstance(call, ast.Constant)
