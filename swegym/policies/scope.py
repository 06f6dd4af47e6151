"""What a repair template sees: a region's tree, the names an edit may refer to, and places to put new text."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from swegym.policies.splice import Snippet


@dataclass(frozen=True, slots=True)
class Scope:
    """What an edit may refer to: names in the region, attributes used in it, and names of its file."""

    snippet: Snippet
    variables: Mapping[str, list[int]]  # parameters and assigned names, and the lines on which each stands
    attributes: tuple[str, ...]
    strings: tuple[str, ...]
    loops: frozenset[ast.AST]  # statements inside a loop of the region

    def text(self, node: ast.AST) -> str:
        return self.snippet.source(node)

    def near(self, node: ast.AST, most: int = 12) -> list[str]:
        """The variables that stand nearest to a node."""
        line: int = node.lineno  # type: ignore[attr-defined]
        return sorted(self.variables, key=lambda name: min(abs(line - at) for at in self.variables[name]))[:most]

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
    lines: dict[str, list[int]] = {}
    variables: set[str] = set()
    attributes: dict[str, None] = {}
    strings: dict[str, None] = {}
    loops: set[ast.AST] = set()
    for node in ast.walk(snippet.tree):
        if isinstance(node, ast.arg | ast.Name):
            name = node.arg if isinstance(node, ast.arg) else node.id
            lines.setdefault(name, []).append(node.lineno)
            if isinstance(node, ast.arg) or isinstance(node.ctx, ast.Store):
                variables.add(name)
        elif isinstance(node, ast.Attribute):
            attributes[node.attr] = None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) <= 12:
            strings[repr(node.value)] = None
        elif isinstance(node, ast.For | ast.While | ast.AsyncFor):
            loops.update(inner for part in node.body for inner in ast.walk(part))
    return Scope(
        snippet,
        {name: at for name, at in lines.items() if name in variables},
        tuple(attributes),
        tuple(strings),
        frozenset(loops),
    )


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
