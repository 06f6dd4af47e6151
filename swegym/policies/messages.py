"""Assistant messages as policies of our own write them: a sentence and some tool calls."""

from __future__ import annotations

import json
from typing import Any

from swegym.types import Message, ToolCall


def call(name: str, **arguments: Any) -> ToolCall:
    """One call of a tool; its id is filled in by `say`."""
    text = json.dumps(arguments, ensure_ascii=False)
    return {"id": "", "type": "function", "function": {"name": name, "arguments": text}}


def say(content: str, *calls: ToolCall, turn: int) -> Message:
    """An assistant message; the calls get ids that are unique within the conversation as long as `turn` is."""
    numbered: list[ToolCall] = [{**each, "id": f"call_{turn}_{index}"} for index, each in enumerate(calls)]
    message: Message = {"role": "assistant", "content": content}
    if numbered:
        message["tool_calls"] = numbered
    return message


def turns_taken(messages: list[Message]) -> int:
    """How many assistant messages the conversation holds."""
    return sum(message["role"] == "assistant" for message in messages)
