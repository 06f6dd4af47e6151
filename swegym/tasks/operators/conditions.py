"""Conditions that hold when they should not."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from swegym.tasks.operators.edits import Edit, Scope, SourceText

_BOUNDARIES = {ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">")}
_NEGATIONS = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}


def comparison_boundary(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`<` becomes `<=`, `>` becomes `>=`, and the other way round."""
    yield from _comparisons(node, source, _BOUNDARIES)


def comparison_negated(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`==` becomes `!=`, `is` becomes `is not`, `in` becomes `not in`, and the other way round."""
    yield from _comparisons(node, source, _NEGATIONS)


def _comparisons(node: ast.AST, source: SourceText, swaps: dict[type[ast.cmpop], tuple[str, str]]) -> Iterator[Edit]:
    if isinstance(node, ast.Compare):
        for left, sign, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            if type(sign) in swaps:
                old, new = swaps[type(sign)]
                yield Edit(*source.between(left, right, old), new.encode())


def inverted_condition(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`if test` becomes `if not (test)`; the same for `while`, conditional expressions and comprehensions."""
    tests: list[ast.expr] = []
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        tests = [node.test]
    elif isinstance(node, ast.comprehension):
        tests = node.ifs
    for test in tests:
        if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            yield source.replace(test, b"not " + source.text(test))
        elif isinstance(test, ast.BoolOp):
            yield source.replace(test, b"not (" + source.text(test) + b")")


def dropped_not(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`not x` becomes `x`."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        start = source.start(node)
        _, end = source.token(start, source.start(node.operand), "not")
        while source.data[end : end + 1] in (b" ", b"\t"):
            end += 1
        yield Edit(start, end, b"")


def boolean_operator(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """One `and` becomes `or`, or one `or` becomes `and`."""
    if isinstance(node, ast.BoolOp):
        old, new = ("and", b"or") if isinstance(node.op, ast.And) else ("or", b"and")
        for left, right in itertools.pairwise(node.values):
            yield Edit(*source.between(left, right, old), new)


def dropped_condition(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`a and b` becomes `b`, then `a`; the same for `or`."""
    if isinstance(node, ast.BoolOp):
        yield Edit(source.start(node.values[0]), source.start(node.values[1]), b"")
        for left, right in itertools.pairwise(node.values):
            yield Edit(source.end(left), source.end(right), b"")


def swapped_values(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`a if test else b` becomes `b if test else a`."""
    if isinstance(node, ast.IfExp):
        first, second = source.text(node.body), source.text(node.orelse)
        middle = source.data[source.end(node.body) : source.start(node.orelse)]
        if first != second:
            yield Edit(source.start(node.body), source.end(node.orelse), second + middle + first)


def narrowed_type(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`isinstance(x, (A, B))` becomes `isinstance(x, A)`, then `isinstance(x, B)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass"):
        kinds = node.args[1] if len(node.args) == 2 else None
        if isinstance(kinds, ast.Tuple) and len(kinds.elts) > 1:
            for kind in kinds.elts:
                yield source.replace(kinds, source.text(kind))
