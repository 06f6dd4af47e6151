"""Branches that are missing, and returns."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from swegym.tasks.operators.edits import Edit, Scope, SourceText


def removed_branch(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """A `return`, `raise`, `continue` or `break` that is all an `if` does becomes `pass`."""
    if isinstance(node, ast.If) and len(node.body) == 1:
        (only,) = node.body
        if isinstance(only, ast.Return | ast.Raise | ast.Continue | ast.Break):
            yield source.replace(only, b"pass")


def dropped_else(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """What stands under `else:` becomes `pass`."""
    if isinstance(node, ast.If) and node.orelse and source.text(node.orelse[0])[:4] != b"elif":
        yield Edit(source.start(node.orelse[0]), source.end(node.orelse[-1]), b"pass")


def dropped_branch(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """What stands under an `if` becomes `pass`, where it is more than a jump."""
    if isinstance(node, ast.If) and not (
        len(node.body) == 1 and isinstance(node.body[0], ast.Return | ast.Raise | ast.Continue | ast.Break | ast.Pass)
    ):
        yield Edit(source.start(node.body[0]), source.end(node.body[-1]), b"pass")


def loop_exit(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`continue` becomes `break`, and the other way round."""
    if isinstance(node, ast.Continue):
        yield source.replace(node, b"break")
    elif isinstance(node, ast.Break):
        yield source.replace(node, b"continue")


def missing_return(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`return x` becomes `x`."""
    if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        start = source.start(node)
        end = start + len(b"return")
        while source.data[end : end + 1] in (b" ", b"\t"):
            end += 1
        yield Edit(start, end, b"")
