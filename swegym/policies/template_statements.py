"""Repair templates for statements: guards, jumps, handlers, order."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from swegym.policies.scope import Before, Both, Change, Scope


def insert_guard(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """Leave early when a name used by the statement is None or empty."""
    if not isinstance(node, ast.stmt) or isinstance(
        node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
    ):
        return
    indentation = scope.snippet.indentation(node)
    header = (
        [node.test] if isinstance(node, ast.If | ast.While) else [node.iter] if isinstance(node, ast.For) else [node]
    )
    used = {
        inner.id: None
        for part in header
        for inner in ast.walk(part)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load)
    }
    leaves = ["return", "return {name}", 'return ""', "return []", "return False", "return True", "return 0"]
    leaves = ["continue", "break", *leaves] if node in scope.loops else leaves
    for name in used:
        if name in scope.variables and name not in ("self", "cls"):
            for test in (f"{name} is None", f"not {name}"):
                for leave in leaves:
                    yield Before(node), f"if {test}:\n{indentation}    {leave.format(name=name)}"
            if not isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.Try | ast.Return | ast.Raise):
                yield Before(node), f"if {name} is None:\n{indentation}    {name} = []"


def change_jump(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """break, continue, return and pass for each other; a statement left out; another value returned."""
    words: dict[type[ast.AST], tuple[str, ...]] = {
        ast.Break: ("continue", "return", "pass"),
        ast.Continue: ("break", "pass", "return"),
        ast.Pass: ("continue", "return", "raise"),
    }
    yield from ((node, word) for word in words.get(type(node), ()))
    if isinstance(node, ast.Return):
        values = (*scope.near(node, 8), "None", "True", "False", '""', "[]", "{}", "0", "1")
        yield from ((node, f"return {value}") for value in values)
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    simple = isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Return | ast.Raise | ast.Delete | ast.Assert)
    if simple and not docstring:
        yield node, "pass"


def widen_handler(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.ExceptHandler) and node.type is not None:
        names = [scope.text(each) for each in (node.type.elts if isinstance(node.type, ast.Tuple) else [node.type])]
        for extra in (
            "ValueError",
            "TypeError",
            "KeyError",
            "IndexError",
            "AttributeError",
            "OSError",
            "ZeroDivisionError",
            "UnicodeError",
        ):
            if extra not in names:
                yield node.type, f"({', '.join([*names, extra])})"
        yield node.type, "Exception"


def swap_statements(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """A simple statement moved behind the next one."""
    parent = scope.snippet.parents.get(node)
    for block in (getattr(parent, name, None) for name in ("body", "orelse", "finalbody")):
        if isinstance(block, list) and node in block[:-1] and isinstance(node, ast.Assign | ast.AugAssign | ast.Expr):
            following = block[block.index(node) + 1]
            if isinstance(following, ast.Assign | ast.AugAssign | ast.Expr | ast.If):
                yield (
                    Both(node, following),
                    f"{scope.text(following)}\n{scope.snippet.indentation(node)}{scope.text(node)}",
                )
