"""Expression replay: closed calls of the hidden tests, evaluated where no test and no expected value is.

A call is closed when it needs nothing but the file's imports and what the test assigned to names before it from such.
Only calls whose value the test pins by equality are replayed, so that every right fix must give the same; the reference
fix's answers are taken when the task is checked. It proves the same as a seal, without pytest or the test around it: no
frame, no name and no file tells code that it is being tested.
"""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass
from typing import Any

from swegym.grading import expectations
from swegym.grading.bindings import Function, Scope

CALL = "call "  # in front of a test's name: answers of its calls, not of itself
MOST_CALLS = 200  # of one file
_LONGEST = 20_000  # characters of one call with what it needs


@dataclass(frozen=True, slots=True)
class ClosedCall:
    """The asked side of site `number` of a test: `setup` binds what `expression` needs."""

    number: int
    setup: str
    expression: str


def imports_of(tree: ast.Module) -> list[str]:
    """The file's own imports at its top, except of test tools and relative ones."""
    return [
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, ast.Import)
        or (isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__")
    ]


def closed_calls(tree: ast.Module, function: Function) -> list[ClosedCall]:
    """The calls of one test that can be replayed."""
    if isinstance(function, ast.AsyncFunctionDef):
        return []
    imported = _imported(tree)
    arguments = {argument.arg for argument in function.args.args} | {"self", "cls"}
    bound = _straight_bindings(function)
    scope = Scope(tree, function)
    found = []
    for site in expectations.sites(tree, function):
        if site.form != "equal" or site.asked is None or site.operator != "==":
            continue
        needed = _needed(site.asked, bound, imported, arguments, scope)
        if needed is None:
            continue
        setup = "\n".join(ast.unparse(statement) for statement in needed)
        expression = ast.unparse(site.asked)
        if len(setup) + len(expression) <= _LONGEST:
            found.append(ClosedCall(site.number, setup, expression))
    return found


def _imported(tree: ast.Module) -> frozenset[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {alias.asname or alias.name for alias in node.names}
    return frozenset(names)


def _straight_bindings(function: Function) -> dict[str, ast.Assign]:
    """Names that the test's own body, outside loops and branches, binds exactly once."""
    stores = [node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    bound = {}
    for statement in function.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name) and stores.count(target.id) == 1:
                bound[target.id] = statement
    return bound


def _needed(
    asked: ast.expr,
    bound: dict[str, ast.Assign],
    imported: frozenset[str],
    arguments: set[str],
    scope: Scope,
) -> list[ast.Assign] | None:
    """The assignments that an expression needs, in order; None when it needs more than that."""
    needed: dict[str, ast.Assign] = {}
    waiting: list[ast.expr] = [asked]
    calls = 0
    while waiting:
        node = waiting.pop()
        inner = {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
        for part in ast.walk(node):
            if isinstance(part, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
                return None
            calls += isinstance(part, ast.Call)
            if not isinstance(part, ast.Name) or part.id in inner or not isinstance(part.ctx, ast.Load):
                continue
            name = part.id
            if name in arguments:
                return None
            if name in bound:
                if name not in needed:
                    needed[name] = bound[name]
                    waiting.append(bound[name].value)
            elif name in scope.module:
                if name not in needed:
                    needed[name] = ast.Assign([ast.Name(name, ast.Store())], scope.module[name], lineno=0)
                    waiting.append(scope.module[name])
            elif name not in imported and name not in _BUILTIN_NAMES:
                return None
    if not calls or not any(
        isinstance(part, ast.Name) and part.id in imported | set(needed) for part in ast.walk(asked)
    ):
        return None
    order = {id(statement): place for place, statement in enumerate(bound.values())}
    return sorted(needed.values(), key=lambda statement: order.get(id(statement), -1))


def group(path: str, tree: ast.Module, calls: dict[str, list[ClosedCall]]) -> list[dict[str, Any]]:
    """The calls of a file as `_questions.py` takes them."""
    lines = imports_of(tree)
    return [
        {
            "name": f"{CALL}{path}::{name}",
            "imports": lines,
            "calls": [(call.number, call.setup, call.expression) for call in found],
        }
        for name, found in calls.items()
        if found
    ]


def turned_round(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same calls, the last first: a call that depends on those before it has another value then."""
    return [{**group, "calls": group["calls"][::-1]} for group in groups[::-1]]


_BUILTIN_NAMES = frozenset(dir(builtins))
