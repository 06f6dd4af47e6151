"""Repair templates for values: arithmetic, indices, slices, constants, patterns."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from swegym.policies.scope import Change, Scope

_ARITHMETIC: dict[type[ast.operator], tuple[str, tuple[str, ...]]] = {
    ast.Add: ("+", ("-", "*")),
    ast.Sub: ("-", ("+", "//")),
    ast.Mult: ("*", ("/", "+", "//", "**")),
    ast.Div: ("/", ("*", "//")),
    ast.FloorDiv: ("//", ("/", "%", "*")),
    ast.Mod: ("%", ("//", "*")),
    ast.Pow: ("**", ("*",)),
    ast.LShift: ("<<", (">>",)),
    ast.RShift: (">>", ("<<",)),
    ast.BitAnd: ("&", ("|", "^")),
    ast.BitOr: ("|", ("&", "^")),
    ast.BitXor: ("^", ("&", "|")),
}


def change_arithmetic(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        for operator in _ARITHMETIC[type(node.op)][1]:
            yield node, f"{scope.closed(node.left)} {operator} {scope.closed(node.right)}"
        if isinstance(node.op, ast.Sub | ast.Div | ast.Mod | ast.Add):
            yield node, f"{scope.closed(node.right)} {_ARITHMETIC[type(node.op)][0]} {scope.closed(node.left)}"
    elif isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        target, value = scope.text(node.target), scope.text(node.value)
        for operator in _ARITHMETIC[type(node.op)][1]:
            yield node, f"{target} {operator}= {value}"
        yield node, f"{target} = {value}"
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and not isinstance(node.targets[0], ast.Tuple):
        for operator in ("+", "-", "*", "%", "|", "&", "//"):
            yield node, f"{scope.text(node.targets[0])} {operator}= {scope.text(node.value)}"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node, scope.text(node.operand)


def off_by_one(node: ast.AST, scope: Scope) -> Iterator[Change]:
    counted: list[ast.expr] = []
    if isinstance(node, ast.Compare) and all(
        isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE | ast.Eq) for op in node.ops
    ):
        counted += node.comparators
    elif isinstance(node, ast.Subscript):
        bounds = [node.slice.lower, node.slice.upper] if isinstance(node.slice, ast.Slice) else [node.slice]
        counted += [bound for bound in bounds if bound is not None]
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("range", "enumerate", "max", "min")
    ):
        counted += node.args
    elif isinstance(node, ast.Return | ast.Assign | ast.AugAssign | ast.keyword) and isinstance(
        node.value, ast.BinOp | ast.Call
    ):
        counted.append(node.value)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        counted += [node.right]
    for expression in counted:
        if isinstance(expression, ast.Name | ast.Call | ast.BinOp | ast.Attribute | ast.Subscript):
            text = scope.text(expression)
            if isinstance(node, ast.BinOp):
                yield expression, f"({text} + 1)"
                yield expression, f"({text} - 1)"
            else:
                yield expression, f"{text} + 1"
                yield expression, f"{text} - 1"


def change_slice(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if not isinstance(node, ast.Subscript):
        return
    base = scope.text(node.value)
    if isinstance(node.slice, ast.Slice):
        lower = scope.text(node.slice.lower) if node.slice.lower else ""
        upper = scope.text(node.slice.upper) if node.slice.upper else ""
        if node.slice.step:
            return
        for first, last in ((lower, ""), ("", upper), ("", ""), (upper, lower)):
            yield node, f"{base}[{first}:{last}]"
        if not lower:
            yield node, f"{base}[1:{upper}]"
        if not upper:
            yield node, f"{base}[{lower}:-1]"
        yield node, base
    else:
        index = scope.text(node.slice)
        yield node, f"{base}[-1]" if index == "0" else f"{base}[0]"
        yield node, f"{base}[-{index}]" if index.isidentifier() else f"{base}[1]"
        if isinstance(node.ctx, ast.Load):
            yield node, f"{base}.get({index})"


def change_constant(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if not isinstance(node, ast.Constant) or isinstance(scope.snippet.parents.get(node), ast.Expr):
        return
    value = node.value
    if isinstance(value, bool):
        yield node, str(not value)
        yield node, "None"
    elif value is None:
        yield from ((node, text) for text in ("True", "False", '""', "0", "[]", "{}"))
    elif isinstance(value, int):
        others = dict.fromkeys((value + 1, value - 1, 0, 1, -1, 2, value * 2, value // 2, 10 * value))
        yield from ((node, str(other)) for other in others if other != value)
        yield node, "None"
    elif isinstance(value, float):
        yield from ((node, repr(other)) for other in (value + 1, value - 1, -value, value / 10, value * 10, 0.0, 1.0))
    elif isinstance(value, str):
        if value:
            yield node, '""'
        for changed in (
            value + " ",
            " " + value,
            value + "\n",
            value.strip(),
            value.lower(),
            value.upper(),
            value[1:],
            value[:-1],
            value + "s",
        ):
            if changed != value and len(value) <= 30:
                yield node, repr(changed)
        yield from ((node, other) for other in scope.strings if other != repr(value))


def change_pattern(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """One quantifier or anchor of a regular expression."""
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return
    text = scope.text(node)
    if "\n" in text or not any(sign in text for sign in ("\\", "*", "+", "[", "(?")):
        return
    for position, sign in enumerate(text):
        for other in {"*": ("+", "*?"), "+": ("*", "+?"), "?": ("", "*"), "$": (r"\Z", ""), "^": ("",)}.get(sign, ()):
            if position and text[position - 1] != "\\":
                yield node, text[:position] + other + text[position + 1 :]
        if sign in "])" and text[position + 1 : position + 2] not in ("*", "+", "?"):
            yield node, text[: position + 1] + "?" + text[position + 1 :]
        if text.startswith(r"\b", position):
            yield node, text[:position] + text[position + 2 :]
