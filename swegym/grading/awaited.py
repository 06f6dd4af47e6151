"""What a test waits for, an exception or a warning: the names of its classes, and the pattern of its text.

Where these stand in a table, each row has its own: which row an answer belongs to is told by the reference fix's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from swegym.grading.bindings import Scope
from swegym.grading.expectations import called

Names = Mapping[str, ast.expr]
_MOST_ROWS = 200


def check_of(call: ast.Call, expected: ast.expr, form: str, scope: Scope) -> dict[str, Any] | None:
    """How the answers to such a call are compared: `names` of classes, and where it has one the pattern `match`.

    `by_row`: names and patterns of all rows of a table, of which those count that the reference fix's answer has.
    """
    if any(keyword.arg is None for keyword in call.keywords):
        return None
    patterns = [keyword.value for keyword in call.keywords if keyword.arg == "match"]
    if called(call).endswith(("Regex", "Regexp")):
        patterns = call.args[1:2]
    rows = list(_rows([expected, *patterns], scope))
    names = [_names(expected, row) for row in rows]
    texts = [_text(pattern, row) for pattern in patterns for row in rows]
    if not rows or None in names or None in texts or len(patterns) > 1:
        return None
    check: dict[str, Any] = {"form": form, "operator": form}
    check["names"] = list(dict.fromkeys(name for found in names for name in found or ()))
    if len(rows) > 1:
        check["by_row"] = True
    if texts:
        check["match"] = texts[0] if len(rows) == 1 else list(dict.fromkeys(texts))
    return check


def _rows(nodes: list[ast.expr], scope: Scope) -> Iterator[Names]:
    """What names in expressions are bound to, for each row of the table that binds one; none for two tables."""
    used = {inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    bound = {**scope.module, **scope.aliases, **{name: one.value for name, one in scope.locals.items()}}
    tables = [table for table in scope.tables if used & set(table.names)]
    if not tables:
        yield bound
    elif len(tables) == 1:
        cells = {name: tables[0].cells(name) for name in tables[0].names if name in used}
        if None not in cells.values():
            for row in range(min(len(tables[0].rows), _MOST_ROWS)):
                yield {**bound, **{name: found[row][0][found[row][1]] for name, found in cells.items() if found}}


def _names(node: ast.expr, bound: Names) -> list[str] | None:
    """The last parts of the names of classes; None for what is no name of one."""
    if isinstance(node, ast.Name) and node.id in bound:
        return _names(bound[node.id], {name: value for name, value in bound.items() if name != node.id})
    if isinstance(node, ast.Tuple):
        found = [_names(inner, bound) for inner in node.elts]
        return None if None in found or not found else [name for names in found for name in names or ()]
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return [name] if name else None


def _text(node: ast.expr, bound: Names) -> str | None:
    """A pattern that can be read: literals, names of such, what is put together of them, and `re.escape`."""
    if isinstance(node, ast.Name) and node.id in bound:
        return _text(bound[node.id], {name: value for name, value in bound.items() if name != node.id})
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str | int) else None
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("re.escape", "escape") and len(node.args) == 1:
        text = _text(node.args[0], bound)
        return None if text is None else re.escape(text)
    parts: list[ast.expr] = []
    if isinstance(node, ast.JoinedStr):
        plain = [part for part in node.values if isinstance(part, ast.FormattedValue)]
        if any(part.format_spec is not None or part.conversion not in (-1, ord("s")) for part in plain):
            return None
        parts = [part.value if isinstance(part, ast.FormattedValue) else part for part in node.values]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [node.left, node.right]
    texts = [_text(part, bound) for part in parts]
    return None if not texts or None in texts else "".join(text or "" for text in texts)
