"""A chat template at work: messages in the shape it takes, rendered to text.

Templates differ in what they accept. What one refuses is changed as little as possible, the mildest change first:
arguments that are not JSON are wrapped, of several calls the first is kept, user messages in a row are joined, and a
system message becomes part of the first user message. A model without a format for tools is told of them in words.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

from swegym.errors import InputError
from swegym.messages import carried
from swegym.text import HOW_TO_CALL, describe_tools
from swegym.types import Message, ToolSchema

_DEEPEST = 64
Plain = dict[str, Any]  # a message as a template sees it: without `extra`, arguments as objects


class ChatTemplate:
    """Renders conversations with the chat template of `tokenizer`. Not safe for threads.

    Args:
        tokenizer: As transformers loads it.
        origin: Named in errors.
        takes_tools: Whether the template has a format for tools.
        source: Used instead of the tokenizer's own template.
        ends: Texts of the tokens that end a turn, besides those that the template puts behind one.
    """

    def __init__(
        self, tokenizer: Any, origin: str, *, takes_tools: bool, source: str | None = None, ends: Collection[str] = ()
    ) -> None:
        if not (source or tokenizer.chat_template):
            raise InputError(
                f"{origin}: its tokenizer has no chat template. Add chat_template.jinja to the folder, "
                "or set the option chat_template to one of ours, e.g. qwen3."
            )
        self._tokenizer = tokenizer
        self._source = source
        self.origin = origin
        self._takes_tools = takes_tools
        self._known_ends = (*ends, str(tokenizer.eos_token))
        self._marks = marks_of(tokenizer, source or tokenizer.chat_template)

    def render(self, messages: list[Message], tools: list[ToolSchema], *, reply: bool) -> str:
        """The conversation as text; with `reply`, up to where the assistant's next message begins."""
        plain = [self._plain(message) for message in messages]
        if not self._takes_tools:
            plain = in_words(plain, tools)
        problem: Exception | None = None
        for change in (None, simpler, joined, headless):
            plain = change(plain) if change else plain
            try:
                text: str = self._tokenizer.apply_chat_template(
                    plain,
                    tools=(tools or None) if self._takes_tools else None,
                    chat_template=self._source,
                    add_generation_prompt=reply,
                    tokenize=False,
                )
                return text
            except Exception as error:  # a template may raise anything; the last refusal is reported
                problem = error
        raise InputError(f"{self.origin}: its chat template cannot render the conversation: {problem}") from problem

    def ids(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def _plain(self, message: Message) -> Plain:
        marks = self._ends if message["role"] == "assistant" else self._marks
        plain: Plain = {"role": message["role"], "content": defused(message.get("content") or "", marks)}
        if message.get("tool_calls"):
            plain["tool_calls"] = [_readable(call, marks) for call in message["tool_calls"]]
        if message.get("tool_call_id"):
            plain["tool_call_id"] = defused(message["tool_call_id"], marks)
        return plain

    @cached_property
    def _ends(self) -> tuple[str, ...]:
        """The marks behind an assistant's text. It holds none of them, for sampling ends there; others it may hold."""
        self._ends = ()  # what is rendered here has none
        turn: list[Message] = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        try:
            _, _, behind = self.render(turn, [], reply=False).rpartition("y")
        except InputError:
            behind = ""
        return tuple(mark for mark in self._marks if mark in behind or mark in self._known_ends)


def marks_of(tokenizer: Any, template: str) -> tuple[str, ...]:
    """Texts that become tokens with a meaning: the special ones, and others that the template writes.

    A tokenizer need not count among its special tokens what its file says is special: Llama's names the end of a turn
    alone. Tokens besides, such as Gemma's for tags of HTML, are text.
    """
    added = tokenizer.added_tokens_decoder.values()
    meant = [t.content for t in added if t.special or (t.content in template and not t.content.isalnum())]
    return tuple(text for text in dict.fromkeys([*tokenizer.all_special_tokens, *meant]) if len(text.strip()) > 1)


def defused(text: str, marks: Sequence[str]) -> str:
    """Text of a file, a program or a policy, which must not end its message and begin another."""
    for mark in marks:
        if mark in text:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return carried(text)


def _readable(call: Any, marks: Sequence[str]) -> Any:
    """A call with its arguments as an object, or as they were written where that is none that a template can show."""
    function = call["function"]
    written = function["arguments"]
    try:
        arguments = json.loads(written) if isinstance(written, str) else written
        shown = _shown(arguments if isinstance(arguments, dict) else written, marks)
    except (ValueError, RecursionError):
        shown = _shown(written, marks)
    plain = {**function, "name": _shown(function.get("name"), marks), "arguments": shown}
    return {**_shown({key: value for key, value in call.items() if key != "function"}, marks), "function": plain}


def _shown(value: Any, marks: Sequence[str], depth: int = 0) -> Any:
    """A value of JSON with its texts defused, once they are decoded. A template calls itself for each level of it."""
    if depth > _DEEPEST:
        raise ValueError("deeper than a template can show")
    if isinstance(value, str):
        return defused(value, marks)
    if isinstance(value, dict):
        return {_shown(key, marks): _shown(inner, marks, depth + 1) for key, inner in value.items()}
    return [_shown(inner, marks, depth + 1) for inner in value] if isinstance(value, list) else value


def simpler(messages: list[Plain]) -> list[Plain]:
    """One call in each message, and arguments that are an object."""
    changed = []
    for message in messages:
        if message.get("tool_calls"):
            call = message["tool_calls"][0]
            arguments = call["function"]["arguments"]
            known = arguments if isinstance(arguments, dict) else {"arguments": arguments}
            message = {**message, "tool_calls": [{**call, "function": {**call["function"], "arguments": known}}]}
        changed.append(message)
    return changed


def joined(messages: list[Plain]) -> list[Plain]:
    """User messages in a row as one."""
    changed: list[Plain] = []
    for message in messages:
        if changed and message["role"] == changed[-1]["role"] == "user":
            changed[-1] = {**changed[-1], "content": f"{changed[-1]['content']}\n\n{message['content']}"}
        else:
            changed.append(message)
    return changed


def headless(messages: list[Plain]) -> list[Plain]:
    """The system message at the head of the first user message."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return messages
    first = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
    return [first, *messages[2:]]


def in_words(messages: list[Plain], tools: list[ToolSchema]) -> list[Plain]:
    """The conversation for a model that knows no tools: told in words what there are, their answers as user text."""
    changed: list[Plain] = []
    for message in messages:
        role = "user" if message["role"] == "tool" else message["role"]
        changed.append({"role": role, "content": message["content"]})
    if tools and changed:
        told = f"{changed[0]['content']}\n\n{describe_tools(tools)}\n\n{HOW_TO_CALL}"
        changed[0] = {**changed[0], "content": told}
    return changed
