"""Token ids of a conversation as its messages record them, whoever sampled them: a local model or a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swegym.types import Message


@dataclass(frozen=True, slots=True)
class Known:
    """A conversation up to the end of its last assistant message, as ids."""

    ids: tuple[int, ...]
    turn: int  # index of that message
    elided: int  # tool outputs missing from the ids


def known_ids(messages: list[Message], mark: str) -> Known | None:
    """The ids of a conversation up to its last assistant message, as `extra` has them; None if some are missing."""
    ids: tuple[int, ...] | None = None
    turn, elided = -1, 0
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        extra: dict[str, Any] = message.get("extra") or {}
        if not isinstance(extra.get("token_ids"), list) or extra.get("tokenizer") != mark or not extra["token_ids"]:
            ids = None
        elif isinstance(extra.get("prompt_token_ids"), list):
            ids = (*extra["prompt_token_ids"], *extra["token_ids"])
        elif ids is not None and isinstance(extra.get("context_token_ids"), list):
            ids = (*ids, *extra["context_token_ids"], *extra["token_ids"])
        else:
            ids = None
        turn, elided = index, extra.get("elided", 0)
    return None if ids is None else Known(ids, turn, elided)


def span_between(ids: Sequence[int], plain: Sequence[int]) -> tuple[int, int] | None:
    """The one span [start, end) of `ids` without which they are `plain`; None if there is none."""
    start = common(ids, plain)
    end = start + len(ids) - len(plain)
    return (start, end) if end > start and ids[end:] == plain[start:] else None


def common(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Length of the common beginning of two sequences."""
    shorter = min(len(first), len(second))
    for index in range(shorter):
        if first[index] != second[index]:
            return index
    return shorter
