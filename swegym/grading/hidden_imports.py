"""What hidden files import from each other.

A constant that a test file imports becomes its own, so that what the test expects can be read, and can leave the file.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from pathlib import PurePosixPath

from swegym.grading import bindings


def with_constants(path: str, files: Mapping[str, bytes], folders: tuple[str, ...]) -> tuple[bytes, frozenset[str]]:
    """A file that binds the constants itself which it imports from others, and the files that lend them."""
    try:
        tree = ast.parse(files[path])
    except (SyntaxError, ValueError):
        return files[path], frozenset()
    lenders = set()
    body: list[ast.stmt] = []
    for node in tree.body:
        place = file_of(node.module, node.level, path, files, folders) if isinstance(node, ast.ImportFrom) else None
        constants = _constants(files[place]) if place is not None else {}
        if not isinstance(node, ast.ImportFrom) or not any(alias.name in constants for alias in node.names):
            body.append(node)
            continue
        lenders.add(place)
        others = [alias for alias in node.names if alias.name not in constants]
        body += [ast.ImportFrom(node.module, others, node.level)] if others else []
        body += [
            ast.parse(f"{alias.asname or alias.name} = {constants[alias.name]}").body[0]
            for alias in node.names
            if alias.name in constants
        ]
    if not lenders:
        return files[path], frozenset()
    tree.body = body
    source = ast.unparse(tree).encode("utf-8", "surrogateescape") + b"\n"
    return source, frozenset(place for place in lenders if place is not None)


@functools.lru_cache(maxsize=1024)
def _constants(source: bytes) -> Mapping[str, str]:
    """The constants of a file that need no other name of it, as source."""
    try:
        found = bindings.module_constants(ast.parse(source))
    except (SyntaxError, ValueError):
        return {}
    return {name: ast.unparse(value) for name, value in found.items() if bindings.is_pure(value, frozenset())}


def file_of(
    module: str | None, level: int, path: str, files: Mapping[str, bytes], folders: tuple[str, ...]
) -> str | None:
    """The hidden file that an import in another means, where there is one."""
    above = PurePosixPath(path).parents
    if level > len(above):
        return None
    places = [above[level - 1]] if level else [*map(PurePosixPath, ("", *folders)), *above]
    parts = module.split(".") if module else []
    for place in places:
        for name in (f"{place.joinpath(*parts)}.py" if parts else "", str(place.joinpath(*parts, "__init__.py"))):
            if name in files and name != path:
                return name
    return None
