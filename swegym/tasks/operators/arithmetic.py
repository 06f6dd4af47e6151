"""Arithmetic with the wrong operator."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from swegym.tasks.operators.edits import Edit, Scope, SourceText

_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "//"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}


def arithmetic_operator(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`+` becomes `-`, `*` becomes `//` and so on; operations on literal text are left alone."""
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        if _is_text(node.left) or _is_text(node.right):
            return
        old, new = _ARITHMETIC[type(node.op)]
        yield Edit(*source.between(node.left, node.right, old), new.encode())


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def augmented_assignment(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`x += y` becomes `x -= y`, then `x = y`."""
    if isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        old, new = _ARITHMETIC[type(node.op)]
        start, end = source.between(node.target, node.value, old + "=")
        if not _is_text(node.value):
            yield Edit(start, end, new.encode() + b"=")
        yield Edit(start, end, b"=")


def rounded_division(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`a / b` becomes `a // b`."""
    if (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and not (_is_text(node.left) or _is_text(node.right))
    ):
        yield Edit(*source.between(node.left, node.right, "/"), b"//")
