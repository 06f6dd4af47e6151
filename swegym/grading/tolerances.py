"""Comparisons with a tolerance: how a test writes one, and how far from the reference fix's answer one may then be.

An operator says it as text, for it is kept with the reference: "near" with the tolerances of pytest.approx, "near7" as
unittest's assertAlmostEqual, else "near RELATIVE ABSOLUTE". Without it such an assertion would say one bit, and who
gives an object that is near to everything would be right.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping

_RELATIVE, _ABSOLUTE = 1e-6, 1e-12  # of pytest.approx
_SEVEN_PLACES = 5e-8  # of a difference that is rounded to them and is 0
_MORE = 1.001  # no question is stricter than the test, whatever is rounded


def of_approx(call: ast.Call) -> str | None:
    """The operator of `pytest.approx(expected, ...)`; None where its tolerances are no numbers that can be read."""
    given = dict(zip(("rel", "abs"), call.args[1:], strict=False))
    given |= {keyword.arg or "": keyword.value for keyword in call.keywords}
    if len(call.args) > 3 or not given.keys() <= {"rel", "abs"}:
        return None
    numbers = {name: _number(node) for name, node in given.items()}
    if None in numbers.values():
        return None
    relative = numbers.get("rel", 0.0 if "abs" in numbers else _RELATIVE)
    return _operator(relative or 0.0, numbers.get("abs", _ABSOLUTE) or 0.0) if numbers else "near"


def of_distance(test: ast.Compare) -> tuple[ast.BinOp, str] | None:
    """`a - b` and the operator of `abs(a - b) < number`; None for anything else."""
    call, operator, limit = test.left, test.ops[0], _number(test.comparators[0])
    if limit is None or not isinstance(operator, ast.Lt | ast.LtE) or len(test.ops) > 1:
        return None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "abs" and call.args):
        return None
    difference = call.args[0]
    if not (isinstance(difference, ast.BinOp) and isinstance(difference.op, ast.Sub)):
        return None
    return difference, _operator(0.0, limit)


def of_isclose(call: ast.Call) -> str | None:
    """The operator of `math.isclose(a, b, ...)`; None for anything else."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    module = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else "math"
    given = {keyword.arg or "": _number(keyword.value) for keyword in call.keywords}
    if (module, name, len(call.args)) != ("math", "isclose", 2) or not given.keys() <= {"rel_tol", "abs_tol"}:
        return None
    relative, absolute = given.get("rel_tol", 1e-9), given.get("abs_tol", 0.0)
    return None if relative is None or absolute is None else _operator(relative, absolute)


def with_numbers(function: ast.AST, constants: Mapping[str, ast.expr]) -> None:
    """Put the numbers of a module in the places of their names where they bound a comparison, in place."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name | ast.arg)]
    bound = {node.arg if isinstance(node, ast.arg) else node.id for node in names if not _is_read(node)}

    def number(node: ast.expr) -> ast.expr:
        value = constants.get(node.id) if isinstance(node, ast.Name) and node.id not in bound else None
        return node if value is None or _number(value) is None else copy.deepcopy(value)

    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt | ast.LtE):
            node.comparators[0] = number(node.comparators[0])
        for keyword in node.keywords if isinstance(node, ast.Call) else ():
            if keyword.arg in ("rel", "abs", "rel_tol", "abs_tol"):
                keyword.value = number(keyword.value)


def _is_read(node: ast.Name | ast.arg) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


def allowed(operator: str) -> tuple[float, float]:
    """How far an answer may be from what the test says, relatively and absolutely, and a little more.

    Where only the reference fix's answer is known, either may be that far off on its own side.
    """
    if operator == "near7":
        return 0.0, _MORE * _SEVEN_PLACES
    _, *numbers = operator.split()
    relative, absolute = map(float, numbers) if numbers else (_RELATIVE, _ABSOLUTE)
    return _MORE * relative, _MORE * absolute


def _operator(relative: float, absolute: float) -> str:
    return f"near {relative!r} {absolute!r}"


def _number(node: ast.expr) -> float | None:
    """A number, or None where there is none to be read; `approx(x, abs=None)` is not worth more."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return float(value) if isinstance(value, int | float) and 0 <= value < float("inf") else None
