"""An assertion with another expectation: what the twins of a test say instead of it."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable

# a mock's that are told nothing: the one that says the contrary
CONTRARY = {"assert_called": "assert_not_called", "assert_called_once": "assert_not_called"}
CONTRARY |= {"assert_not_called": "assert_called"}


def of_mock(call: ast.Call, expected: ast.expr) -> ast.stmt:
    """A mock that has been called, or the contrary where False is expected."""
    other = copy.deepcopy(call)
    assert isinstance(other.func, ast.Attribute)
    if isinstance(expected, ast.Constant) and expected.value is False:
        other.func.attr = CONTRARY[other.func.attr]
    return ast.Expr(other)


def of_told(call: ast.Call, place: tuple[str, int], expected: ast.expr) -> ast.stmt:
    """The statement of a call that is told another expectation."""
    return ast.Expr(told(call, place, expected))


def told(call: ast.Call, place: tuple[str, int], expected: ast.expr) -> ast.Call:
    """A call with another argument, in `args` or `keywords` and there at an index."""
    other = copy.deepcopy(call)
    if place[0] == "args":
        other.args[place[1]] = expected
    else:
        other.keywords[place[1]].value = expected
    return other


def given(call: ast.Call, place: tuple[str, int]) -> ast.expr:
    """The argument of a call at such a place."""
    part = getattr(call, place[0])[place[1]]
    return part.value if isinstance(part, ast.keyword) else part


def of_comparison(test: ast.Compare, on_right: bool, expected: ast.expr) -> ast.stmt:
    """`assert asked == expected` with another side."""
    other = copy.deepcopy(test)
    if on_right:
        other.comparators[0] = expected
    else:
        other.left = expected
    return ast.Assert(other, None)


def of_call(call: ast.Call) -> Callable[[bool, ast.expr], ast.stmt]:
    """`self.assertEqual(asked, expected)` with another side."""

    def again(on_right: bool, expected: ast.expr) -> ast.stmt:
        other = copy.deepcopy(call)
        other.args[1 if on_right else 0] = expected
        return ast.Expr(other)

    return again


def of_truth(asked: ast.expr, wanted: bool) -> Callable[[ast.expr], ast.stmt]:
    """`assert asked`, or `assert not asked` where False is expected of what is wanted to be true."""

    def again(expected: ast.expr) -> ast.stmt:
        negated = isinstance(expected, ast.Constant) and expected.value is False
        test = copy.deepcopy(asked)
        return ast.Assert(test if wanted is not negated else ast.UnaryOp(ast.Not(), test), None)

    return again


def of_close(call: ast.Call, place: int, expected: ast.expr) -> ast.stmt:
    """`assert isclose(asked, expected)` with another argument."""
    other = copy.deepcopy(call)
    other.args[place] = expected
    return ast.Assert(other, None)


def approximated(call: ast.expr, expected: ast.expr) -> ast.expr:
    """`approx(expected)` of another value."""
    other = copy.deepcopy(call)
    assert isinstance(other, ast.Call)
    other.args[0] = expected
    return other
