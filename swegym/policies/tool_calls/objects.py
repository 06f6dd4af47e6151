"""JSON that a model wrote as a call: `{"name": ..., "arguments": {...}}`, whole or broken."""

from __future__ import annotations

import json
import re
from typing import Any

from swegym.policies.tool_calls import Call, as_text

_NAME = re.compile(r'"name"\s*:\s*"([^"\n]*)"')
_ARGUMENTS = re.compile(r'"(?:arguments|parameters)"\s*:\s*')


def call_of(text: str) -> Call:
    """The call in a text that should hold one. Broken JSON keeps what stands where the arguments should."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return broken(text)
    return call_in(value) or ("", text)


def call_in(value: Any) -> Call | None:
    """The call that a JSON value is, if it is one."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    return value["name"], as_text(value.get("arguments", value.get("parameters", {})))


def broken(text: str) -> Call:
    """What can be told of a call that is not valid JSON: its name, and the text that stands for its arguments."""
    name, arguments = _NAME.search(text), _ARGUMENTS.search(text)
    return name[1] if name else "", text[arguments.end() :].strip() if arguments else text.strip()


def leading_values(text: str, separators: str = "; \n\t\r") -> tuple[list[Any], str]:
    """The JSON values that a text begins with, and the rest from where it stops being JSON."""
    decoder = json.JSONDecoder()
    values: list[Any] = []
    rest = text.lstrip(separators)
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            break
        values.append(value)
        rest = rest[end:].lstrip(separators)
    return values, rest
