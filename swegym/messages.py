"""Reading and writing chat messages: what a policy's message calls, costs and looks like, whatever was made of it."""

from __future__ import annotations

import copy
import io
import math
import re
from collections.abc import Iterable
from typing import Any

from swegym.spaces import is_message, is_text
from swegym.types import Message, ToolCall

# What moves a cursor, turns the direction of what follows, or cannot be printed at all (half of a surrogate pair).
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def calls_of(action: Any) -> list[ToolCall]:
    """The tool calls of an assistant message, whatever a policy made of it; missing parts become None or empty."""
    calls = action.get("tool_calls") if isinstance(action, dict) else None
    found: list[ToolCall] = []
    for call in calls if isinstance(calls, list) else []:
        call = _dict(call)
        function = _dict(call.get("function"))
        called: Any = {"name": function.get("name"), "arguments": function.get("arguments", "")}
        identity = call.get("id")
        found.append({"id": str(identity) if is_text(identity) else "", "type": "function", "function": called})
    return found


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def in_shape(action: Any) -> Message:
    """A policy's message as a record keeps it: as it is, or what can be told of one that has another shape.

    Whatever it says of itself, it is the assistant's: a role of another would pass for a tool's answer.
    """
    if is_message(action, ("assistant",)):
        kept: Message = copy.deepcopy(action)
        return kept
    given = _dict(action)
    content = given.get("content")
    made: Message = {"role": "assistant", "content": carried("" if content is None else str(content))}
    calls = calls_of(given)
    for call in calls:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        call["id"] = carried(call["id"])
        call["function"] = {"name": carried("" if name is None else str(name)), "arguments": carried(str(arguments))}
    if calls:
        made["tool_calls"] = calls
    if isinstance(given.get("extra"), dict):
        made["extra"] = copy.deepcopy(given["extra"])
    return made


def reply(calls: list[ToolCall], texts: list[str]) -> list[Message]:
    """A tool message per call, or a user message where there was no call."""
    if not calls:
        return [{"role": "user", "content": texts[0]}]
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": text} for call, text in zip(calls, texts, strict=True)
    ]


def tokens_of(action: Any) -> int:
    """Tokens that an assistant message cost: reported usage, else its token ids, else one for each four characters."""
    extra = _dict(_dict(action).get("extra"))
    reported = _dict(extra.get("usage")).get("completion_tokens")
    if isinstance(reported, int) and reported > 0:  # a server may report anything
        return reported
    if isinstance(extra.get("token_ids"), list | tuple):
        return len(extra["token_ids"])
    said = str(_dict(action).get("content") or "")
    written = [f"{call['function']['name']}{call['function']['arguments']}" for call in calls_of(action)]
    return math.ceil(len(said + "".join(written)) / 4)


def carried(text: str) -> str:
    """`text` as something UTF-8 can carry: a half of a surrogate pair becomes "?"."""
    return text.encode("utf-8", "replace").decode()


def lines_of(text: str) -> list[str]:
    """Lines with their ends, which are line feeds alone: `str.splitlines` knows a dozen other ends."""
    return list(io.StringIO(text, newline="\n"))


def shorten(text: str, most: int) -> str:
    """`text` as something UTF-8 can carry, its middle left out where it is longer than `most` characters."""
    text = carried(text)
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def printable(text: str) -> str:
    """`text` for a terminal: what a program printed must not move the cursor, or fill the clipboard."""
    return CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def transcript(messages: Iterable[Any]) -> str:
    """Messages as text for people."""
    parts = []
    for message in messages:
        message = message if isinstance(message, dict) else {"role": "?", "content": repr(message)}
        lines = [f"--- {message.get('role')}"]
        lines += [str(message["content"])] if message.get("content") else []
        lines += [f"> {call['function']['name']} {call['function']['arguments']}" for call in calls_of(message)]
        parts.append("\n".join(lines))
    return printable("\n".join(parts))
