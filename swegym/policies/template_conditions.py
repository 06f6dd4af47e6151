"""Repair templates for conditions: comparisons, connectives, negation, branches."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from swegym.policies.scope import ATOMS, Change, Scope

_COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">", ">=", "!="),
    ast.LtE: ("<", ">=", ">", "=="),
    ast.Gt: (">=", "<", "<=", "!="),
    ast.GtE: (">", "<=", "<", "=="),
    ast.Eq: ("!=", "<=", ">=", "in"),
    ast.NotEq: ("==", "<", ">", "not in"),
    ast.Is: ("is not", "=="),
    ast.IsNot: ("is", "!="),
    ast.In: ("not in", "=="),
    ast.NotIn: ("in", "!="),
}


def change_comparison(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = scope.text(node.left), scope.text(node.comparators[0])
        for operator in _COMPARISONS[type(node.ops[0])]:
            yield node, f"{left} {operator} {right}"
    elif isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        for index, old in enumerate(node.ops):
            for operator in _COMPARISONS[type(old)]:
                signs = [operator if at == index else _SIGNS[type(each)] for at, each in enumerate(node.ops)]
                rest = "".join(f" {s} {scope.text(o)}" for s, o in zip(signs, operands[1:], strict=True))
                yield node, scope.text(operands[0]) + rest


_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip


def _conditions(node: ast.AST) -> Iterator[ast.expr]:
    """The tests that a node branches on."""
    if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
        yield node.test
    for part in getattr(node, "generators", ()):
        yield from part.ifs


def negate_condition(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, scope.text(node.operand)
    for test in _conditions(node):
        yield test, f"not {scope.closed(test)}"
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            if not isinstance(value, ast.Compare):
                yield value, f"not {scope.closed(value)}"
    if isinstance(node, ast.Return | ast.Assign) and isinstance(
        node.value, ast.Call | ast.Name | ast.Compare | ast.BoolOp
    ):
        yield node.value, f"not {scope.closed(node.value)}"


def change_connective(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.BoolOp):
        other = "or" if isinstance(node.op, ast.And) else "and"
        yield node, _joined(node, f" {other} ", scope)


def drop_operand(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.BoolOp):
        for dropped in node.values:
            kept = [
                scope.closed(value) if len(node.values) > 2 else scope.text(value)
                for value in node.values
                if value is not dropped
            ]
            yield node, (" and " if isinstance(node.op, ast.And) else " or ").join(kept)
    elif isinstance(node, ast.BinOp):
        yield node, scope.text(node.left)
        yield node, scope.text(node.right)


def _joined(node: ast.BoolOp, connective: str, scope: Scope) -> str:
    return connective.join(
        scope.text(v) if isinstance(v, ast.Compare | ATOMS) else scope.closed(v) for v in node.values
    )


def fix_condition(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """A condition that always, or never, holds."""
    for test in _conditions(node):
        yield test, "True"
        yield test, "False"


def extend_condition(node: ast.AST, scope: Scope) -> Iterator[Change]:
    for test in _conditions(node):
        for name in scope.near(node, 6):
            old = scope.closed(test) if isinstance(test, ast.BoolOp | ast.IfExp | ast.Lambda) else scope.text(test)
            for extra in (name, f"not {name}", f"{name} is None", f"{name} is not None"):
                yield test, f"{old} and {extra}"
                yield test, f"{old} or {extra}"


def swap_branches(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.IfExp):
        yield node, f"{scope.text(node.orelse)} if {scope.text(node.test)} else {scope.text(node.body)}"
        yield node, scope.closed(node.body)
        yield node, scope.closed(node.orelse)
