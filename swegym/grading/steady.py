"""Steady statements: those of a test that are carried out as often as its source says, whatever the code does.

The number of questions that a test asks there is the same for every right fix.
"""

from __future__ import annotations

import ast

from swegym.grading.bindings import Function, is_pure


def steady_nodes(function: Function, pure: frozenset[str]) -> frozenset[int]:
    """The ids of all nodes of such statements: in no loop or branch that the code decides, and no inner function."""
    found: set[int] = set()
    waiting: list[ast.stmt] = list(function.body)
    while waiting:
        node = waiting.pop()
        if (isinstance(node, ast.For) and is_pure(node.iter, pure) and not _is_left(node)) or isinstance(
            node, ast.With
        ):
            waiting += node.body
        elif isinstance(node, ast.Assert | ast.Expr):
            found.update(map(id, ast.walk(node)))
    return frozenset(found)


def _is_left(loop: ast.For) -> bool:
    return any(isinstance(node, ast.Break | ast.Continue | ast.Return) for node in ast.walk(loop))
