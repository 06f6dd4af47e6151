"""Qwen3-Coder and Qwen 3.5: <tool_call><function=NAME><parameter=KEY> value </parameter></function></tool_call>.

Values are text as it stands, so the tool's schema decides whether one is text or JSON.
"""

from __future__ import annotations

import json
import re
from typing import Any

from swegym.policies.tool_calls import Call
from swegym.policies.tool_calls.objects import call_of
from swegym.types import ToolSchema

_BLOCK = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"\s*<function=([^>\n]*)>(.*?)(?:</function>\s*|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]*)>\n?(.*?)(?:\n?</parameter>|(?=<parameter=)|\Z)", re.DOTALL)


def parse(text: str, tools: list[ToolSchema]) -> tuple[str, list[Call]]:
    return _BLOCK.sub("", text).strip(), [_call(body, tools) for body in _BLOCK.findall(text)]


def _call(body: str, tools: list[ToolSchema]) -> Call:
    found = _FUNCTION.fullmatch(body)
    if found is None:
        return call_of(body.strip())
    name = found[1].strip()
    kinds = _kinds(name, tools)
    arguments = {key: _value(text, kinds.get(key)) for key, text in _PARAMETER.findall(found[2])}
    return name, json.dumps(arguments, ensure_ascii=False)


def _kinds(name: str, tools: list[ToolSchema]) -> dict[str, Any]:
    for tool in tools:
        if tool["function"]["name"] == name:
            properties: dict[str, Any] = tool["function"]["parameters"].get("properties", {})
            return properties
    return {}


def _value(text: str, schema: dict[str, Any] | None) -> Any:
    if schema is None or schema.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # the env checks it against the schema and says what it expects
