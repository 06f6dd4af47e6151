"""What a repair template sees: a region's tree, the names an edit may refer to, and places to put new text."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from swegym.policies.splice import Snippet


@dataclass(frozen=True, slots=True)
class Scope:
    """What an edit may refer to: names in the region, attributes used in it, and names of its file."""

    snippet: Snippet
    variables: tuple[str, ...]  # parameters and assigned names, in order of appearance
    attributes: tuple[str, ...]
    strings: tuple[str, ...]
    loops: frozenset[ast.AST]  # statements inside a loop of the region

    def text(self, node: ast.AST) -> str:
        return self.snippet.source(node)

    def closed(self, node: ast.expr) -> str:
        """The text of an expression, in parentheses unless it is an atom."""
        text = self.text(node)
        return text if isinstance(node, ATOMS) else f"({text})"


Change = tuple[ast.AST, str]  # the node to replace, and by what
Template = Callable[[ast.AST, Scope], Iterator[Change]]
ATOMS = (
    ast.Name | ast.Constant | ast.Call | ast.Attribute | ast.Subscript | ast.List | ast.Dict | ast.Set | ast.ListComp
)


def scope_of(snippet: Snippet) -> Scope:
    variables: dict[str, None] = {}
    attributes: dict[str, None] = {}
    strings: dict[str, None] = {}
    loops: set[ast.AST] = set()
    for node in ast.walk(snippet.tree):
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)):
            variables[node.arg if isinstance(node, ast.arg) else node.id] = None
        elif isinstance(node, ast.Attribute):
            attributes[node.attr] = None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) <= 12:
            strings[repr(node.value)] = None
        elif isinstance(node, ast.For | ast.While | ast.AsyncFor):
            loops.update(inner for part in node.body for inner in ast.walk(part))
    return Scope(snippet, tuple(variables), tuple(attributes), tuple(strings), frozenset(loops))


class Before(ast.AST):
    """The place in front of a statement."""

    def __init__(self, statement: ast.stmt) -> None:
        super().__init__()
        self.statement = statement


class Both(ast.AST):
    """Two neighbouring statements as one place."""

    def __init__(self, first: ast.stmt, second: ast.stmt) -> None:
        super().__init__()
        self.lineno, self.col_offset = first.lineno, first.col_offset
        self.end_lineno, self.end_col_offset = second.end_lineno, second.end_col_offset
