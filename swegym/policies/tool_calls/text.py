"""Models without a format of their own: fenced blocks, as `swegym.TextAction` reads them. The prompt tells them how."""

from __future__ import annotations

from swegym.policies.tool_calls import Call
from swegym.text import parse_action
from swegym.types import ToolSchema


def parse(text: str, tools: list[ToolSchema]) -> tuple[str, list[Call]]:
    """The text stays whole, so that the conversation shows the model what it wrote."""
    calls = parse_action(text).get("tool_calls", [])
    return text.strip(), [(call["function"]["name"], call["function"]["arguments"]) for call in calls]
