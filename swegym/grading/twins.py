"""Contradictory twins: the same test with one expected value changed slightly, which must fail where the test passes.

A test and its twins stand in one file under names that tell nothing, in random order, so that each of them may be the
test. The change is in one spot, or in up to three: then all combinations of one change or none in each are shown, and
in none of the spots can it be seen what most say. It proves that whoever made the test pass knew which one it was: a
forged success, an object that equals everything and an answer read from the file serve all of them alike, and an
assertion that holds whatever it is told lets a twin pass. With n twins a guess is right once in n + 1 times; a test
that only says "true" has one twin.
"""

from __future__ import annotations

import ast
import copy
import functools
import itertools
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from swegym.grading import bindings, expectations
from swegym.grading.bindings import Function, Scope
from swegym.grading.changes import FINE, OFFSETS, STEPS, Words, changed, places, steps_for, words_of
from swegym.grading.expectations import Site

SHOWN = 3  # and how many stand beside the test at once
SPOTS = 3  # in how many spots copies differ
DRAWN = 3  # sites of one test that twins are made at: so many that cannot be asked, and so many others
_FEW = 4  # twins of each where there are several
Rows = Mapping[str, Sequence[Mapping[int, int]]]
_PINNING = ("assert_called_with", "assert_called_once_with")  # a mock's, of one value only
_OTHER_EXCEPTIONS = ("ZeroDivisionError", "BufferError", "EOFError", "RecursionError", "ReferenceError", "MemoryError")
_OTHER_WARNINGS = (
    *("SyntaxWarning", "ImportWarning", "BytesWarning", "UnicodeWarning", "ResourceWarning"),
    "PendingDeprecationWarning",
)


def twinned_sites(
    tree: ast.Module, function: Function, is_asked: Callable[[Site, Scope], bool], first: Collection[int] = ()
) -> list[tuple[Site, list[int]]]:
    """The sites of a test to make twins at, with their steps: some that cannot be asked, and some of the others.

    Drawn, so that nobody knows which they are; of the others those with the most twins come first. What a call is told
    need not be what the test expects, so there are several; those whose numbers are in `first` come first.
    """
    source = random.SystemRandom()
    scope = Scope(tree, function)
    found = [(site, steps_of(tree, function, site)) for site in expectations.sites(tree, function)]
    found = [(site, steps) for site, steps in found if steps]
    unasked = sorted(
        (pair for pair in found if not is_asked(pair[0], scope)),
        key=lambda pair: (pair[0].number not in first, source.random()),
    )
    asked = sorted(
        (pair for pair in found if is_asked(pair[0], scope)), key=lambda pair: (-len(pair[1]), source.random())
    )
    drawn = [*unasked[:DRAWN], *asked[:DRAWN]]
    several = sum(not site.is_end for site, _ in drawn) > 1
    return [(site, [0, *(steps[:_FEW] if several else steps)]) for site, steps in drawn]


def steps_of(tree: ast.Module, function: Function, site: Site) -> list[int]:
    """The numbers of the twins that can be made at a site."""
    if site.form == "truth" and site.expected is None:
        return [1] if site.remake is not None else []
    if site.form in ("raises", "warns"):
        return list(range(1, STEPS + 1)) if isinstance(site.asked, ast.Call) and site.asked.args else []
    if site.remake is None or site.expected is None:
        return []
    scope = Scope(tree, function)
    if not _contradicted(site, scope):
        return [1]
    value = _value(site.expected, scope)
    if value is None:
        assert isinstance(site.expected, ast.Name)
        cells = [] if _is_input(site.expected.id, tree, function) else _cells(site.expected, scope)
        return steps_for(cells, _words(tree, site))
    if site.form == "equal" and isinstance(value, ast.Constant) and value.value is None:
        return []  # nothing becomes None, so the copy that says it is the test; a seal does not say it
    return steps_for([value], _words(tree, site))


def variant(
    tree: ast.Module,
    function: Function,
    steps: Mapping[int, int],
    name: str,
    *,
    alone: bool = False,
    rows: Rows | None = None,
) -> Function:
    """A copy of a test under another name, with the expectations of sites changed by steps; 0 leaves one as it is.

    Steps of one site change the same spot, so that none of them stands out, the test included. With `alone`, a changed
    call decides by itself: the twin fails if that call does not hold, and nothing after it counts. `rows`: see `Copy`.
    """
    other = copy.deepcopy(function)
    other.name = name
    scope = Scope(tree, other)
    columns: dict[str, tuple[int, Words]] = {}

    def statement(site: Site) -> ast.stmt | None:
        if site.number not in steps or site.remake is None:
            return None
        step = steps[site.number]
        if site.form == "truth" and site.expected is None:
            return site.remake(ast.Constant(step == 0))
        assert site.expected is not None
        if not _contradicted(site, scope):
            return expectations.claim(site, step == 0)
        value = _value(site.expected, scope)
        if value is None:
            column = site.expected.id  # type: ignore[attr-defined]  # of a table: changed there
            known, _ = columns.get(column, (0, ()))
            columns[column] = known or step, _words(tree, site)
        made = site.remake(site.expected if value is None else _stepped(value, step, _words(tree, site)))
        return _alone(made) if alone and step and site.form == "call" else made

    def raising(site: Site) -> ast.expr | None:
        step = steps.get(site.number, 0)
        if step == 0:
            return None
        call = copy.deepcopy(site.asked)
        assert isinstance(call, ast.Call)
        others = _OTHER_WARNINGS if site.form == "warns" else _OTHER_EXCEPTIONS
        call.args[0] = ast.Name(others[step - 1], ast.Load())
        return call

    expectations.rewrite(tree, other, statement, raising)
    for table in bindings.tables(other):
        for column in columns.keys() & set(table.names):
            for row, (cells, index) in enumerate(table.cells(column) or ()):
                step, words = columns[column]
                own = rows[column][row][step] if rows and column in rows else step
                cells[index] = _stepped(cells[index], own, words)
    return other


@dataclass(frozen=True, slots=True)
class Copy:
    """A test or one of its twins.

    Where a column of a parametrised test is changed, each row has steps of its own for those of the copy (`rows`), so
    that knowing one row, which was right before the fix, does not tell which copy is the test in the next.
    """

    steps: Mapping[int, int]
    columns: Mapping[int, str]  # site -> the column in `rows` that it is changed in
    rows: Rows

    def is_test(self, parameters: str) -> bool:
        """Whether nothing is changed in the row that a key names ("x=1,wanted=1", or "")."""
        places = dict(part.split("=") for part in parameters.split(",") if part)
        return not any(
            self.rows[self.columns[site]][int(places[self.columns[site]])][step] if site in self.columns else step
            for site, step in self.steps.items()
        )


def copies(
    tree: ast.Module, function: Function, sites: Mapping[int, Sequence[int]], source: random.Random
) -> list[Copy]:
    """A test and its twins at some sites, in an order that tells nothing."""
    order = shuffled(sites, source)
    tables = bindings.tables(function)
    names = [name for table in tables for name in table.names]
    given = {name for decorator in function.decorator_list for name in bindings.parametrised(decorator)}
    found = [site for site in expectations.sites(tree, function) if site.number in sites]
    expected = {site.number: site.expected.id for site in found if isinstance(site.expected, ast.Name)}
    columns = {
        number: name
        for number, name in expected.items()
        if name in given and names.count(name) == 1 and list(expected.values()).count(name) == 1
    }
    rows = {}
    for number, name in columns.items():
        values = sorted({steps[number] for steps in order})
        table = next(table for table in tables if name in table.names)
        rows[name] = [dict(zip(values, source.sample(values, len(values)), strict=True)) for _ in table.rows]
    return [Copy(steps, columns, rows) for steps in order]


def _contradicted(site: Site, scope: Scope) -> bool:
    """Whether no right answer agrees with another expected value, too.

    One may be above two bounds, unlike two values, or in two tables. A text seldom holds two; it begins with one only.
    """
    if site.form != "compare" or site.operator == "contains":
        return True
    if site.expected is None or site.operator not in ("startswith", "endswith"):
        return False
    value = _value(site.expected, scope)
    texts = _cells(site.expected, scope) if value is None else [value]
    return all(isinstance(text, ast.Constant) and isinstance(text.value, str) and places(text.value) for text in texts)


def _is_input(name: str, tree: ast.Module, function: Function) -> bool:
    """Whether a column is given to the code as well as expected: another value is then another question."""
    inner = [node for statement in function.body for node in ast.walk(statement)]
    messages = [node for one in inner if isinstance(one, ast.Assert) and one.msg for node in ast.walk(one.msg)]
    expected = [site.expected for site in expectations.sites(tree, function)]
    loads, said, sites = (
        sum(isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load) for node in nodes)
        for nodes in (inner, messages, expected)
    )
    return loads - said > sites


def _alone(call: ast.stmt) -> ast.stmt:
    """A call that may fail an assertion, and after which the test is over, whatever else it does."""
    failed = ast.ExceptHandler(ast.Name("AssertionError", ast.Load()), None, [ast.Raise(None, None)])
    other = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Return(None)])
    return ast.Try([call], [failed, other], [ast.Return(None)], [])


def shuffled(sites: Mapping[int, Sequence[int]], source: random.Random) -> list[dict[int, int]]:
    """The test (all steps are 0) and its twins in an order that tells nothing, as steps by site."""
    if len(sites) == 1:
        each = [[0, *window(steps, source)] for steps in sites.values()]
    else:
        each = [[0, *steps] for steps in sites.values()]
    order = [dict(zip(sites, steps, strict=True)) for steps in itertools.product(*each)]
    source.shuffle(order)
    return order


def window(steps: Sequence[int], source: random.Random) -> list[int]:
    """Neighbours of the test among its twins, from anywhere below it to anywhere above it.

    With all of them the test would be the one in the middle, which code that reads the file finds.
    """
    finer = [step for step in steps if step >= FINE]
    most = SHOWN - 1 if finer else SHOWN
    below = source.randint(0, most)
    near = [step for step in steps if step < FINE and -below <= OFFSETS[step - 1] <= most - below]
    near += [step for step in finer if step - FINE in (0, *near)]
    return near or [*steps[:1]]


def _stepped(node: ast.expr, step: int, words: Words) -> ast.expr:
    return copy.deepcopy(node) if step == 0 else changed(node, step, words) or copy.deepcopy(node)


def _words(tree: ast.Module, site: Site) -> Words:
    """The words that may stand for others: none where an answer need only hold the right one, or may be an input."""
    call = site.remake.args[0] if site.form == "call" and isinstance(site.remake, functools.partial) else None
    pinned = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _PINNING
    return words_of(tree) if site.form == "equal" or pinned else ()


def _value(node: ast.expr, scope: Scope) -> ast.expr | None:
    """The expression that an expectation comes from; None for a column of a table."""
    if not isinstance(node, ast.Name):
        return node
    if node.id in scope.locals:
        return scope.locals[node.id].value
    if any(node.id in table.names for table in scope.tables):
        return None
    return scope.module.get(node.id, node)


def _cells(node: ast.expr, scope: Scope) -> list[ast.expr]:
    found = []
    for table in scope.tables:
        if isinstance(node, ast.Name) and node.id in table.names:
            found += [cells[index] for cells, index in table.cells(node.id) or ()]
    return found


def pairs(tree: ast.Module, wanted: frozenset[str]) -> Iterator[tuple[str, Function, list[ast.stmt]]]:
    """(name, test, the body that it stands in) of the wanted tests."""

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Function, list[ast.stmt]]]:
        for node in list(body):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and prefix + node.name in wanted:
                yield prefix + node.name, node, body
            elif isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{prefix}{node.name}::")

    yield from walk(tree.body, "")
