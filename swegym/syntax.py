"""`ast.parse` for threads.

CPython 3.11 keeps the depth of the tree that it builds in one place for all threads, so that two parses at a time can
end in `SystemError: AST constructor recursion depth mismatch`. Here one goes after the other.
"""

from __future__ import annotations

import ast
import threading

_ONE_AT_A_TIME = threading.RLock()


def parse(source: str | bytes, filename: str = "<unknown>") -> ast.Module:
    """The module's syntax tree. Raises SyntaxError, and ValueError for null bytes, as `ast.parse` does."""
    with _ONE_AT_A_TIME:
        return ast.parse(source, filename)
