"""What a test expects, read from its source: its sites, each an expression that is asked and what it is compared with.

A side of a comparison counts as *expected* when it can be read without the code under test: literals, what the standard
library makes of them, and names bound once to such (locals, module constants, parameters, loop variables over literal
tables). Nothing is executed. What is not understood is no site; coverage says how much that leaves out.
"""

from __future__ import annotations

import ast
import copy
import functools
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

from swegym.grading import bindings, changes, normalising, remakes, tolerances
from swegym.grading.bindings import Function, Scope, is_pure

Form = Literal["equal", "truth", "compare", "near", "raises", "warns", "call"]

_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "in": "contains", "not in": "lacks"}
# unittest's methods: operator with the first argument on its left
_UNITTEST = {
    **dict.fromkeys(("assertEqual", "assertEquals", "assertListEqual", "assertDictEqual", "assertTupleEqual"), "=="),
    **dict.fromkeys(("assertSetEqual", "assertMultiLineEqual", "assertSequenceEqual"), "=="),
    **{"assertNotEqual": "!=", "assertIs": "is", "assertIsNot": "is not", "assertIn": "in", "assertNotIn": "not in"},
    **{"assertLess": "<", "assertLessEqual": "<=", "assertGreater": ">", "assertGreaterEqual": ">="},
}
_DEPRECATIONS = ast.parse("(DeprecationWarning, PendingDeprecationWarning, FutureWarning)", mode="eval").body
_ASSERTING = ("assert", "check", "expect", "verify")  # in the names of methods


@dataclass(frozen=True, slots=True)
class Site:
    """One expectation. `operator` has the asked value on its left; "truth" asks whether it is true.

    Of the form "truth" `expected` is what an object that the value is compared with is made of, if that can be read.

    Of the form "call" is a call of what asserts for the test, a helper or a mock: it can be told another expectation,
    and nothing can be asked in its stead. `remake(expected)` gives the statement with another expectation.
    """

    number: int
    form: Form
    operator: str
    asked: ast.expr | None = None
    expected: ast.expr | None = None
    remake: Callable[[ast.expr], ast.stmt] | None = field(default=None, compare=False)
    named: bool = False  # what a block waits for has a name there, which the test may look at

    @property
    def is_end(self) -> bool:
        """Whether it says no more than that the test comes to its end."""
        return self.form == "truth" and isinstance(self.asked, ast.Constant) and self.asked.value is True


def parse(source: bytes) -> ast.Module | None:
    """A test file's tree, normalised and of the caller's own; None for what this Python cannot read."""
    known = _parsed(source)
    return None if known is None else cast(ast.Module, pickle.loads(known))


@functools.lru_cache(maxsize=64)
def _parsed(source: bytes) -> bytes | None:
    """Pickled, because a tree is changed by who has it, and copying it by `copy` takes longer than all the rest."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    normalising.without_annotations(tree)
    constants = bindings.module_constants(tree)
    for _, function in test_functions(tree):
        normalising.inline_tables(function, constants)
        normalising.Split().visit(function)
        tolerances.with_numbers(function, constants)
        bindings.name_rebindings(function)
        if normalising.may_only_end(function) and all(site.form == "call" for site in sites(tree, function)):
            normalising.assert_the_end(function)
    tree.words = changes.vocabulary(tree)  # type: ignore[attr-defined]
    return pickle.dumps(tree)


def test_functions(tree: ast.Module, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """(name as in a test id, "Class::test" or "test", its function) of what may be a test."""
    yield from _functions(tree.body, prefix)


def _functions(body: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[str, Function]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{prefix}{node.name}::")


def rewrite(
    tree: ast.Module,
    function: Function,
    statement: Callable[[Site], ast.stmt | None],
    raising: Callable[[Site], ast.expr | None],
) -> None:
    """Replace the sites of a test in place, where the callbacks give something else."""
    _Rewriter(Scope(tree, function), statement, raising).generic_visit(function)


def sites(tree: ast.Module, function: Function) -> list[Site]:
    """The sites of a test, in order. Their numbers hold for as long as the tree does."""
    found: list[Site] = []

    def note(site: Site) -> None:
        found.append(site)

    _Rewriter(Scope(tree, function), note, note).generic_visit(function)
    return found


class _Rewriter(ast.NodeTransformer):
    def __init__(
        self,
        scope: Scope,
        statement: Callable[[Site], ast.stmt | None],
        raising: Callable[[Site], ast.expr | None],
    ) -> None:
        self._scope, self._statement, self._raising, self._count = scope, statement, raising, 0
        self._in_raising = False  # what is called in such a block raises, and is no assertion

    def _next(self) -> int:
        self._count += 1
        return self._count - 1

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        site = _compared(self._next(), node.test, self._scope)
        return self._statement(site) or node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        call = node.value
        if isinstance(call, ast.Call):
            if site := self._of_unittest(call):
                return self._statement(site) or node
            if _is_contradictable(call):
                site = Site(self._next(), "truth", "truth", None, None, functools.partial(remakes.of_mock, call))
                return self._statement(site) or node
            if _awaits(call):
                if len(call.args) >= 2:
                    self._replace_awaiting(call, node, "value")
            elif not self._in_raising and may_assert(call) and (place := _told(call, self._scope.pure)):
                again = functools.partial(remakes.of_told, call, place)
                site = Site(self._next(), "call", "call", None, remakes.given(call, place), again)
                return self._statement(site) or node
        return node

    def visit_With(self, node: ast.With) -> ast.stmt:
        awaiting = [item for item in node.items if _awaits(item.context_expr)]
        raising = any(_awaits(item.context_expr) == "raises" for item in awaiting)
        for item in awaiting:
            self._replace_awaiting(cast(ast.Call, item.context_expr), item, "context_expr")
        before, self._in_raising = self._in_raising, self._in_raising or raising
        self.generic_visit(node)
        self._in_raising = before
        return node

    def _replace_awaiting(self, call: ast.Call, owner: ast.AST, place: str) -> None:
        form = _awaits(call) or "raises"
        named = isinstance(owner, ast.withitem) and owner.optional_vars is not None
        expected = call.args[0] if call.args else _DEPRECATIONS if called(call) == "deprecated_call" else None
        site = Site(self._next(), form, form, call, expected, named=named)
        if site.expected is not None and (other := self._raising(site)) is not None:
            setattr(owner, place, other)

    def _of_unittest(self, call: ast.Call) -> Site | None:
        if not isinstance(call.func, ast.Attribute) or getattr(call.func.value, "id", "") != "self":
            return None
        name, arguments = call.func.attr, call.args
        if name in _UNITTEST and len(arguments) >= 2:
            left, right = arguments[:2]
            return _sided(self._next(), left, _UNITTEST[name], right, self._scope, remakes.of_call(call))
        if name == "assertTrue" and arguments and isinstance(arguments[0], ast.Compare):
            return _compared(self._next(), arguments[0], self._scope)
        if name in ("assertIsInstance", "assertNotIsInstance") and len(arguments) >= 2:
            whole = ast.Call(ast.Name("isinstance", ast.Load()), arguments[:2], [])
            wanted = name == "assertIsInstance"
            return _compared(self._next(), whole if wanted else ast.UnaryOp(ast.Not(), whole), self._scope)
        if name in ("assertTrue", "assertFalse") and arguments:
            return Site(
                self._next(), "truth", "truth", arguments[0], None, remakes.of_truth(arguments[0], name == "assertTrue")
            )
        if name in ("assertIsNone", "assertIsNotNone") and arguments:
            test = ast.Compare(
                arguments[0], [ast.Is() if name == "assertIsNone" else ast.IsNot()], [ast.Constant(None)]
            )
            return _compared(self._next(), test, self._scope)
        if name == "assertAlmostEqual" and len(arguments) == 2 and not call.keywords:
            return _sided(self._next(), arguments[0], "near7", arguments[1], self._scope, remakes.of_call(call))
        return None


def may_assert(call: ast.Call) -> bool:
    """A function of that file or another, a method of the test's class, or what is called as if it asserted."""
    if not isinstance(call.func, ast.Attribute):
        return isinstance(call.func, ast.Name)
    owner = call.func.value
    own = isinstance(owner, ast.Name) and owner.id in ("self", "cls")
    return own or any(word in call.func.attr.lower() for word in _ASSERTING)


def _is_contradictable(call: ast.Call) -> bool:
    told = call.args or call.keywords
    return isinstance(call.func, ast.Attribute) and call.func.attr in remakes.CONTRARY and not told


def _told(call: ast.Call, pure: frozenset[str]) -> tuple[str, int] | None:
    """Where a call is given what it expects: its last argument that can be read, beside the one that it asks about."""
    for place in ("args", "keywords") if len(call.args) > 1 else ("keywords", "args"):
        given = [part.value if isinstance(part, ast.keyword) else part for part in getattr(call, place)]
        for index in reversed(range(len(given))):
            if not isinstance(given[index], ast.Starred) and is_pure(given[index], pure):
                return place, index
    return None


def _compared(number: int, test: ast.expr, scope: Scope) -> Site:
    pure = scope.pure
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if (near := _distant(number, test, pure)) is not None:
            return near
        left, right = test.left, test.comparators[0]
        operator = _OPERATORS[type(test.ops[0])]
        site = _sided(number, left, operator, right, scope, functools.partial(remakes.of_comparison, test))
        if site.form != "truth" or site.expected is not None:
            return site
    if (
        isinstance(test, ast.Call)
        and isinstance(test.func, ast.Attribute)
        and test.func.attr in ("startswith", "endswith")
        and len(test.args) == 1
        and is_pure(test.args[0], pure)
        and not is_pure(test.func.value, pure)
    ):
        inner = test.func

        def again(expected: ast.expr) -> ast.stmt:
            return ast.Assert(ast.Call(inner, [expected], []), None)

        return Site(number, "compare", inner.attr, inner.value, test.args[0], again)
    if isinstance(test, ast.Call) and (sign := tolerances.of_isclose(test)) is not None:
        sides = [is_pure(side, pure) for side in test.args]
        if sides[0] is not sides[1]:
            asked, place = test.args[sides.index(False)], sides.index(True)
            return Site(number, "near", sign, asked, test.args[place], functools.partial(remakes.of_close, test, place))
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return Site(number, "truth", "truth", test.operand, None, remakes.of_truth(test.operand, False))
    return Site(number, "truth", "truth", test, None, remakes.of_truth(test, True))


def _sided(
    number: int,
    left: ast.expr,
    operator: str,
    right: ast.expr,
    scope: Scope,
    remake: Callable[[bool, ast.expr], ast.stmt],
) -> Site:
    """A site with the asked side on the left, whichever side it was written on.

    Where both can be read, the test asks what the code has made of the one that the test itself has given a name.
    """
    pure = scope.pure
    sides = is_pure(left, pure), is_pure(right, pure)
    if sides == (True, True):
        sides = is_pure(left, pure - scope.own), is_pure(right, pure - scope.own)
    if sides == (False, False):
        near = next((side for side in (left, right) if _approximate(side, pure) is not None), None)
        if near is not None and operator == "==":
            asked = left if near is right else right
            inner, sign = _approximate(near, pure) or (None, "")
            call = near
            return Site(number, "near", sign, asked, inner,
                        lambda expected: remake(near is right, remakes.approximated(call, expected)))  # fmt: skip
    if sides[0] == sides[1]:
        whole = _comparison(left, operator, right)
        if operator == "==" and sides == (False, False) and (made := _made_of(left, right, pure)) is not None:
            object_, place = made
            return Site(number, "truth", "truth", whole, remakes.given(object_, place),
                        lambda expected: remake(object_ is right, remakes.told(object_, place, expected)))  # fmt: skip
        return Site(number, "truth", "truth", whole, None, remakes.of_truth(whole, True))
    form: Form = "near" if operator.startswith("near") else "equal" if operator in ("==", "is") else "compare"
    if sides[1]:
        return Site(number, form, operator, left, right, functools.partial(remake, True))
    return Site(number, form, _MIRRORED.get(operator, operator), right, left, functools.partial(remake, False))


def _made_of(left: ast.expr, right: ast.expr, pure: frozenset[str]) -> tuple[ast.Call, tuple[str, int]] | None:
    """Which side makes an object of a class of something that can be read (`found == Version("1.2")`), and where."""
    for side in (right, left):
        if isinstance(side, ast.Call) and called(side)[:1].isupper() and (place := _told(side, pure)) is not None:
            return side, place
    return None


def _comparison(left: ast.expr, operator: str, right: ast.expr) -> ast.expr:
    kind = next((kind for kind, sign in _OPERATORS.items() if sign == operator), ast.Eq)
    return ast.Compare(left, [kind()], [right])


def claim(site: Site, holds: bool) -> ast.stmt:
    """That a comparison holds, or that it does not."""
    assert site.asked is not None and site.expected is not None
    if site.operator in ("startswith", "endswith"):
        whole: ast.expr = ast.Call(ast.Attribute(site.asked, site.operator, ast.Load()), [site.expected], [])
    elif site.operator in ("contains", "lacks"):
        whole = _comparison(site.expected, "in" if site.operator == "contains" else "not in", site.asked)
    else:
        whole = _comparison(site.asked, site.operator, site.expected)
    return remakes.of_truth(whole, True)(ast.Constant(holds))


def _approximate(node: ast.expr, pure: frozenset[str]) -> tuple[ast.expr, str] | None:
    """The expected value inside `pytest.approx(expected, ...)`, and the operator of its tolerances."""
    if not isinstance(node, ast.Call) or not node.args or not is_pure(node.args[0], pure):
        return None
    name = called(node)
    sign = tolerances.of_approx(node) if name == "approx" else None
    return None if sign is None else (node.args[0], sign)


def _distant(number: int, test: ast.Compare, pure: frozenset[str]) -> Site | None:
    """`abs(asked - expected) < 0.1`, whichever way round the difference is."""
    difference, sign = tolerances.of_distance(test) or (None, "")
    if difference is None or is_pure(difference.left, pure) is is_pure(difference.right, pure):
        return None
    asked, expected = ("left", "right") if is_pure(difference.right, pure) else ("right", "left")

    def again(other: ast.expr) -> ast.stmt:
        made = copy.deepcopy(test)
        setattr(cast(ast.Call, made.left).args[0], expected, other)
        return ast.Assert(made, None)

    return Site(number, "near", sign, getattr(difference, asked), getattr(difference, expected), again)


def _awaits(call: ast.expr) -> Literal["raises", "warns"] | None:
    """Whether a call says that an exception, or a warning, is expected."""
    if not isinstance(call, ast.Call):
        return None
    name = called(call)
    if name in ("raises", "assertRaises", "assertRaisesRegex", "assertRaisesRegexp"):
        return "raises"
    return "warns" if name in ("warns", "deprecated_call", "assertWarns", "assertWarnsRegex") else None


def called(call: ast.Call) -> str:
    """The last part of the name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
