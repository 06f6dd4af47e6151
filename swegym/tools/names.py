"""The tools that ship, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable

from swegym.errors import InputError, UnknownName
from swegym.tools.base import Tool, make_tool

TOOLS = {
    "bash": "swegym.tools.bash:bash",
    "read": "swegym.tools.files:read",
    "search": "swegym.tools.search:search",
    "edit": "swegym.tools.edit:edit",
    "write": "swegym.tools.files:write",
    "run_tests": "swegym.tools.run_tests:run_tests",
    "submit": "swegym.tools.submit:submit",
}

DEFAULT_TOOLS = tuple(TOOLS)


def load(names: Iterable[str | Callable[..., str]]) -> dict[str, Tool]:
    """Tools in the order given, by the name that a policy calls. Each is a name, "my_pkg.mod:func" or a function."""
    tools: dict[str, Tool] = {}
    for name in names:
        found = make_tool(_find(name) if isinstance(name, str) else name)
        if found.name in tools:
            raise InputError(f"tools: two are named {found.name!r}. Leave one out, or rename its function.")
        tools[found.name] = found
    return tools


def _find(name: str) -> Callable[..., str]:
    module, separator, attribute = TOOLS.get(name, name).partition(":")
    if not separator:
        raise UnknownName.among("tool", name, TOOLS, "Or give an import path: my_pkg.my_module:my_tool.")
    try:
        function: Callable[..., str] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"tool {name!r} cannot be imported: {error}. Check the path.") from error
    return function
