"""Exact source edits: a region of a file, its syntax tree, and replacements that leave every other byte alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """Whole lines of one file that parse on their own, as a rule one function."""

    path: str
    first: int  # number of the first line in its file, from 1
    text: str
    name: str = ""
    names: tuple[str, ...] = ()  # what the file defines or imports at its top level


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines `first` to `last` of a file become `new`; both texts are whole lines."""

    path: str
    first: int
    last: int
    old: str
    new: str
    template: str
    prior: float

    @property
    def description(self) -> str:
        return f"{self.path}:{self.first} {self.template}"


class Snippet:
    """A region with its tree; positions are byte offsets, as the parser counts.

    Raises SyntaxError for a region that does not parse on its own.
    """

    def __init__(self, region: Region) -> None:
        self.region = region
        indented = region.text[:1] in (" ", "\t")
        # An indented region parses as the body of a statement in front of it, with all columns as they are.
        self.head = 1 if indented else 0
        self.data = (("if 1:\n" if indented else "") + region.text).encode()
        self.tree = ast.parse(self.data)
        self._dump = ast.dump(self.tree)
        self._starts = [0]
        for line in self.data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def span(self, node: ast.AST) -> tuple[int, int]:
        start = self._starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self._starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return start, end

    def source(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.data[start:end].decode()

    def indentation(self, statement: ast.stmt) -> str:
        """What stands before a statement on its line; not blank where the statement shares the line."""
        start, _ = self.span(statement)
        return self.data[self._starts[statement.lineno - 1] : start].decode()

    def nodes(self) -> Iterator[ast.AST]:
        """Every node with a place of its own, in order of appearance; not the insides of f-strings and annotations."""
        # Before Python 3.12 nodes inside an f-string carry wrong positions.
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.JoinedStr):
                continue
            if isinstance(node, ast.expr | ast.stmt | ast.excepthandler | ast.keyword) and node.lineno > self.head:
                yield node
            skipped = {getattr(node, "returns", None), getattr(node, "annotation", None)}
            waiting += [child for child in reversed(list(ast.iter_child_nodes(node))) if child not in skipped]

    def edit(self, start: int, end: int, text: str, template: str, prior: float) -> Edit:
        """The edit that puts `text` in place of bytes start to end. Whether the result parses is for `changes`."""
        data = self.data[:start] + text.encode() + self.data[end:]
        first, last = self._line(start), self._line(max(end - 1, start))
        head, tail = self._starts[first - 1], self._starts[last]
        old = self.data[head:tail]
        new = data[head : tail + len(data) - len(self.data)]
        offset = self.region.first - 1 - self.head
        return Edit(self.region.path, first + offset, last + offset, old.decode(), new.decode(), template, prior)

    def changes(self, edit: Edit) -> bool:
        """Whether the edited region still parses and means something else than before."""
        offset = self.region.first - 1 - self.head
        head, tail = self._starts[edit.first - offset - 1], self._starts[edit.last - offset]
        try:
            tree = ast.parse(self.data[:head] + edit.new.encode() + self.data[tail:])
        except (SyntaxError, ValueError, RecursionError):
            return False
        return ast.dump(tree) != self._dump

    def _line(self, offset: int) -> int:
        """The line (from 1) that a byte stands on."""
        low, high = 0, len(self._starts) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._starts[middle] <= offset else (low, middle)
        return low + 1
