"""`ast.parse` for threads.

CPython 3.11 keeps the depth of the tree that it builds in one place for the whole process, so that two parses at a time
can end in `SystemError: AST constructor recursion depth mismatch`. Here one goes after the other. One that others
disturb all the same (a collection in the middle may run a destructor that parses; a library may call `ast.parse` in
its own thread) is done again.
"""

from __future__ import annotations

import ast
import threading

_ONE_AT_A_TIME = threading.RLock()
_TRIES = 20


def parse(source: str | bytes, filename: str = "<unknown>") -> ast.Module:
    """The module's syntax tree. Raises SyntaxError, and ValueError for null bytes, as `ast.parse` does."""
    with _ONE_AT_A_TIME:
        for _ in range(_TRIES - 1):
            try:
                return ast.parse(source, filename)
            except SystemError:
                continue
        return ast.parse(source, filename)
