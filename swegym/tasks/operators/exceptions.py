"""Exceptions of the wrong kind, or lost."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from swegym.tasks.operators.edits import Edit, Scope, SourceText

_OTHER = {
    "ValueError": "TypeError",
    "TypeError": "ValueError",
    "KeyError": "IndexError",
    "IndexError": "KeyError",
    "LookupError": "ValueError",
    "AttributeError": "TypeError",
    "NotImplementedError": "ValueError",
    "RuntimeError": "ValueError",
    "OverflowError": "ValueError",
    "ZeroDivisionError": "ValueError",
    "StopIteration": "ValueError",
    "OSError": "ValueError",
}


def wrong_exception(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`raise ValueError` becomes `raise TypeError`, `except KeyError` becomes `except IndexError`, and so on."""
    named: ast.expr | None = None
    if isinstance(node, ast.Raise):
        named = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    elif isinstance(node, ast.ExceptHandler):
        named = node.type
    if isinstance(named, ast.Name) and named.id in _OTHER:
        yield source.replace(named, _OTHER[named.id].encode())


def narrowed_except(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`except (A, B)` becomes `except A`, then `except B`."""
    if isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Tuple) and len(node.type.elts) > 1:
        for kind in node.type.elts:
            yield source.replace(node.type, source.text(kind))


def swallowed_error(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """A `raise` that is all an `except` does becomes `pass`."""
    if isinstance(node, ast.ExceptHandler) and len(node.body) == 1 and isinstance(node.body[0], ast.Raise):
        yield source.replace(node.body[0], b"pass")
