"""Edits: what an operator says is to be done, and the source that it looks at, addressed by syntax node."""

from __future__ import annotations

import ast
import bisect
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

from swegym.errors import TaskError


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the bytes from `start` up to `end` by `text`."""

    start: int
    end: int
    text: bytes


class SourceText:
    """The bytes of a file, addressed by syntax node; and the function that a node stands in."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        data.decode("utf-8")  # columns of `ast` count UTF-8 bytes; in another encoding they would mislead
        self.line_starts = [0]
        for line in data.splitlines(keepends=True):
            self.line_starts.append(self.line_starts[-1] + len(line))
        # A byte order mark is no part of the first line for `ast`.
        self.mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0

    def offset(self, line: int, column: int) -> int:
        return self.line_starts[line - 1] + column + (self.mark if line == 1 else 0)

    def place(self, offset: int) -> tuple[int, int]:
        """The line and column of a byte offset."""
        line = bisect.bisect_right(self.line_starts, offset, hi=max(1, len(self.line_starts) - 1))
        return line, offset - self.line_starts[line - 1] - (self.mark if line == 1 else 0)

    def start(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg) -> int:
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg) -> int:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.offset(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg) -> bytes:
        return self.data[self.start(node) : self.end(node)]

    def replace(self, node: ast.expr | ast.stmt, text: bytes) -> Edit:
        return Edit(self.start(node), self.end(node), text)

    def between(self, left: ast.expr, right: ast.expr, token: str) -> tuple[int, int]:
        """Where the operator `token` stands between two neighbouring operands."""
        return self.token(self.end(left), self.start(right), token)

    def token(self, start: int, end: int, token: str) -> tuple[int, int]:
        """The first `token` in a stretch of source that holds no strings; comments are passed over."""
        stretch = re.sub(rb"#[^\r\n]*", lambda comment: b" " * len(comment[0]), self.data[start:end])
        words = [re.escape(word.encode()) for word in token.split()]
        pattern = rb"[\s\\]+".join(words)
        if token.isidentifier() or " " in token:
            pattern = rb"\b" + pattern + rb"\b"
        found = re.search(pattern, stretch)
        if found is None:
            raise TaskError(
                f"no {token!r} between the operands at byte {start}: the syntax tree and the source disagree"
            )
        return start + found.start(), start + found.end()


@dataclass(frozen=True)
class Scope:
    """What an operator may know about where a node stands."""

    parameters: tuple[str, ...]  # of the innermost named function, without self and cls
    function: ast.FunctionDef | ast.AsyncFunctionDef  # that function

    @functools.cached_property
    def defaults(self) -> dict[str, ast.expr]:
        """The function's parameters that have a default."""
        given = self.function.args
        plain = [*given.posonlyargs, *given.args]
        found = dict(zip(reversed([one.arg for one in plain]), reversed(given.defaults), strict=False))
        pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
        return dict(reversed(found.items())) | {one.arg: default for one, default in pairs if default is not None}

    @functools.cached_property
    def attributes(self) -> tuple[str, ...]:
        """The attributes of self that the function reads and does not call, each once, in order."""
        called = {id(node.func) for node in ast.walk(self.function) if isinstance(node, ast.Call)}
        return tuple(
            dict.fromkeys(
                node.attr for node in ast.walk(self.function) if is_own_attribute(node) and id(node) not in called
            )
        )


Operator = Callable[[ast.AST, SourceText, Scope], Iterator[Edit]]


def is_own_attribute(node: ast.AST) -> TypeGuard[ast.Attribute]:
    """Whether a node reads an attribute of self."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def atomic(node: ast.expr, source: SourceText) -> bytes:
    """The text of an expression, in parentheses where it could come apart beside an operator."""
    text = source.text(node)
    whole = isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant | ast.GeneratorExp)
    return text if whole or isinstance(node, ast.List | ast.Tuple | ast.Dict | ast.Set) else b"(" + text + b")"
