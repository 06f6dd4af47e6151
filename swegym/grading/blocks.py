"""Blocks of a sealed test: every question stands in one that takes exceptions, and none shows where one is expected.

So that the lines before a question do not show it either, plain ones directly before it stand in its block, whatever it
asks: in a right fix they raise nothing.

Left as they are: blocks of more lines, and those whose exception the test looks at, or handles itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, TypeGuard

from swegym.grading import expectations

ASK, RAISES, WARNS = "_swegym_ask", "_swegym_raises", "_swegym_warns"
_LINES = 3  # of a block, as far as there are plain ones


def make_alike(function: ast.AST) -> dict[int, int]:
    """Put the questions of a sealed test into such blocks, in place; question -> the lines taken in before it."""
    _Alike().generic_visit(function)
    return dict(_fill(function))


def is_call(node: ast.expr, name: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


class _Alike(ast.NodeTransformer):
    def visit_Try(self, node: ast.Try | ast.TryStar) -> ast.stmt:
        for name in ("handlers", "orelse", "finalbody") if node.handlers else ("body", "orelse", "finalbody"):
            setattr(node, name, [self.visit(inner) for inner in getattr(node, name)])
        return node

    visit_TryStar = visit_Try

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        call = node.value
        if is_call(call, ASK):
            return _questioned(call.args[0], node)
        if is_call(call, RAISES) and len(call.args) > 1:  # with the function that is to raise
            number, function, *arguments = call.args
            asked = ast.Call(ast.Name(ASK, ast.Load()), [number, ast.Call(function, arguments, call.keywords)], [])
            return _questioned(number, ast.Expr(asked))
        return node

    def visit_With(self, node: ast.With) -> ast.stmt:
        item, last = node.items[0], node.body[-1]
        if not any(is_call(other.context_expr, RAISES) for other in node.items):
            self.generic_visit(node)
        elif len(node.items) == 1 and item.optional_vars is None:
            assert isinstance(item.context_expr, ast.Call)
            number = item.context_expr.args[0]
            if isinstance(last, ast.Expr):
                node.body[-1] = ast.Expr(_ask(number, last.value))
            elif isinstance(last, ast.Assert):
                node.body[-1] = ast.Expr(_ask(number, last.test))
            elif isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
                node.body.append(ast.Expr(_ask(number, ast.Name(last.targets[0].id, ast.Load()))))
        return node


def _ask(number: ast.expr, asked: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(ASK, ast.Load()), [number, asked], [])


def _questioned(number: ast.expr, asked: ast.stmt) -> ast.With:
    return ast.With([ast.withitem(ast.Call(ast.Name(RAISES, ast.Load()), [number], []))], [asked])


def _fill(node: Any) -> Iterator[tuple[int, int]]:
    """Take plain lines into the blocks behind them, in all bodies of a node; (question, lines) of each."""
    handled = isinstance(node, ast.Try | ast.TryStar) and node.handlers
    for name in ("handlers", "orelse", "finalbody") if handled else ("handlers", "body", "orelse", "finalbody"):
        body: list[Any] = found if isinstance(found := getattr(node, name, None), list) else []
        for place, statement in enumerate(body):
            block = _block(statement)
            if block is None:
                yield from _fill(statement)
                continue
            at = place
            while at and len(block.body) < _LINES and _is_plain(body[at - 1]):
                at -= 1
                block.body.insert(0, body[at])
                body[at] = ast.Pass()
            call = block.items[0].context_expr
            if at < place and isinstance(call, ast.Call) and isinstance(call.args[0], ast.Constant):
                yield int(str(call.args[0].value)), place - at
        body[:] = [one for one in body if not isinstance(one, ast.Pass)] or body[:1]


def _block(node: ast.stmt) -> ast.With | None:
    """A block that takes exceptions, of whose last line the answer is taken."""
    if isinstance(node, ast.With) and len(node.items) == 1 and is_call(node.items[0].context_expr, RAISES):
        last = node.body[-1]
        if node.items[0].optional_vars is None and isinstance(last, ast.Expr) and is_call(last.value, ASK):
            return node
    return None


def _is_plain(node: ast.stmt) -> bool:
    """A line that binds or calls something, and neither asks nor asserts: in a block that would hold its failure."""
    if not isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) or isinstance(node.value, ast.Constant):
        return False
    if isinstance(node, ast.Expr) and (not isinstance(node.value, ast.Call) or expectations.may_assert(node.value)):
        return False
    parts = list(ast.walk(node))
    asking = any(isinstance(part, ast.Name) and part.id in (ASK, RAISES, WARNS) for part in parts)
    return not asking and not any(isinstance(part, ast.Yield | ast.YieldFrom) for part in parts)
