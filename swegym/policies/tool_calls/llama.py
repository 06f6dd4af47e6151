"""Llama 3.1 and later: the message is JSON with "parameters", or <function=NAME>{...}</function>, after an optional
<|python_tag|>.
"""

from __future__ import annotations

import re

from swegym.policies.tool_calls import Call
from swegym.policies.tool_calls.objects import broken, call_in, leading_values
from swegym.types import ToolSchema

_TAG = "<|python_tag|>"
_FUNCTION = re.compile(r"<function=([^>\n]*)>(.*?)(?:</function>|(?=<function=)|\Z)", re.DOTALL)


def parse(text: str, tools: list[ToolSchema]) -> tuple[str, list[Call]]:
    named = _FUNCTION.findall(text)
    if named:
        return _FUNCTION.sub("", text).strip(), [(name.strip(), body.strip()) for name, body in named]
    before, mark, after = text.partition(_TAG)
    written = (after if mark else text).strip()
    values, rest = leading_values(written)
    calls = [call for value in values if (call := call_in(value))]
    if len(calls) < len(values):
        return text.strip(), []  # JSON that calls nothing is an answer
    if rest.startswith("{") and '"name"' in rest:
        calls.append(broken(rest))
        rest = ""
    if not calls:
        return text.strip(), []
    return "\n".join(part for part in (before.strip() if mark else "", rest.strip()) if part), calls
