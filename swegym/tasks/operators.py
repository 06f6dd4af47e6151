"""Mutation operators: pure functions that look at one syntax node and yield the edits that they would make there.

An edit is a span of the source and the text to put in its place, so that everything around it stays as it is. A new
operator is one more function in `OPERATORS`.
"""

from __future__ import annotations

import ast
import bisect
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Scope:
    """What an operator may know about where a node stands."""

    parameters: tuple[str, ...]  # of the innermost named function, without self and cls


Operator = Callable[[ast.AST, SourceText, Scope], Iterator[Edit]]

# --- operators --------------------------------------------------------------------------------------------------------


def integer_constant(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`n` becomes `n + 1`, then `n - 1`."""
    if isinstance(node, ast.Constant) and type(node.value) is int and source.text(node).isdigit():
        yield source.replace(node, str(node.value + 1).encode())
        if node.value > 0:
            yield source.replace(node, str(node.value - 1).encode())


def boolean_constant(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`True` becomes `False` and the other way round; defaults and keyword arguments too."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield source.replace(node, str(not node.value).encode())


_BOUNDARIES = {ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">")}
_NEGATIONS = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}


def comparison_boundary(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`<` becomes `<=`, `>` becomes `>=`, and the other way round."""
    yield from _comparisons(node, source, _BOUNDARIES)


def comparison_negated(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`==` becomes `!=`, `is` becomes `is not`, `in` becomes `not in`, and the other way round."""
    yield from _comparisons(node, source, _NEGATIONS)


def _comparisons(node: ast.AST, source: SourceText, swaps: dict[type[ast.cmpop], tuple[str, str]]) -> Iterator[Edit]:
    if isinstance(node, ast.Compare):
        for left, sign, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            if type(sign) in swaps:
                old, new = swaps[type(sign)]
                yield Edit(*source.between(left, right, old), new.encode())


def inverted_condition(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`if test` becomes `if not (test)`; the same for `while`, conditional expressions and comprehensions."""
    tests: list[ast.expr] = []
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        tests = [node.test]
    elif isinstance(node, ast.comprehension):
        tests = node.ifs
    for test in tests:
        if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            yield source.replace(test, b"not " + source.text(test))
        elif isinstance(test, ast.BoolOp):
            yield source.replace(test, b"not (" + source.text(test) + b")")


def dropped_not(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`not x` becomes `x`."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        start = source.start(node)
        _, end = source.token(start, source.start(node.operand), "not")
        while source.data[end : end + 1] in (b" ", b"\t"):
            end += 1
        yield Edit(start, end, b"")


def boolean_operator(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """One `and` becomes `or`, or one `or` becomes `and`."""
    if isinstance(node, ast.BoolOp):
        old, new = ("and", b"or") if isinstance(node.op, ast.And) else ("or", b"and")
        for left, right in itertools.pairwise(node.values):
            yield Edit(*source.between(left, right, old), new)


_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "//"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}


def arithmetic_operator(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`+` becomes `-`, `*` becomes `//` and so on; operations on literal text are left alone."""
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        if _is_text(node.left) or _is_text(node.right):
            return
        old, new = _ARITHMETIC[type(node.op)]
        yield Edit(*source.between(node.left, node.right, old), new.encode())


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def augmented_assignment(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`x += y` becomes `x -= y`, then `x = y`."""
    if isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        old, new = _ARITHMETIC[type(node.op)]
        start, end = source.between(node.target, node.value, old + "=")
        if not _is_text(node.value):
            yield Edit(start, end, new.encode() + b"=")
        yield Edit(start, end, b"=")


def swapped_arguments(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`f(a, b)` becomes `f(b, a)`, for each two neighbouring positional arguments."""
    if not isinstance(node, ast.Call):
        return
    for left, right in itertools.pairwise(node.args):
        if isinstance(left, ast.Starred | ast.GeneratorExp) or isinstance(right, ast.Starred | ast.GeneratorExp):
            continue
        first, second = source.text(left), source.text(right)
        if first != second:
            middle = source.data[source.end(left) : source.start(right)]
            yield Edit(source.start(left), source.end(right), second + middle + first)


def dropped_keyword(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`f(a, key=b)` becomes `f(a)`."""
    if not isinstance(node, ast.Call):
        return
    given: list[ast.expr | ast.keyword] = sorted([*node.args, *node.keywords], key=source.start)
    for before, argument in itertools.pairwise(given):
        if isinstance(argument, ast.keyword) and argument.arg is not None and b"#" not in source.text(argument):
            yield Edit(source.end(before), source.end(argument), b"")


def slice_bound(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`x[a:b]` becomes `x[:b]`, then `x[a:]`; a bound that is no literal also moves by one."""
    if not isinstance(node, ast.Slice):
        return
    for bound, sign in ((node.lower, b" + 1"), (node.upper, b" - 1")):
        if bound is None:
            continue
        yield source.replace(bound, b"")
        if isinstance(bound, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            yield source.replace(bound, source.text(bound) + sign)


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


def removed_call(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """A call whose result nobody uses becomes `pass`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield source.replace(node, b"pass")


_METHODS = {
    "strip": ("lstrip", "rstrip"),
    "lstrip": ("rstrip",),
    "rstrip": ("lstrip",),
    "find": ("rfind",),
    "rfind": ("find",),
    "index": ("rindex",),
    "rindex": ("index",),
    "split": ("rsplit",),
    "rsplit": ("split",),
    "partition": ("rpartition",),
    "rpartition": ("partition",),
    "startswith": ("endswith",),
    "endswith": ("startswith",),
    "ljust": ("rjust",),
    "rjust": ("ljust",),
    "upper": ("lower",),
    "lower": ("upper",),
    "append": ("extend",),
    "match": ("search",),
    "search": ("match",),
}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}


def method_name(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """A method is taken for its sibling: `lstrip` for `rstrip`, `find` for `rfind`, `startswith` for `endswith`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        end = source.end(node.func)
        for other in _METHODS.get(name, ()):
            yield Edit(end - len(name), end, other.encode())


def function_name(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """`min` is taken for `max`, `any` for `all`, and the other way round."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        yield source.replace(node.func, _FUNCTIONS[node.func.id].encode())


def wrong_variable(node: ast.AST, source: SourceText, scope: Scope) -> Iterator[Edit]:
    """A parameter is taken for the next parameter of the same function."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in scope.parameters:
        place = scope.parameters.index(node.id)
        other = scope.parameters[(place + 1) % len(scope.parameters)]
        if other != node.id:
            yield source.replace(node, other.encode())


OPERATORS: dict[str, Operator] = {
    operator.__name__: operator
    for operator in (
        integer_constant,
        boolean_constant,
        comparison_boundary,
        comparison_negated,
        inverted_condition,
        dropped_not,
        boolean_operator,
        arithmetic_operator,
        augmented_assignment,
        swapped_arguments,
        dropped_keyword,
        slice_bound,
        removed_branch,
        dropped_else,
        removed_call,
        method_name,
        function_name,
        wrong_variable,
    )
}
