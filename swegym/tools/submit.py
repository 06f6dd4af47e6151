"""Hand in the work."""

from __future__ import annotations

from swegym.tools.base import ToolContext, tool


@tool(ends_episode=True)
def submit(context: ToolContext) -> str:
    """Hand in the repository as it is now. This ends the episode; the change is then judged by tests you cannot see."""
    return "Submitted."
