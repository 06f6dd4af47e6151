"""Steady statements: those of a test that are carried out as often as its source says, whatever the code does.

The number of questions that a test asks there is the same for every right fix.
"""

from __future__ import annotations

import ast

from swegym.grading.bindings import Function, is_pure


def steady_ids(function: Function, pure: frozenset[str]) -> frozenset[int]:
    """The ids of the expressions in such statements: in no loop or branch that the code decides, no inner function."""
    found: set[int] = set()
    waiting: list[ast.stmt] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.With) or _is_gone_through(node, pure):
            waiting += node.body  # type: ignore[attr-defined]
        elif isinstance(node, ast.Assert | ast.Expr):
            found |= ids(node)
    return frozenset(found)


def ids(node: ast.AST) -> set[int]:
    """Of the expressions in a node; other parts, such as contexts, are one object for many."""
    return {id(inner) for inner in ast.walk(node) if isinstance(inner, ast.expr)}


def _is_gone_through(node: ast.stmt, pure: frozenset[str]) -> bool:
    left = any(isinstance(inner, ast.Break | ast.Continue | ast.Return) for inner in ast.walk(node))
    return isinstance(node, ast.For) and _has_length(node.iter, pure) and not left


def _has_length(node: ast.expr, pure: frozenset[str]) -> bool:
    """Whether the test says how many members there are, whatever they are."""
    if isinstance(node, ast.List | ast.Tuple):
        return not any(isinstance(inner, ast.Starred) for inner in node.elts)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("enumerate", "zip"):
        return all(_has_length(inner, pure) for inner in node.args)
    return is_pure(node, pure)
