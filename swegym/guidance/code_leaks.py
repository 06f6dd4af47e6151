"""A leak in another spelling: code of the fix that a hint gives with other spacing, brackets, quotes or names.

Compared are syntax trees. An expression or statement that the fix adds, and that the old version beside it does not
show, must not stand in the hint: exactly, or, if it is long enough that this is no chance, with its variables renamed.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator

from swegym import syntax

EXACT = 5  # nodes of a tree from which it counts with its own names: `return width * height` has five
RENAMED = 9  # and from which it counts whatever its variables are called
_FENCE = re.compile(r"```[^\n]*\n(.*?)```", re.DOTALL)
_QUOTED = re.compile(r"`([^`\n]+)`")
_CLAUSE = re.compile(r"^(elif|else|except|finally)\b")


def gives_code(text: str, added: Iterable[list[str]], known: Iterable[list[str]]) -> bool:
    """Whether `text` holds code of the fix.

    Args:
        text: Of a hint.
        added: Runs of neighbouring lines that the fix adds.
        known: Runs of lines of the old version that its diff shows.
    """
    shown = set().union(*(_trees("\n".join(run)) for run in known)) if known else set()
    secret = set().union(*(_trees("\n".join(run)) for run in added)) - shown
    if not secret:
        return False
    return any(secret & _trees(piece) for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """What of a text may be code: fenced blocks, what is in backticks, and every line."""
    yield from _FENCE.findall(text)
    yield from _QUOTED.findall(text)
    for line in text.splitlines():
        yield line
        _, colon, rest = line.partition(":")
        if colon:
            yield rest  # "Write: return a * b"


def _trees(code: str) -> set[str]:
    """Every tree in a piece of code that is large enough to count; none where it is no Python."""
    found: set[str] = set()
    for tree in _parsed(code):
        for node in ast.walk(tree):
            if isinstance(node, ast.expr | ast.stmt):
                size = sum(not isinstance(part, ast.expr_context) for part in ast.walk(node))
                if size >= EXACT:
                    found.add("= " + _spelled(node, {}))
                if size >= RENAMED:
                    found.add("~ " + _spelled(node, None))
    return found


def _parsed(code: str) -> Iterator[ast.AST]:
    """The code as a whole, or else each of its lines that parses alone, headers of blocks completed."""
    whole = _parse(textwrap.dedent(code))
    if whole is not None:
        yield whole
        return
    for line in code.splitlines():
        bare = line.strip()
        if bare.startswith("elif "):
            bare = bare[2:]
        elif _CLAUSE.match(bare):
            continue
        tree = _parse(bare + "\n    pass" if bare.endswith(":") else bare)
        if tree is not None:
            yield tree


def _parse(code: str) -> ast.AST | None:
    try:
        return syntax.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _spelled(node: ast.AST, names: dict[str, str] | None) -> str:
    """A tree as text that does not depend on layout; with `names` None, variables are called by order of appearance."""
    order: dict[str, str] = {}

    def spell(value: object) -> str:
        if isinstance(value, ast.Name):
            return value.id if names is not None else order.setdefault(value.id, f"v{len(order)}")
        if isinstance(value, ast.AST):
            parts = [
                spell(inner) for name, inner in ast.iter_fields(value) if name not in ("ctx", "kind", "type_comment")
            ]
            return f"{type(value).__name__}({','.join(parts)})"
        if isinstance(value, list):
            return f"[{','.join(spell(inner) for inner in value)}]"
        return repr(value)

    return spell(node)
