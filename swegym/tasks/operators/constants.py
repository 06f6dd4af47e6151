"""Constants that are a little off."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from swegym.tasks.operators.edits import Edit, Scope, SourceText


def integer_constant(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`n` becomes `n + 1`, then `n - 1`."""
    if isinstance(node, ast.Constant) and type(node.value) is int and source.text(node).isdigit():
        yield source.replace(node, str(node.value + 1).encode())
        if node.value > 0:
            yield source.replace(node, str(node.value - 1).encode())


def boolean_constant(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`True` becomes `False` and the other way round; defaults and keyword arguments too."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield source.replace(node, str(not node.value).encode())


def text_constant(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """A literal text becomes empty; documentation is left alone."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value and not _is_docstring(node, scope):
        yield source.replace(node, b'""')


def _is_docstring(node: ast.Constant, scope: Scope) -> bool:
    first = scope.function.body[0]
    return isinstance(first, ast.Expr) and first.value is node


def dropped_sign(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`-x` becomes `x`."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield Edit(source.start(node), source.start(node) + 1, b"")
