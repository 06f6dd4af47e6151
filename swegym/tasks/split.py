"""The split of a repository's own test-suite into a visible half, which stays, and a hidden half, which decides.

What is dealt is a test function: `tests/test_a.py::test_x` or `tests/test_a.py::TestA::test_x`. All parameter sets of a
function go the same way. Hidden functions are cut out of the test files by their lines; everything else stays.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from swegym.errors import TaskError
from swegym.syntax import parse

_Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Suite:
    """The test functions of some files."""

    functions: tuple[str, ...]  # every `test*`, at top level or in a class, as written
    bases: Mapping[str, tuple[str, ...]]  # "path::Class" -> the classes of the same file that it is made from

    def owner(self, test: str) -> str:
        """The function that a test id runs, without parameters: for an inherited one, the base class's.

        What a class inherits from another file is nobody's: the answer is then no member of `functions`.
        """
        path, separator, name = test.partition("::")
        function = path + separator + name.partition("[")[0]
        if function in self.functions:
            return function
        kind, _, method = function.rpartition("::")
        owners = (self.owner(f"{base}::{method}") for base in self.bases.get(kind, ()))
        return next((owner for owner in owners if owner in self.functions), function)


def read_suite(files: Mapping[str, bytes]) -> Suite:
    """Find the test functions of files. Raises `TaskError` for one that is not Python."""
    functions: dict[str, None] = {}
    bases: dict[str, tuple[str, ...]] = {}
    for path, data in files.items():
        functions.update({f"{path}::{name}": None for name, _, _ in _definitions(path, data)})
        for node in parse(data).body:
            if isinstance(node, ast.ClassDef):
                named = (base.id for base in node.bases if isinstance(base, ast.Name) and base.id != node.name)
                bases[f"{path}::{node.name}"] = tuple(f"{path}::{base}" for base in named)
    return Suite(tuple(functions), bases)


def deal(functions: Iterable[str], failing: Collection[str], seed: int) -> frozenset[str]:
    """The functions to hide: those whose place by hash of id and seed is in the first half.

    The failing ones, which the bug breaks, are dealt apart from the others, so that at least one is hidden and at least
    one is visible.

    Raises:
        TaskError: fewer than two of the functions fail, so that no such split exists.
    """
    functions = list(functions)
    noticed = [function for function in functions if function in failing]
    if len(noticed) < 2:
        raise TaskError(f"{len(noticed)} test functions fail; a split needs one for either half")
    others = [function for function in functions if function not in failing]
    hidden: set[str] = set()
    for group in (noticed, others):
        ordered = sorted(group, key=lambda function: hashlib.sha256(f"{seed}:{function}".encode()).digest())
        hidden.update(ordered[: (len(ordered) + 1) // 2] if group is noticed else ordered[: len(ordered) // 2])
    return frozenset(hidden)


def without(path: str, data: bytes, hidden: Collection[str]) -> bytes:
    """The test file without the hidden functions, their decorators and the comments right above them.

    A body that would be left empty becomes `pass`.
    """
    lines = data.splitlines(keepends=True)
    gone = [(node, body) for name, node, body in _definitions(path, data) if f"{path}::{name}" in hidden]
    nodes = {node for node, _ in gone}
    cut: set[int] = set()
    filled: dict[int, bytes] = {}  # line number -> what stands before it instead of a whole body
    for node, body in gone:
        first, last = _extent(node, lines)
        cut.update(range(first, last))
        if node is body[0] and node.col_offset and nodes.issuperset(body):
            newline = b"\r\n" if lines[first].endswith(b"\r\n") else b"\n"
            filled[first] = b" " * node.col_offset + b"pass" + newline
    kept: list[bytes] = []
    for number, line in enumerate(lines):
        kept.append(filled.get(number, b""))
        if number not in cut:
            kept.append(line)
    return b"".join(kept)


def _definitions(path: str, data: bytes) -> Iterator[tuple[str, _Definition, list[ast.stmt]]]:
    """Name, node and the body that holds it, of every test function."""
    try:
        tree = parse(data)
    except (SyntaxError, ValueError) as error:
        raise TaskError(f"{path}: cannot be split, for it is not Python: {error}") from error

    def visit(body: list[ast.stmt], outer: str) -> Iterator[tuple[str, _Definition, list[ast.stmt]]]:
        for node in body:
            if isinstance(node, _Definition):
                if node.name.startswith("test"):
                    yield outer + node.name, node, body
            elif isinstance(node, ast.ClassDef):
                yield from visit(node.body, f"{outer}{node.name}::")
            elif isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
                for part in _bodies(node):
                    yield from visit(part, outer)

    yield from visit(tree.body, "")


def _bodies(node: ast.If | ast.Try | ast.With | ast.For | ast.While) -> Iterator[list[ast.stmt]]:
    yield node.body
    if isinstance(node, ast.Try):
        yield from (handler.body for handler in node.handlers)
        yield node.finalbody
    if not isinstance(node, ast.With):
        yield node.orelse


def _first_line(node: _Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _extent(node: _Definition, lines: list[bytes]) -> tuple[int, int]:
    """First line and the line after the last, from 0, with the comments that belong to it and the blank lines below."""
    first, last = _first_line(node) - 1, node.end_lineno or node.lineno
    while first > 0 and _comment_column(lines[first - 1]) == node.col_offset:
        first -= 1
    while last < len(lines) and (not lines[last].strip() or _comment_column(lines[last]) > node.col_offset):
        last += 1
    return first, last


def _comment_column(line: bytes) -> int:
    """Where the comment starts on a line that holds nothing else; -1 if it is no such line."""
    stripped = line.lstrip(b" \t")
    return len(line) - len(stripped) if stripped.startswith(b"#") else -1
