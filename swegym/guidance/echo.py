"""An echo: an assistant message that shows that there was a hint. Training on it would teach to speak of hints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from swegym.guidance.message import CLOSING, OPENING
from swegym.types import Guidance, Message

SENTENCE_LENGTH = 25  # characters from which a sentence of the hint, repeated, is no chance
_MENTION = re.compile(r"\b(?:the|this|that|your|given|provided|reviewer's)\s+(?:hint|guidance|suggestion)s?\b", re.I)


def echoes(messages: Iterable[Message], guidance: Guidance) -> bool:
    """Whether an assistant message repeats a delimiter or a sentence of the hint, or speaks of it."""
    telling = [_plain(text.strip("<> ")) for text in (OPENING, CLOSING)]
    for part in guidance.parts.values():
        telling += [_plain(text) for text in re.split(r"\n|(?<=[.!?;])\s+", part) if len(text) >= SENTENCE_LENGTH]
    for message in messages:
        if message["role"] != "assistant":
            continue
        if _MENTION.search(message.get("content") or ""):
            return True
        said = [_plain(text) for text in _texts(message)]
        if any(sentence in text for sentence in telling for text in said):
            return True
    return False


def _texts(message: Message) -> Iterator[str]:
    yield message.get("content") or ""
    for call in message.get("tool_calls") or ():
        arguments = call["function"]["arguments"]
        try:
            # Decoded, so that an escaped line end does not hide a sentence.
            values = json.loads(arguments)
        except (TypeError, ValueError, RecursionError):
            values = arguments
        for value in values.values() if isinstance(values, dict) else [values]:
            yield value if isinstance(value, str) else str(value)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
