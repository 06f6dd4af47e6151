"""Mistral: [TOOL_CALLS] and a JSON list of calls, or since 2025 [TOOL_CALLS]NAME[ARGS]{...} for each call."""

from __future__ import annotations

import json
import re

from swegym.policies.tool_calls import Call
from swegym.policies.tool_calls.objects import broken, call_in, call_of
from swegym.types import ToolSchema

_MARK = "[TOOL_CALLS]"
_NAMED = re.compile(r"\s*([\w.-]+)(?:\[CALL_ID\][\w-]*)?\[ARGS\](.*)", re.DOTALL)


def parse(text: str, tools: list[ToolSchema]) -> tuple[str, list[Call]]:
    content, *marked = text.split(_MARK)
    return content.strip(), [call for part in marked for call in _calls(part.strip())]


def _calls(text: str) -> list[Call]:
    named = _NAMED.fullmatch(text)
    if named:
        return [(named[1], named[2].strip())]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _whole_ones(text) or [broken(text)]
    values = value if isinstance(value, list) else [value]
    return [call_in(one) or call_of(json.dumps(one)) for one in values]


def _whole_ones(text: str) -> list[Call]:
    """The calls at the head of a list that breaks off, and the broken one after them."""
    decoder = json.JSONDecoder()
    calls: list[Call] = []
    rest = text.removeprefix("[").lstrip(", \n")
    while rest.startswith("{"):
        try:
            value, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            return [*calls, broken(rest)]
        calls.append(call_in(value) or call_of(json.dumps(value)))
        rest = rest[end:].lstrip(", \n")
    return calls
