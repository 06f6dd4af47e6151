"""What a test file binds to names, and what of it can be read without the code under test.

An expression is *pure* when it needs only literals, builtins that make plain values, a few modules of the standard
library, and pure names: bound once, to a pure expression, or to a column of a literal table.
"""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef

_BUILTINS = frozenset(
    {"list", "tuple", "dict", "set", "frozenset", "str", "bytes", "bytearray", "int", "float", "bool", "complex"}
    | {"range", "len", "sorted", "reversed", "min", "max", "sum", "abs", "round", "zip", "chr", "ord", "repr"}
)


_BY_NAME = frozenset({"locals", "vars", "eval", "exec"})  # what reads a test's names by their texts
_NAMING = ("name", "asname", "rest")  # fields of statements and patterns that bind a name without an ast.Name

_FILLING = frozenset({"append", "extend", "insert", "add", "update", "setdefault", "appendleft", "__setitem__"})
_FILLING |= {"remove", "discard", "pop", "popitem", "clear", "sort", "reverse"}
_MAY_SWALLOW = ("rais", "warn", "suppress", "subtest", "expect")  # in the name of a context that takes exceptions

_MOCKS = ("mock", "unittest.mock")
_LIBRARY = frozenset({"datetime", "decimal", "fractions", "collections", "textwrap", "math", "string", "itertools"})


@dataclass(frozen=True, slots=True)
class Table:
    """A literal table whose columns are bound to names: rows of a parametrisation, or of a loop."""

    names: tuple[str, ...]
    rows: list[ast.expr]

    def cells(self, name: str) -> list[tuple[list[ast.expr], int]] | None:
        """Where the cells of a column lie, as (list, index); None when a row has another shape."""
        if len(self.names) == 1:
            return [
                (row.args, 0) if isinstance(row, ast.Call) and _is_param(row) and row.args else (self.rows, index)
                for index, row in enumerate(self.rows)
            ]
        places = []
        for row in self.rows:
            cells = row.elts if isinstance(row, ast.Tuple | ast.List) else None
            cells = row.args if isinstance(row, ast.Call) and _is_param(row) else cells
            if cells is None or len(cells) != len(self.names):
                return None
            places.append((cells, self.names.index(name)))
        return places


def _is_param(node: ast.expr) -> bool:
    """`pytest.param(...)`"""
    return isinstance(node, ast.Call) and (
        (isinstance(node.func, ast.Attribute) and node.func.attr == "param")
        or (isinstance(node.func, ast.Name) and node.func.id == "param")
    )


def module_constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that a module binds once, at its top, to something that is read without the code under test."""
    bound: dict[str, list[ast.expr | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.setdefault(node.id, []).append(None)
    found: dict[str, ast.expr] = {}
    library, filled = library_names(tree), _filled(tree)
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name not in filled and len(bound.get(name, [])) == 1 and is_pure(node.value, frozenset(found) | library):
                found[name] = node.value
    return found


def _filled(tree: ast.Module) -> frozenset[str]:
    """Names of what is changed in place: it holds other things than it was bound to."""
    changed: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FILLING:
            changed.append(node.func.value)
        elif isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            changed.append(node.value)
    return frozenset(node.id for node in changed if isinstance(node, ast.Name))


def library_names(tree: ast.Module) -> frozenset[str]:
    """Names that the file imports from those modules of the standard library whose values are plain.

    Of mocks these are the calls that a test compares with (`call(1)`, `mock.call(1)`).
    """
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name for alias in node.names if alias.name in _LIBRARY}
            names |= {f"{alias.asname or alias.name}.call" for alias in node.names if alias.name in _MOCKS}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            called = {alias.name: alias.asname or alias.name for alias in node.names}
            names |= set(called.values()) if node.module in _LIBRARY else set()
            if node.module in _MOCKS and "call" in called:
                names.add(called["call"])
            if node.module == "unittest" and "mock" in called:
                names.add(f"{called['mock']}.call")
    return frozenset(names)


def tables(function: Function) -> list[Table]:
    """The literal tables of a test: its parametrisations and its loops."""
    found = []
    for decorator in function.decorator_list:
        if names := parametrised(decorator):
            rows = decorator.args[1]  # type: ignore[attr-defined]
            if isinstance(rows, ast.List | ast.Tuple):
                found.append(Table(names, rows.elts))
    for node in ast.walk(function):
        if isinstance(node, ast.For) and isinstance(node.iter, ast.List | ast.Tuple):
            target = node.target
            if isinstance(target, ast.Name):
                found.append(Table((target.id,), node.iter.elts))
            elif isinstance(target, ast.Tuple) and all(isinstance(name, ast.Name) for name in target.elts):
                found.append(
                    Table(tuple(name.id for name in target.elts if isinstance(name, ast.Name)), node.iter.elts)
                )
    return found


def parametrised(decorator: ast.expr) -> tuple[str, ...]:
    """The names that `@pytest.mark.parametrize(names, rows)` binds; () for every other decorator."""
    if not (isinstance(decorator, ast.Call) and len(decorator.args) >= 2):
        return ()
    if not (isinstance(decorator.func, ast.Attribute) and decorator.func.attr == "parametrize"):
        return ()
    names = decorator.args[0]
    if isinstance(names, ast.Constant) and isinstance(names.value, str):
        return tuple(name.strip() for name in names.value.split(",") if name.strip())
    if isinstance(names, ast.List | ast.Tuple):
        texts = [name.value for name in names.elts if isinstance(name, ast.Constant) and isinstance(name.value, str)]
        return tuple(texts) if len(texts) == len(names.elts) else ()
    return ()


def is_pure(node: ast.expr, names: frozenset[str]) -> bool:
    """Whether an expression can be read without the code under test; `names` can."""
    calls = {
        id(inner.value)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute) and inner.attr == "call" and ast.unparse(inner) in names
    }
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load) and id(inner) not in calls:
            if inner.id not in names and inner.id not in _BUILTINS and not _bound_inside(node, inner.id):
                return False
        elif isinstance(inner, ast.Await | ast.Yield | ast.YieldFrom | ast.Lambda | ast.NamedExpr):
            return False
    return True


def _bound_inside(node: ast.expr, name: str) -> bool:
    """A variable of a comprehension."""
    return any(
        isinstance(inner, ast.Name) and inner.id == name and isinstance(inner.ctx, ast.Store)
        for inner in ast.walk(node)
    )


@functools.lru_cache(maxsize=8)
def _module_facts(tree: ast.Module) -> tuple[dict[str, ast.expr], frozenset[str]]:
    """Constants and library names of a tree, as they were when it was first looked at."""
    return module_constants(tree), library_names(tree)


class Scope:
    """The pure names of one test, and what they are bound to."""

    def __init__(self, tree: ast.Module, function: Function) -> None:
        self.module, library = _module_facts(tree)
        self.tables = tables(function)
        outside = frozenset(self.module) | library
        stores = [
            node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
        arguments = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
        pure = set(outside) - set(stores) - arguments
        columns = {name for table in self.tables for name in table.names}
        for name in columns:
            loops = sum(name in table.names for table in self.tables)
            cells = [table.cells(name) for table in self.tables if name in table.names]
            allowed = stores.count(name) + (name in arguments) == loops
            if allowed and all(
                found is not None and all(is_pure(at[index], outside) for at, index in found) for found in cells
            ):
                pure.add(name)
        self.locals: dict[str, ast.Assign] = {}
        self.aliases: dict[str, ast.expr] = {}  # other names, bound once, for what has one: a class, a tuple of such
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if stores.count(name) != 1 or name in arguments:
                    continue
                if is_pure(node.value, frozenset(pure)):
                    pure.add(name)
                    self.locals[name] = node
                elif isinstance(node.value, ast.Name | ast.Attribute | ast.Tuple):
                    self.aliases[name] = node.value
        self.pure = frozenset(pure)
        self.own = frozenset({*self.locals, *columns})  # names that the test itself binds


def name_rebindings(function: Function) -> None:
    """Give each binding of a name that a test's own body binds one after the other a name of its own, in place.

    `wanted = ["a"]` and then `wanted = ", ".join(wanted)` are two values, each bound once; so they are in a block with
    a context that is gone through. Names that are bound in any other way, or seen by an inner function, stay as they
    are.
    """
    lines = list(_in_order(function.body))
    own = [statement.targets for statement in lines if isinstance(statement, ast.Assign)]
    bound = Counter(targets[0].id for targets in own if len(targets) == 1 and isinstance(targets[0], ast.Name))
    again = {name for name, count in bound.items() if count > 1}
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)] if again else []
    if not again or _BY_NAME & {node.id for node in names}:
        return
    stored = Counter(node.id for node in names if not isinstance(node.ctx, ast.Load))
    excluded = {argument.arg for argument in ast.walk(function) if isinstance(argument, ast.arg)}
    for node in ast.walk(function):
        excluded |= {text for field in _NAMING if isinstance(text := getattr(node, field, None), str)}
        if isinstance(node, ast.Global | ast.Nonlocal):
            excluded |= set(node.names)
        elif isinstance(node, Function | ast.Lambda) and node is not function:
            excluded |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    again = {name for name in again - excluded if stored[name] == bound[name]}
    again -= {node.id.rpartition("_")[0] for node in names}  # a number behind it may be taken
    counts: Counter[str] = Counter()
    for line in lines:
        target = line.targets[0] if isinstance(line, ast.Assign) else None
        for node in ast.walk(line):
            if isinstance(node, ast.Name) and node is not target and counts[node.id] > 1:
                node.id = f"{node.id}_{counts[node.id]}"
        if isinstance(target, ast.Name) and target.id in again:
            counts[target.id] += 1
            if counts[target.id] > 1:
                target.id = f"{target.id}_{counts[target.id]}"


def _in_order(body: list[ast.stmt]) -> Iterator[ast.stmt | ast.withitem]:
    """The statements that a body goes through one after the other, those of its blocks with a context among them."""
    for statement in body:
        if isinstance(statement, ast.With | ast.AsyncWith) and not any(map(_may_swallow, statement.items)):
            yield from statement.items
            yield from _in_order(statement.body)
        else:
            yield statement


def _may_swallow(item: ast.withitem) -> bool:
    """Whether a context may end its block early, with what comes after it carried out all the same."""
    context = item.context_expr
    name = ast.unparse(context.func if isinstance(context, ast.Call) else context).lower()
    return any(part in name for part in _MAY_SWALLOW)
