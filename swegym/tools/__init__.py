"""What a policy may call inside its sandbox. A tool is a function with `@tool`; choose by name or "my_pkg.mod:func"."""

from swegym.tools.base import Tool, ToolContext, ToolError, answer, make_tool, schema, tool
from swegym.tools.names import DEFAULT_TOOLS, TOOLS, load

__all__ = [
    "DEFAULT_TOOLS",
    "TOOLS",
    "Tool",
    "ToolContext",
    "ToolError",
    "answer",
    "load",
    "make_tool",
    "schema",
    "tool",
]
