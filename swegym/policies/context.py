"""What to do when a conversation outgrows a model: the oldest tool outputs are elided, and the model is told so.

Opening, hints, and what the assistant said stay whole. Nothing is elided before it must be; when it must, so much is
that the conversation does not outgrow the model again on the very next turn.
"""

from __future__ import annotations

from collections.abc import Callable

from swegym.types import Message

ELIDED = "[{count} characters of output elided, because the conversation had grown too long. Call the tool again.]"
SHORT = 200  # characters; outputs up to this stay as they are, since eliding them would gain nothing


def outputs_of(messages: list[Message]) -> list[int]:
    """Where tool outputs stand that can be elided, the oldest first."""
    return [
        index
        for index, message in enumerate(messages)
        if message["role"] == "tool" and len(message.get("content") or "") > SHORT
    ]


def without_outputs(messages: list[Message], count: int) -> list[Message]:
    """The conversation with its `count` oldest long tool outputs replaced by a note of their length."""
    gone = set(outputs_of(messages)[:count])
    return [
        {**message, "content": ELIDED.format(count=len(message.get("content") or ""))} if index in gone else message
        for index, message in enumerate(messages)
    ]


def outputs_to_elide(messages: list[Message], fits: Callable[[list[Message]], bool], at_least: int = 0) -> int | None:
    """The smallest number of oldest outputs without which the conversation `fits`; None if it never does."""
    longest = len(outputs_of(messages))
    low, high = min(at_least, longest), longest
    if not fits(without_outputs(messages, high)):
        return None
    while low < high:
        middle = (low + high) // 2
        if fits(without_outputs(messages, middle)):
            high = middle
        else:
            low = middle + 1
    return low
