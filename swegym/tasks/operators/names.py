"""One name taken for another."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from swegym.tasks.operators.edits import Edit, Scope, SourceText, is_own_attribute


def wrong_variable(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """A parameter is taken for the next parameter of the same function."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in scope.parameters:
        place = scope.parameters.index(node.id)
        other = scope.parameters[(place + 1) % len(scope.parameters)]
        if other != node.id:
            yield source.replace(node, other.encode())


def wrong_attribute(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`self.a` becomes `self.b`, the next attribute that the same function reads."""
    if is_own_attribute(node) and node.attr in scope.attributes:
        place = scope.attributes.index(node.attr)
        other = scope.attributes[(place + 1) % len(scope.attributes)]
        if other != node.attr:
            end = source.end(node)
            yield Edit(end - len(node.attr.encode()), end, other.encode())


def swapped_targets(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`a, b = pair` becomes `b, a = pair`; the same for what a loop counts."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        targets = [node.target]
    for target in targets:
        if isinstance(target, ast.Tuple) and len(target.elts) == 2:
            first, second = target.elts
            if isinstance(first, ast.Name) and isinstance(second, ast.Name) and first.id != second.id:
                middle = source.data[source.end(first) : source.start(second)]
                yield Edit(source.start(first), source.end(second), source.text(second) + middle + source.text(first))
