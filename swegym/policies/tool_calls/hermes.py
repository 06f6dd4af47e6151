"""Hermes, Qwen 2.5 and Qwen 3: JSON between <tool_call> and </tool_call>, any number of times."""

from __future__ import annotations

import re

from swegym.policies.tool_calls import Call
from swegym.policies.tool_calls.objects import call_of
from swegym.types import ToolSchema

_BLOCK = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)  # the end may be missing


def parse(text: str, tools: list[ToolSchema]) -> tuple[str, list[Call]]:
    return _BLOCK.sub("", text).strip(), [call_of(body.strip()) for body in _BLOCK.findall(text)]
