"""Tests that a class inherits from hidden files become its own, so that they can be asked like any other.

What such a test needs of another file goes along: its imports, and constants that can be read; anything else is
imported from there. A test whose needs cannot be told, or that calls `super()`, stays where it is, and is not asked.
"""

from __future__ import annotations

import ast
import builtins
import copy
import functools
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast

from swegym.grading import bindings, expectations, helpers, hidden_imports
from swegym.grading.bindings import Function
from swegym.types import Task

_FINAL = ("TestCase", "IsolatedAsyncioTestCase", "object")  # bases that hold no tests
_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class _Source:
    """A hidden file that is imported, and the words of a `from` statement that imports from it."""

    path: str
    module: str | None
    level: int


@dataclass(frozen=True, slots=True)
class _Adopted:
    tree: bytes  # pickled
    source: bytes  # of it
    lenders: frozenset[str]


def tree_of(task: Task, path: str) -> ast.Module | None:
    """A hidden test file as `expectations.parse` reads it and the tests of others its own; None if it is no Python."""
    known = _known(task, path)
    return None if known is None else cast(ast.Module, pickle.loads(known.tree))


def source_of(task: Task, path: str) -> bytes:
    """The source of `tree_of`."""
    known = _known(task, path)
    return task.hidden.files[path] if known is None else known.source


def lenders(task: Task, paths: list[str]) -> frozenset[str]:
    """The hidden files whose tests or constants have become those of `paths`."""
    found = [known.lenders for path in paths if (known := _known(task, path)) is not None]
    return frozenset().union(*found)


def _known(task: Task, path: str) -> _Adopted | None:
    files = tuple((name, data) for name, data in task.hidden.files.items() if name.endswith(".py"))
    ids = {test.split("[")[0] for test in task.hidden.expected if test.startswith(f"{path}::")}
    return _adopted(path, files, frozenset(test.rpartition("::")[2] for test in ids), task.tests.pythonpath)


@functools.lru_cache(maxsize=256)
def _adopted(
    path: str, files: tuple[tuple[str, bytes], ...], wanted: frozenset[str], folders: tuple[str, ...]
) -> _Adopted | None:
    hidden = dict(files)
    source, lenders_of_constants = hidden_imports.with_constants(path, hidden, folders)
    tree = expectations.parse(source)
    if tree is None:
        return None
    lent = set(lenders_of_constants)
    imported = dict(_imports(tree, path, hidden, folders))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for owner in classes.values():
        taken = set(_bound(owner.body))
        for base in owner.bases:
            name = ast.unparse(base)
            if name.rpartition(".")[2] in _FINAL:
                continue
            if name in classes:
                above = _names_of(classes[name], classes)
                for test in _methods(classes[name], classes, (owner.name,)):
                    if test.name in wanted and test.name not in taken and _means_the_same(test, above):
                        owner.body.append(copy.deepcopy(test))
                taken |= above
                continue
            where, inner = imported.get(name), name
            if where is None:
                module, _, inner = name.rpartition(".")
                where = imported.get(module)
            else:
                inner = _original(tree, name)
            if where is None:
                break  # it may define tests that come before those of the next base
            for test, needs in _tests(hidden[where.path], inner, where, path):
                if test.name in wanted and test.name not in taken and _add(tree, owner, test, needs):
                    lent.add(where.path)
                taken.add(test.name)
    helpers.write_out(tree, path, hidden, folders, (test for _, test in expectations.test_functions(tree)))
    if lent:
        source = ast.unparse(tree).encode("utf-8", "surrogateescape") + b"\n"
    return _Adopted(pickle.dumps(tree), source, frozenset(lent))


def _means_the_same(test: Function, names: set[str]) -> bool:
    """Whether a test of a class is the same in one below it; `names` are those of the class's own body."""
    header = [*test.decorator_list, test.args, *([test.returns] if test.returns else [])]
    used = {node.id for part in header for node in ast.walk(part) if isinstance(node, ast.Name)}
    return used.isdisjoint(names) and not _is_bound_to_its_class(test)


def _is_bound_to_its_class(test: Function) -> bool:
    attributes = {node.attr for node in ast.walk(test) if isinstance(node, ast.Attribute)}
    private = any(name.startswith("__") and not name.endswith("__") for name in attributes)
    return private or not {"super", "__class__"}.isdisjoint(_free(test))


def _names_of(owner: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> set[str]:
    names = set(_bound(owner.body))
    for base in owner.bases:
        inner = classes.get(ast.unparse(base))
        if inner is not None and inner is not owner:
            names |= _names_of(inner, classes)
    return names


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """The names that statements bind right there."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (_called(alias, node) for alias in node.names)


def _called(alias: ast.alias, node: ast.Import | ast.ImportFrom) -> str:
    return alias.asname or (alias.name.split(".")[0] if isinstance(node, ast.Import) else alias.name)


# --- where from -------------------------------------------------------------------------------------------------------


def _imports(
    tree: ast.Module, path: str, files: Mapping[str, bytes], folders: tuple[str, ...]
) -> Iterator[tuple[str, _Source]]:
    """What a file imports of other hidden files: names, and modules, as the file writes them."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            place = hidden_imports.file_of(node.module, node.level, path, files, folders)
            for alias in node.names:
                if alias.name == "*" and place is not None:
                    other = expectations.parse(files[place])
                    for name in _bound(other.body) if other else ():
                        yield name, _Source(place, node.module, node.level)
                    continue
                inner = ".".join(part for part in (node.module, alias.name) if part)
                called = alias.asname or alias.name
                if (module := hidden_imports.file_of(inner, node.level, path, files, folders)) is not None:
                    yield called, _Source(module, inner, node.level)
                elif place is not None:
                    yield called, _Source(place, node.module, node.level)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if (place := hidden_imports.file_of(alias.name, 0, path, files, folders)) is not None:
                    yield alias.asname or alias.name, _Source(place, alias.name, 0)


def _original(tree: ast.Module, name: str) -> str:
    """What an imported name is called in its own file."""
    for node in tree.body:
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            if (alias.asname or alias.name) == name:
                return alias.name
    return name


# --- what a test needs ------------------------------------------------------------------------------------------------


def _tests(source: bytes, name: str, where: _Source, path: str) -> list[tuple[Function, dict[str, ast.stmt]]]:
    """The tests of a class, those of its bases in the same file among them, each with the statements that it needs.

    Those that cannot be taken out of there are left out.
    """
    tree = expectations.parse(source)
    if tree is None:
        return []
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    constants = bindings.module_constants(tree)
    top: dict[str, ast.stmt] = {}
    for node in tree.body:
        for bound in _bound([node]):
            if bound in constants:
                top[bound] = ast.Assign([ast.Name(bound, ast.Store())], constants[bound], lineno=0)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                alias = next(alias for alias in node.names if _called(alias, node) == bound)
                near = PurePosixPath(where.path).parent == PurePosixPath(path).parent
                if isinstance(node, ast.Import):
                    top[bound] = ast.Import([alias])
                elif not node.level or near:
                    top[bound] = ast.ImportFrom(node.module, [alias], node.level)
            else:
                top[bound] = ast.ImportFrom(where.module, [ast.alias(bound)], where.level)
    return [
        (test, needs)
        for test in _methods(classes.get(name), classes, ())
        if (needs := _needs(test, top, constants)) is not None
    ]


def _methods(
    owner: ast.ClassDef | None, classes: Mapping[str, ast.ClassDef], below: tuple[str, ...]
) -> Iterator[Function]:
    if owner is None or owner.name in below:
        return
    own = {
        node.name: node
        for node in owner.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    }
    yield from own.values()
    taken = set(_bound(owner.body))
    for base in owner.bases:
        for test in _methods(classes.get(ast.unparse(base)), classes, (*below, owner.name)):
            if test.name not in taken:
                taken.add(test.name)
                yield test


def _needs(
    test: Function, top: Mapping[str, ast.stmt], constants: Mapping[str, ast.expr]
) -> dict[str, ast.stmt] | None:
    """Name -> statement that binds it, in order; None where that cannot be told."""
    if _is_bound_to_its_class(test):
        return None  # means another thing in another class
    needs: dict[str, ast.stmt] = {}

    def add(node: ast.AST) -> bool:
        for name in _free(node):
            if name in needs or (name in _BUILTINS and name not in top):
                continue
            if name not in top:
                return False
            if name in constants and not add(constants[name]):
                return False
            needs[name] = top[name]
        return True

    return needs if add(test) else None


def _free(node: ast.AST) -> list[str]:
    """The names that code reads and does not bind."""
    names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    bound = {inner.id for inner in names if not isinstance(inner.ctx, ast.Load)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.arg):
            bound.add(inner.arg)
        elif isinstance(inner, ast.ExceptHandler) and inner.name:
            bound.add(inner.name)
        elif isinstance(inner, ast.stmt):
            bound |= set(_bound([inner]))
    return list(dict.fromkeys(name.id for name in names if name.id not in bound))


def _add(tree: ast.Module, owner: ast.ClassDef, test: Function, needs: Mapping[str, ast.stmt]) -> bool:
    """Put a test into a class, and what it needs before the class; False where a name means another thing there."""
    there = {name: node for node in tree.body for name in _bound([node])}
    missing = []
    for name, statement in needs.items():
        if name not in there:
            missing.append(statement)
        elif not _same(there[name], statement, name):
            return False
    if any(name.lower().startswith("test") for name in needs if name not in there):
        return False  # pytest would take it for a test of this file
    owner.body.append(copy.deepcopy(test))
    place = tree.body.index(owner)
    tree.body[place:place] = [ast.fix_missing_locations(copy.deepcopy(statement)) for statement in missing]
    return True


def _same(one: ast.stmt, other: ast.stmt, name: str) -> bool:
    def bare(node: ast.stmt) -> str:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node = copy.copy(node)
            node.names = [alias for alias in node.names if _called(alias, node) == name]
        return ast.unparse(node)

    return bare(one) == bare(other)
