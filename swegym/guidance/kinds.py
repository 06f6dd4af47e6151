"""The kind of a change: a phrase such as "a condition" or "a call is missing", read off two syntax trees.

The trees of one function before and after are walked side by side; where they part, the phrase names the role of that
spot, as deep inside as it can be told. A phrase never holds a name, a value or any other piece of the code.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator

MODULE = "<module>"
Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def kinds_by_function(old: ast.Module, new: ast.Module) -> dict[str, tuple[str, ...]]:
    """Phrases for each function, class and module level (`MODULE`) of the old tree that differs in the new one."""
    before, after = _own_code(old), _own_code(new)
    kinds: dict[str, tuple[str, ...]] = {}
    for name, node in before.items():
        counterpart = after.get(name)
        if counterpart is None:
            kinds[name] = ("a definition that is removed, renamed or replaced",)
        elif phrases := tuple(dict.fromkeys(_differences(node, counterpart))):
            kinds[name] = phrases
    return kinds


def _own_code(module: ast.Module) -> dict[str, ast.AST]:
    """Every function, class and the module by qualified name; nested definitions are cut down to their names."""
    own: dict[str, ast.AST] = {}

    class CutNested(ast.NodeTransformer):
        def __init__(self, node: ast.AST, prefix: str) -> None:
            self.node, self.prefix = node, prefix

        def generic_visit(self, node: ast.AST) -> ast.AST:
            if node is self.node or not isinstance(node, Scope):
                return super().generic_visit(node)
            name = self.prefix + node.name
            own[name] = CutNested(node, name + ".").visit(node)
            return ast.Global(names=[node.name])  # a statement that carries a name and nothing else

    own[MODULE] = CutNested(module, "").visit(module)
    return own


def _differences(old: object, new: object, role: str = "an expression") -> Iterator[str]:
    """Phrases for where two syntax trees part, as deep inside as they can be told."""
    if isinstance(old, ast.AST) and isinstance(new, ast.AST):
        if ast.dump(old) == ast.dump(new):
            return
        if isinstance(old, ast.Attribute) and isinstance(new, ast.Attribute) and old.attr == new.attr:
            yield from _differences(
                old.value, new.value, "an expression" if role.startswith("which function") else role
            )
            return
        if _is_negation(old, new) or _is_negation(new, old):
            yield "a negation" if role == "an expression" else f"a negation in {role}"
            return
        if _is_off_by_one(old, new) or _is_off_by_one(new, old):
            yield f"an off-by-one in {role}"
            return
        if type(old) is not type(new) or isinstance(old, ast.Constant | ast.Name | ast.Attribute):
            yield _replaced(old, new, role)
            return
        for name in old._fields:
            yield from _differences(getattr(old, name), getattr(new, name), _role(old, name, role))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_differences(old, new, role)
    elif old != new:
        yield role


def _list_differences(old: list[object], new: list[object], role: str) -> Iterator[str]:
    before, after = _texts(old), _texts(new)
    if before != after and sorted(before) == sorted(after):
        yield {"a statement": "the order of statements", "an argument of a call": "the order of arguments"}.get(
            role, f"the order of things in {role}"
        )
        return
    if len(old) == len(new) and role != "a statement":
        for left, right in zip(old, new, strict=True):  # operands and arguments keep their places, statements move
            yield from _differences(left, right, role)
        return
    for what, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        paired = min(b - a, d - c)
        for left, right in zip(old[a : a + paired], new[c : c + paired], strict=True):
            yield from _differences(left, right, role)
        for extra in new[c + paired : d]:
            yield _missing(extra, role)
        for extra in old[a + paired : b]:
            yield _superfluous(extra, role)


def _texts(nodes: list[object]) -> list[str]:
    return [ast.dump(node) if isinstance(node, ast.AST) else repr(node) for node in nodes]


def _role(node: ast.AST, name: str, outer: str) -> str:
    named = {
        (ast.If, "test"): "a condition",
        (ast.While, "test"): "the condition of a loop",
        (ast.IfExp, "test"): "a condition",
        (ast.Assert, "test"): "an assertion",
        (ast.comprehension, "ifs"): "the condition of a comprehension",
        (ast.For, "iter"): "what a loop runs over",
        (ast.comprehension, "iter"): "what a comprehension runs over",
        (ast.Return, "value"): "the return value",
        (ast.Raise, "exc"): "the exception that is raised",
        (ast.ExceptHandler, "type"): "which exception a handler catches",
        (ast.arguments, "defaults"): "a default value",
        (ast.arguments, "kw_defaults"): "a default value",
        (ast.arguments, "args"): "the parameters of the function",
        (ast.arguments, "kwonlyargs"): "the parameters of the function",
        (ast.Call, "func"): "which function or method a call goes to",
        (ast.Call, "args"): "an argument of a call",
        (ast.Call, "keywords"): "an argument of a call",
        (ast.Subscript, "slice"): "an index or slice",
        (ast.BinOp, "op"): "an arithmetic operator",
        (ast.BoolOp, "op"): "the logical connective of a condition",
        (ast.AugAssign, "op"): "an arithmetic operator",
        (ast.Assign, "value"): "the value that is assigned",
        (ast.AnnAssign, "value"): "the value that is assigned",
        (ast.ClassDef, "bases"): "the base classes",
    }
    if name == "decorator_list":
        return "a decorator"
    if name in {"body", "orelse", "finalbody", "handlers"}:
        return "a statement"
    if isinstance(node, ast.Compare) and name == "ops":
        return "a comparison operator" + (" in " + outer if "condition" in outer else "")
    return named.get((type(node), name), outer)


def _replaced(old: ast.AST, new: ast.AST, role: str) -> str:
    if isinstance(old, ast.Constant) and isinstance(new, ast.Constant):
        kinds = [("a boolean flag", bool), ("a piece of text or a pattern", str | bytes), ("a number", int | float)]
        constant = next((phrase for phrase, kind in kinds if isinstance(old.value, kind)), "a constant")
        return constant if role in {"an expression", "a statement"} else f"{constant} in {role}"
    if isinstance(old, ast.Pass) or (isinstance(old, ast.stmt) and isinstance(new, ast.If | ast.Try | ast.With)):
        return _missing(new, role)
    if isinstance(old, ast.Assign | ast.AugAssign) and isinstance(new, ast.Assign | ast.AugAssign):
        return "an assignment"
    return role


def _is_negation(one: ast.AST, other: ast.AST) -> bool:
    if not (isinstance(one, ast.UnaryOp) and isinstance(one.op, ast.Not)):
        return False
    return ast.dump(one.operand) == ast.dump(other)


def _is_off_by_one(one: ast.AST, other: ast.AST) -> bool:
    if not (isinstance(one, ast.BinOp) and isinstance(one.op, ast.Add | ast.Sub)):
        return False
    by_one = isinstance(one.right, ast.Constant) and one.right.value == 1
    return by_one and ast.dump(one.left) == ast.dump(other)


def _missing(node: object, role: str) -> str:
    phrases: list[tuple[type[ast.AST], str]] = [
        (ast.If, "a check for a case is missing"),
        (ast.Try, "the handling of an exception is missing"),
        (ast.ExceptHandler, "the handling of an exception is missing"),
        (ast.Return, "a return is missing"),
        (ast.Raise, "an exception that should be raised is missing"),
        (ast.For, "a loop is missing"),
        (ast.While, "a loop is missing"),
        (ast.With, "a context manager is missing"),
        (ast.Global, "a definition is missing"),  # what `_own_code` leaves of a nested definition
        (ast.alias, "an import is missing"),
        (ast.Import, "an import is missing"),
        (ast.ImportFrom, "an import is missing"),
        (ast.Assign, "an assignment is missing"),
        (ast.AnnAssign, "an assignment is missing"),
        (ast.AugAssign, "an assignment is missing"),
        (ast.arg, "a parameter is missing"),
        (ast.keyword, "an argument of a call is missing"),
    ]
    if isinstance(node, ast.Expr):
        return "a call is missing" if isinstance(node.value, ast.Call | ast.Await) else "a statement is missing"
    for kind, phrase in phrases:
        if isinstance(node, kind):
            return phrase
    return "a statement is missing" if isinstance(node, ast.stmt) else f"something is missing in {role}"


def _superfluous(node: object, role: str) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return "a call too many"
    if isinstance(node, ast.stmt):
        return "a statement too many"
    return f"something too much in {role}"
