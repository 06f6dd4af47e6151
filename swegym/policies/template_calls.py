"""Repair templates for names and calls: similar names, other variables, arguments, conversions."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator

from swegym.policies.scope import Change, Scope

_FAMILIES = tuple(
    frozenset(family.split())
    for family in (
        "strip lstrip rstrip", "find rfind index rindex", "split rsplit splitlines", "partition rpartition", "max min",
        "startswith endswith", "append extend insert add update", "lower upper casefold title capitalize swapcase",
        "any all", "keys values items", "discard remove pop", "get pop setdefault", "ljust rjust center zfill",
        "isdigit isdecimal isnumeric isalpha isalnum", "match search fullmatch", "findall finditer", "floor ceil round",
        "isspace strip", "list tuple set sorted", "int float str", "first last", "left right", "start end stop",
        "pop popleft", "union intersection difference", "removeprefix removesuffix", "encode decode", 
        "push pop", "sub subn", "args kwargs",
        "ValueError TypeError KeyError IndexError AttributeError LookupError", "is_file is_dir exists", "prev next",
    )
)  # fmt: skip


def similar_name(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """A function, method or attribute of the same family or with a name much alike."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    if not name or not isinstance(getattr(node, "ctx", None), ast.Load):
        return
    known = scope.attributes if isinstance(node, ast.Attribute) else scope.snippet.region.names
    family = [other for members in _FAMILIES if name in members for other in sorted(members)]
    near = difflib.get_close_matches(name, known, n=4, cutoff=0.6)
    base = f"{scope.text(node.value)}." if isinstance(node, ast.Attribute) else ""
    for other in dict.fromkeys([*family, *near]):
        if other != name:
            yield node, base + other


def swap_variable(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in scope.variables:
        yield from ((node, other) for other in scope.near(node) if other != node.id)
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name):
        yield from ((node, f"{node.value.id}.{other}") for other in scope.attributes if other != node.attr)


def change_arguments(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if not isinstance(node, ast.Call):
        return
    texts = [scope.text(argument) for argument in [*node.args, *node.keywords]]
    function = scope.text(node.func)
    for index in range(len(node.args) - 1):
        swapped = [*texts]
        swapped[index], swapped[index + 1] = texts[index + 1], texts[index]
        yield node, f"{function}({', '.join(swapped)})"
    for index in range(len(texts)):
        yield node, f"{function}({', '.join(texts[:index] + texts[index + 1 :])})"


def add_argument(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if not isinstance(node, ast.Call):
        return
    texts = [scope.text(argument) for argument in [*node.args, *node.keywords]]
    positional = [*texts[: len(node.args)]]
    given = {keyword.arg for keyword in node.keywords}
    for name in (*scope.near(node, 8), "True", "False", "None", "0", "1", '""', '" "'):
        yield node, f"{scope.text(node.func)}({', '.join([*positional, name, *texts[len(node.args) :]])})"
        if name.isidentifier() and name in scope.variables and name not in given:
            yield node, f"{scope.text(node.func)}({', '.join([*texts, f'{name}={name}'])})"


_WRAPPERS = ("str", "int", "len", "list", "tuple", "set", "sorted", "abs", "bool", "float", "repr", "reversed")


_HOLDERS = (
    ast.Return | ast.Assign | ast.Compare | ast.BinOp | ast.For | ast.Call | ast.keyword | ast.comprehension
)  # what holds a value that a conversion may be put around


def wrap_call(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """Take one call away, or put one around."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            yield node, scope.text(node.func.value)
        if node.args and not isinstance(node.args[0], ast.Starred):
            yield node, scope.closed(node.args[0])
    parent = scope.snippet.parents.get(node)
    read = isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call) and not _stored(node)
    if read and isinstance(parent, _HOLDERS) and getattr(parent, "func", None) is not node:
        text = scope.text(node)
        yield from ((node, f"{wrapper}({text})") for wrapper in _WRAPPERS)
        yield from ((node, f"{text}.{method}()") for method in ("strip", "lower", "copy", "upper", "rstrip", "lstrip"))
        yield from ((node, f"({text} or {other})") for other in ('""', "[]", "0", "{}", "()"))


def _stored(node: ast.AST) -> bool:
    return isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)
