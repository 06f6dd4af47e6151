"""Sequences that begin or end one too early or too late."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from swegym.tasks.operators.edits import Edit, Scope, SourceText, atomic


def slice_bound(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`x[a:b]` becomes `x[:b]`, then `x[a:]`; a bound that is no literal also moves by one."""
    if not isinstance(node, ast.Slice):
        return
    for bound, sign in ((node.lower, b" + 1"), (node.upper, b" - 1")):
        if bound is None:
            continue
        yield source.replace(bound, b"")
        if isinstance(bound, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            yield source.replace(bound, source.text(bound) + sign)


def index_end(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`x[0]` becomes `x[-1]`, and the other way round."""
    if isinstance(node, ast.Subscript) and source.text(node.slice) in (b"0", b"-1"):
        yield source.replace(node.slice, b"-1" if source.text(node.slice) == b"0" else b"0")


def range_bound(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`range(n)` becomes `range(1, n)`, then `range(n - 1)`; the same with a start."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != "range":
        return
    if any(isinstance(given, ast.Starred) for given in node.args) or not node.args:
        return
    if len(node.args) == 1:
        (stop,) = node.args
        yield Edit(source.start(stop), source.start(stop), b"1, ")
    else:
        start, stop = node.args[:2]
        yield source.replace(start, atomic(start, source) + b" + 1")
    yield source.replace(stop, atomic(stop, source) + b" - 1")
