"""Tests in a plainer form of the same meaning: one assertion for each claim, and tables where they are gone through."""

from __future__ import annotations

import ast
import copy

from swegym.grading import bindings
from swegym.grading.bindings import Function


class Split(ast.NodeTransformer):
    """`assert a and b` as two, and `assert a == b == 3`, which says the same of each."""

    def visit_Assert(self, node: ast.Assert) -> ast.stmt | list[ast.stmt]:
        if isinstance(node.test, ast.Compare) and len(node.test.ops) > 1:
            sides = [node.test.left, *node.test.comparators]
            known = next((side for side in sides if _is_literal(side)), None)
            if known is not None and all(isinstance(sign, ast.Eq) for sign in node.test.ops):
                others = [side for side in sides if side is not known]
                tests = [ast.Compare(side, [ast.Eq()], [copy.deepcopy(known)]) for side in others]
                return [ast.copy_location(ast.Assert(test, None), node) for test in tests]
        if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And):
            return [ast.copy_location(ast.Assert(test, None), node) for test in node.test.values]
        return node


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def without_annotations(tree: ast.Module) -> None:
    """`wanted: list[int] = [1]` as `wanted = [1]`, in place: in functions and at the top, but in no class's body."""
    _Plain().visit(tree)


class _Plain(ast.NodeTransformer):
    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.body = [inner if isinstance(inner, ast.AnnAssign) else self.visit(inner) for inner in node.body]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if node.value is None or not isinstance(node.target, ast.Name):
            return node
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def may_only_end(function: Function) -> bool:
    """Whether a test asserts nothing itself: it wants no more than to come to its end, or what it calls asserts."""
    nodes = [node for statement in function.body for node in ast.walk(statement)]
    ends = function.name.startswith("test") and not isinstance(function.body[-1], ast.Return | ast.Raise)
    return ends and not any(isinstance(node, ast.Assert | ast.Yield | ast.YieldFrom) for node in nodes)


def assert_the_end(function: Function) -> None:
    """Say by an assertion that the end is reached, which can be asked, and contradicted, as others can."""
    function.body.append(ast.Assert(ast.Constant(True), None))


def inline_tables(function: Function, constants: dict[str, ast.expr]) -> None:
    """A table that has a name becomes that of its loop or its rows, so that it can be changed there."""
    constants = {**constants, **_local_tables(function)}
    for decorator in function.decorator_list:
        if bindings.parametrised(decorator):
            assert isinstance(decorator, ast.Call)
            decorator.args[1] = _inlined(decorator.args[1], constants)
            for keyword in decorator.keywords:
                keyword.value = _inlined(keyword.value, constants)
    for node in ast.walk(function):
        if isinstance(node, ast.For):
            node.iter = _inlined(node.iter, constants)


def _local_tables(function: Function) -> dict[str, ast.expr]:
    """Literals that a test binds to a name once, and only loops over."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    loops = {id(name) for node in ast.walk(function) if isinstance(node, ast.For) for name in ast.walk(node.iter)}
    found: dict[str, ast.expr] = {}
    for node in function.body:
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        if isinstance(node, ast.Assign) and isinstance(target, ast.Name) and _is_literal(node.value):
            others = [name for name in names if name.id == target.id and name is not target]
            if all(isinstance(name.ctx, ast.Load) and id(name) in loops for name in others):
                found[target.id] = node.value
    return found


def _inlined(node: ast.expr, constants: dict[str, ast.expr]) -> ast.expr:
    """The rows that a constant stands for: a list's, or the values, items or keys of a dict; else the node itself."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("list", "tuple"):
        return _inlined(node.args[0], constants) if len(node.args) == 1 and not node.keywords else node
    if isinstance(node, ast.Name):
        table = constants.get(node.id)
        if isinstance(table, ast.List | ast.Tuple):
            return copy.deepcopy(table)
        way = "keys"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not (node.args or node.keywords):
        table = constants.get(node.func.value.id) if isinstance(node.func.value, ast.Name) else None
        way = node.func.attr
    else:
        return node
    if not isinstance(table, ast.Dict) or None in table.keys or way not in ("keys", "values", "items"):
        return node
    keys, values = copy.deepcopy(([key for key in table.keys if key is not None], table.values))
    if way == "items":
        return ast.List([ast.Tuple([*pair], ast.Load()) for pair in zip(keys, values, strict=True)], ast.Load())
    return ast.List(keys if way == "keys" else values, ast.Load())
