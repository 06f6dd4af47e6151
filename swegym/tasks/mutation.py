"""A mutation: one small edit of a Python file that leaves everything else in it, comments and layout too, as it was.

`mutations` lists every edit that the operators make in a file, in a fixed order, so that an edit can be named by facts
alone: operator, function, line, column and variant.

Only code inside functions is mutated, and of it neither annotations, decorators, docstrings nor f-strings.
"""

from __future__ import annotations

import ast
import functools
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType

from swegym.errors import TaskError, UnknownName
from swegym.syntax import parse
from swegym.tasks.operators import OPERATORS, Edit, Operator, Scope, SourceText


@dataclass(frozen=True, slots=True)
class Mutation:
    """One possible edit of a file. `line` counts from 1, `column` from 0 in UTF-8 bytes, as `ast` does."""

    operator: str
    function: str  # qualified, e.g. "Parser.feed"
    line: int
    column: int
    variant: int  # counts the edits that this operator makes at this very place
    edit: Edit = field(compare=False, default=Edit(0, 0, b""))


def mutations(data: bytes) -> list[Mutation]:
    """Every edit that the operators propose for a file of UTF-8, in order of place, operator and variant.

    Whether the result is Python, and differs in more than layout, is for `takes_effect` to say.

    Raises:
        SyntaxError: `data` is not Python.
        UnicodeDecodeError: it is not UTF-8.
    """
    order = list(OPERATORS)
    return sorted(_edits(data, OPERATORS), key=lambda m: (m.line, m.column, order.index(m.operator), m.variant))


def find(data: bytes, operator: str, function: str, line: int, column: int, variant: int, origin: str) -> Mutation:
    """The edit with these facts. `origin` names the file in the error that says there is none."""
    if operator not in OPERATORS:
        raise UnknownName.among(
            "mutation operator", operator, OPERATORS, f"Correct `operator` of the recipe for {origin}."
        )
    wanted = Mutation(operator, function, line, column, variant)
    for mutation in _edits(data, {operator: OPERATORS[operator]}):
        if mutation == wanted:
            return mutation
    raise TaskError(
        f"{origin}: {operator} makes no edit number {variant} in {function} at line {line}, column {column}. "
        "The file is not the one that the recipe was mined from; mine it again."
    )


def edits(data: bytes, operator: str) -> Iterator[Mutation]:
    """The edits of one operator, in the order that it finds them; raises as `mutations` does."""
    return _edits(data, {operator: OPERATORS[operator]})


def _edits(data: bytes, operators: Mapping[str, Operator]) -> Iterator[Mutation]:
    source = SourceText(data)
    made: Counter[tuple[str, int]] = Counter()
    for node, function, scope in _nodes(parse(data)):
        for name, operator in operators.items():
            for edit in operator(node, source, scope):
                line, column = source.place(edit.start)
                yield Mutation(name, function, line, column, made[name, edit.start], edit)
                made[name, edit.start] += 1


def splice(data: bytes, mutation: Mutation) -> bytes:
    """The file with the edit made."""
    return data[: mutation.edit.start] + mutation.edit.text + data[mutation.edit.end :]


def takes_effect(data: bytes, mutation: Mutation) -> bool:
    """Whether the edited file is Python with another syntax tree than before."""
    try:
        return _tree(splice(data, mutation)) != _tree(data)
    except (SyntaxError, ValueError):
        return False


def changes_code(data: bytes, mutation: Mutation) -> bool:
    """Whether the edited file compiles to other code; where it does not, no test can tell the two apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as "is" with a literal, which is then the bug
        return _code(compile(splice(data, mutation), "f", "exec")) != _code(compile(data, "f", "exec"))


def _code(code: CodeType) -> tuple[object, ...]:
    constants = tuple(_code(one) if isinstance(one, CodeType) else (type(one), one) for one in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable, repr(constants)


@functools.lru_cache(maxsize=8)
def _tree(data: bytes) -> str:
    return ast.dump(parse(data))


def _nodes(tree: ast.Module) -> Iterator[tuple[ast.AST, str, Scope]]:
    """Every node inside a function, with the function's qualified name. The top of the file says what is left out."""

    def visit(node: ast.AST, names: tuple[str, ...], scope: Scope | None) -> Iterator[tuple[ast.AST, str, Scope]]:
        if isinstance(node, ast.JoinedStr):
            return  # positions inside f-strings are wrong before Python 3.12
        if scope is not None and names:
            yield node, ".".join(names), scope
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = Scope(_parameters(node.args), node)
            for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]:
                yield from visit(default, (*names, node.name), inner)
            for statement in node.body:
                yield from visit(statement, (*names, node.name), inner)
        elif isinstance(node, ast.ClassDef):
            for statement in node.body:
                # A class body is no function, even inside one.
                yield from visit(statement, (*names, node.name), None)
        elif isinstance(node, ast.AnnAssign):
            for part in (node.target, node.value):
                if part is not None:
                    yield from visit(part, names, scope)
        else:
            for child in ast.iter_child_nodes(node):
                yield from visit(child, names, scope)

    yield from visit(tree, (), None)


def _parameters(arguments: ast.arguments) -> tuple[str, ...]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return tuple(argument.arg for argument in every if argument.arg not in ("self", "cls"))
