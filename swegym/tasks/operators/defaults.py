"""Defaults that are not what they should be."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from swegym.tasks.operators.edits import Edit, Scope, SourceText


def wrong_default(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """The default of a parameter becomes that of the next one that has another; a text that is alone becomes empty."""
    if not isinstance(node, ast.expr):
        return
    own = next((name for name, default in scope.defaults.items() if default is node), None)
    if own is None:
        return
    names = list(scope.defaults)
    place = names.index(own)
    texts = [source.text(scope.defaults[name]) for name in names[place + 1 :] + names[:place]]
    other = next((text for text in texts if text != source.text(node)), None)
    if other is not None:
        yield source.replace(node, other)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield source.replace(node, b'""')


def mutable_default(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """A default of None, for which the function makes a new list or dict, becomes one list or dict for all calls."""
    own = next((name for name, default in scope.defaults.items() if default is node), None)
    if own is None or not isinstance(node, ast.Constant) or node.value is not None:
        return
    for statement in scope.function.body:
        if isinstance(statement, ast.If) and source.text(statement.test) == f"{own} is None".encode():
            made = statement.body[0]
            if isinstance(made, ast.Assign) and source.text(made.targets[0]) == own.encode() and _is_empty(made.value):
                yield source.replace(node, source.text(made.value))


def _is_empty(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("list", "dict", "set") and not node.args
    return (isinstance(node, ast.List) and not node.elts) or (isinstance(node, ast.Dict) and not node.keys)
