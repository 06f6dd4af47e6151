"""Tool calls in what a model wrote: one file for each family's way of writing them, chosen by name or by the template.

A parser is a function `(text, tools) -> (content, calls)`; a call is a tool's name and its arguments as JSON text. A
call that is broken stays a call: it keeps the arguments as they were written, and the env explains what is wrong with
them. Every call is kept, in order; that only the first is carried out is the env's rule, and the env says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

from swegym.errors import UnknownName
from swegym.types import Message, ToolCall, ToolSchema

Call = tuple[str, str]
Parser = Callable[[str, list[ToolSchema]], tuple[str, list[Call]]]

FORMATS = {
    "coder": "swegym.policies.tool_calls.coder",
    "hermes": "swegym.policies.tool_calls.hermes",
    "llama": "swegym.policies.tool_calls.llama",
    "mistral": "swegym.policies.tool_calls.mistral",
    "text": "swegym.policies.tool_calls.text",
}


def find_parser(name: str) -> Parser:
    if name not in FORMATS:
        raise UnknownName.among("tool call format", name, FORMATS, 'Or "auto", to choose by the chat template.')
    parser: Parser = import_module(FORMATS[name]).parse
    return parser


def format_of(template: str) -> str:
    """The format that a chat template shows calls in; "text" for one that knows no tools."""
    if "<function=" in template and "<parameter=" in template:
        return "coder"
    if "[TOOL_CALLS]" in template:
        return "mistral"
    if "<tool_call>" in template:
        return "hermes"
    if "<|start_header_id|>" in template and '"parameters"' in template:
        return "llama"
    return "text"


def message_of(text: str, parser: Parser, tools: list[ToolSchema], *, turn: int) -> Message:
    """The assistant message that a text stands for.

    What stands between <think> and </think> calls nothing and stays in the content. Ids of calls are nine letters and
    digits, which every family takes, and unique within the conversation as long as `turn` is.
    """
    thought, mark, said = text.rpartition("</think>")
    if not mark and "<think>" in text:
        thought, said = text, ""  # it never came to speak
    content, found = parser(said, tools)
    calls: list[ToolCall] = [
        {"id": f"call{turn:03d}{index:02d}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(found)
    ]
    message: Message = {"role": "assistant", "content": f"{thought}{mark}{content}" if thought or mark else content}
    if calls:
        message["tool_calls"] = calls
    return message


def as_text(arguments: Any) -> str:
    """Arguments as JSON text; text stays what it is."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
