"""Sealed expectations: the expected side of a test never enters the sandbox; the code under test is asked instead.

`assert f(1) == 3` becomes `ask(0, f(1))`, and what it was compared with, with every literal that served nothing else,
leaves the file. The answers are compared outside. It proves that the code gives the right answers to what was asked,
whatever it does to the interpreter: what is right cannot be read, nor be claimed by equality, in there. It proves
nothing of assertions that stay in the file, and an answer of one bit (`assert f(x)`) can be guessed.
"""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from swegym.grading import awaited, bindings, blocks, expectations
from swegym.grading.bindings import Function, Scope
from swegym.grading.blocks import ASK, RAISES, WARNS
from swegym.grading.expectations import Site
from swegym.grading.plain_values import COMPARED
from swegym.grading.steady import ids, steady_ids

_MODULE = "_swegym_questions"
# A process that code under test starts may import the file for a function of it, and cannot ask.
_IMPORT = f"""
try:
    from {_MODULE} import ask as {ASK}, raises as {RAISES}, warns as {WARNS}
except ImportError:
    pass
"""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A test file without its expectations. `checks`: test name -> site number -> how its answers are compared."""

    tree: ast.Module
    checks: Mapping[str, Mapping[int, dict[str, Any]]]


def seal(
    tree: ast.Module,
    wanted: Collection[str],
    allowed: Mapping[str, Collection[int]] | None = None,
    kept: Collection[str] = (),
) -> Sealed:
    """Seal the tests `wanted` ("Class::test") in a tree of `expectations.parse`, in place; other tests leave the file.

    `allowed` limits the sites by number; what is not allowed stays as it is. `kept` are names that other files use.
    """
    checks: dict[str, dict[int, dict[str, Any]]] = {}
    for name, function in list(expectations.test_functions(tree)):
        if _is_wanted(name, wanted):
            checks[name] = seal_function(tree, function, None if allowed is None else allowed.get(name, ()))
    only(tree, {*wanted, *kept})
    return Sealed(tree, checks)


def finished(tree: ast.Module, kept: Collection[str] = ()) -> bytes:
    """The source of a sealed tree, with its import of what asks, and without constants that nothing uses any more.

    `kept` are names that other files use, "*" for all.
    """
    drop_constants(tree, kept)
    place = 0
    for index, node in enumerate(tree.body):
        documents = index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if documents or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            place = index + 1
    tree.body[place:place] = ast.parse(_IMPORT).body
    return ast.unparse(tree).encode("utf-8", "surrogateescape") + b"\n"


def _is_wanted(name: str, wanted: Collection[str]) -> bool:
    """By its last part: a test may be inherited from a class of another name."""
    return name.rpartition("::")[2] in {other.rpartition("::")[2] for other in wanted}


def seal_function(tree: ast.Module, function: Function, allowed: Collection[int] | None) -> dict[int, dict[str, Any]]:
    """Seal one test in place; returns the checks of its sites."""
    checks: dict[int, dict[str, Any]] = {}
    scope = Scope(tree, function)
    steady = steady_ids(function, scope.pure)
    awaited_names: set[str] = set()  # of what says which exception is expected

    def statement(site: Site) -> ast.stmt | None:
        check = _check(site, scope)
        if check is None or site.asked is None or (allowed is not None and site.number not in allowed):
            return None
        checks[site.number] = {**check, "steady": not steady.isdisjoint(ids(site.asked))}
        asked = site.asked
        if site.form == "truth":
            asked = ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), asked))
        return ast.Expr(_call(ASK, site.number, [asked]))

    def raising(site: Site) -> ast.expr | None:
        check = _awaiting_check(site, scope)
        if check is None or (allowed is not None and site.number not in allowed):
            return None
        checks[site.number] = check
        call = site.asked
        assert isinstance(call, ast.Call)
        awaited_names.update(node.id for node in ast.walk(call) if isinstance(node, ast.Name))
        if site.form == "warns":
            return _call(WARNS, site.number, [])
        keywords = [keyword for keyword in call.keywords if keyword.arg not in ("match", "message", "msg")]
        skipped = 2 if "Regex" in expectations.called(call) else 1
        return _call(RAISES, site.number, call.args[skipped:], keywords)

    expectations.rewrite(tree, function, statement, raising)
    if checks:
        if len(function.body) > 1 and ast.get_docstring(function) is not None:
            del function.body[0]  # it may say what is expected
        _drop_unused(function, scope, awaited_names)
        for number, lines in blocks.make_alike(function).items():
            if checks[number]["form"] == "raises":
                checks[number]["before"] = lines
        ast.fix_missing_locations(function)
    return checks


def is_sealable(site: Site, scope: Scope) -> bool:
    """Whether a site can be asked, as far as its source tells."""
    if site.form in ("raises", "warns"):
        return _awaiting_check(site, scope) is not None
    return site.asked is not None and _check(site, scope) is not None


def inner_sites(tree: ast.Module, function: Function) -> set[int]:
    """The sites of functions inside of a test."""
    inside = [node for node in ast.walk(function) if isinstance(node, Function) and node is not function]
    inner = {place for node in inside for place in ids(node)}
    parts = [(site.number, part) for site in expectations.sites(tree, function) for part in (site.asked, site.expected)]
    return {number for number, part in parts if part is not None and not inner.isdisjoint(ids(part))}


def _call(name: str, number: int, arguments: list[ast.expr], keywords: list[ast.keyword] | None = None) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), [ast.Constant(number), *arguments], keywords or [])


def _check(site: Site, scope: Scope) -> dict[str, Any] | None:
    """How the answers of a site are compared; None where that takes more than the answers."""
    if site.form == "compare":
        if site.operator not in COMPARED or site.expected is None:
            return None
        literal = literal_of(site.expected, scope)
        return None if literal is None else {"form": "compare", "operator": site.operator, "literal": literal}
    if site.form == "near" and site.expected is not None and (literal := literal_of(site.expected, scope)) is not None:
        return {"form": "near", "operator": site.operator, "literal": literal}
    return {"form": site.form, "operator": site.operator}


def literal_of(node: ast.expr, scope: Scope) -> str | None:
    """The value of a literal, or of a name that is bound to one, as plain JSON; None for anything else."""
    if isinstance(node, ast.Name):
        local = scope.locals.get(node.id)
        value = local.value if local is not None else scope.module.get(node.id)
        return None if value is None else literal_of(value, scope)
    try:
        return json.dumps(_encoded(ast.literal_eval(node)))
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None


def _encoded(value: Any) -> Any:
    if value is None:
        return ["none", None]
    kind = type(value)
    if kind in (bool, int):
        return [kind.__name__, str(int(value))]
    if kind is float:
        return ["float", repr(value)]
    if kind is str:
        return ["str", value]
    if kind is bytes:
        return ["bytes", base64.b64encode(value).decode()]
    if kind is dict:
        return ["dict", [(_encoded(key), _encoded(item)) for key, item in value.items()]]
    if kind in (list, tuple, set):
        return [kind.__name__, [_encoded(item) for item in value]]
    raise ValueError(f"no plain value: {kind.__name__}")


def _awaiting_check(site: Site, scope: Scope) -> dict[str, Any] | None:
    """How exceptions or warnings are compared; None for warnings that the test looks at itself."""
    call = site.asked
    if not isinstance(call, ast.Call) or site.expected is None:
        return None
    if site.form == "warns" and (site.named or len(call.args) > (2 if "Regex" in expectations.called(call) else 1)):
        return None
    return awaited.check_of(call, site.expected, site.form, scope)


def only(tree: ast.Module, wanted: Collection[str]) -> None:
    """Take the other tests out of a file: what they hold is nobody's business."""
    names = {name.rpartition("::")[2] for name in wanted}
    used = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name)
    }

    def kept(body: list[ast.stmt]) -> list[ast.stmt]:
        found = []
        for node in body:
            if isinstance(node, ast.ClassDef):
                node.body = kept(node.body) or [ast.Pass()]
            elif (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name.startswith("test")
                and node.name not in names | used
                and not any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)
            ):
                continue
            found.append(node)
        return found

    tree.body = kept(tree.body)


def _drop_unused(function: Function, scope: Scope, awaited_names: Collection[str]) -> None:
    """What only an expectation needed leaves the test: local values, columns of tables, names of parameter sets."""
    while True:
        loaded = _loaded(function.body)
        unused = {name for name in (*scope.locals, *scope.aliases) if name not in loaded}
        if not unused:
            break
        _Drop(unused).visit(function)
        for name in unused:
            scope.locals.pop(name, None)
            scope.aliases.pop(name, None)
    loaded = _loaded(function.body)
    for table in bindings.tables(function):
        for name in table.names:
            if (name in scope.pure or name in awaited_names) and name not in loaded:
                for cells, index in table.cells(name) or ():
                    cells[index] = ast.Constant(None)
    for decorator in function.decorator_list:
        if bindings.parametrised(decorator):
            assert isinstance(decorator, ast.Call)
            decorator.keywords = [keyword for keyword in decorator.keywords if keyword.arg != "ids"]
            for node in ast.walk(decorator):
                if isinstance(node, ast.Call):
                    node.keywords = [keyword for keyword in node.keywords if keyword.arg != "id"]


def _loaded(body: list[ast.stmt]) -> set[str]:
    nodes = [inner for node in body for inner in ast.walk(node)]
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def drop_constants(tree: ast.Module, kept: Collection[str] = ()) -> None:
    """Take the constants that nothing uses out of a file, in place; `kept` are names that others use, "*" for all."""
    while "*" not in kept:
        loaded = _loaded(tree.body)
        exported = {name.value for name in ast.walk(tree) if isinstance(name, ast.Constant)}
        unused = {name for name in bindings.module_constants(tree) if name not in loaded and name not in exported}
        unused = {name for name in unused if not name.startswith(("__", "pytest")) and name not in kept}
        if not unused:
            return
        _Drop(unused).visit(tree)


class _Drop(ast.NodeTransformer):
    """Removes assignments to single names."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        target = node.targets[0]
        if len(node.targets) == 1 and isinstance(target, ast.Name) and target.id in self._names:
            return ast.copy_location(ast.Pass(), node)
        return node
