"""Spaces of chat messages: what may be said in an episode, as Gymnasium wants it described.

`gymnasium.spaces.Text` knows alphanumeric characters only, so no shell command and no program output is a member of it.
These spaces hold any text that UTF-8 can carry. They check shape, not sense: a message with a tool call that cannot be
understood is a member, and the env answers it with an explanation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Space

from swegym.types import Message, ToolFunction

ROLES = ("system", "user", "assistant", "tool")
_KEYS = {"role", "content", "tool_calls", "tool_call_id", "extra"}
_SAMPLE_CHARACTERS = "abcdefghijklmnopqrstuvwxyz ABC 0123456789 ()[]{}<>|&;$'\"\\/-_=+\t\nàßñ中文🙂\u2028"


def is_text(value: Any) -> bool:
    """Whether `value` is a str that UTF-8 can carry; half a surrogate pair is not."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_message(value: Any, roles: Sequence[str] = ROLES) -> bool:
    """Whether `value` is a dict in the shape of `swegym.types.Message` with one of `roles`."""
    return (
        isinstance(value, dict)
        and value.get("role") in roles
        and value.keys() <= _KEYS
        and is_text(value.get("content", ""))
        and is_text(value.get("tool_call_id", ""))
        and isinstance(value.get("extra", {}), dict)
        and isinstance(value.get("tool_calls", []), list)
        and all(_is_tool_call(call) for call in value.get("tool_calls", []))
    )


def _is_tool_call(value: Any) -> bool:
    if not isinstance(value, dict) or not is_text(value.get("id")) or value.get("type") != "function":
        return False
    function = value.get("function")
    return isinstance(function, dict) and is_text(function.get("name")) and is_text(function.get("arguments"))


def random_text(generator: np.random.Generator, longest: int = 40) -> str:
    length = int(generator.integers(0, longest + 1))
    return "".join(_SAMPLE_CHARACTERS[i] for i in generator.integers(0, len(_SAMPLE_CHARACTERS), size=length))


class UnicodeSpace(Space[str]):
    """Any text that UTF-8 can carry. `sample` draws short text with awkward characters, or the given `noop`."""

    def __init__(self, noop: str | None = None, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(None, None, seed)
        self.noop = noop

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        return random_text(self.np_random) if self.noop is None else self.noop

    def contains(self, x: Any) -> bool:
        return is_text(x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeSpace) and other.noop == self.noop

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"UnicodeSpace({'' if self.noop is None else f'noop={self.noop!r}'})"


class MessageSpace(Space[Message]):
    """One chat message of the given roles. `sample` gives an assistant's call of `noop`, a tool and its arguments.

    Without `noop`, `sample` gives a message of plain random text.
    """

    def __init__(
        self,
        roles: Sequence[str] = ROLES,
        noop: tuple[str, Mapping[str, Any]] | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(None, None, seed)
        self.roles = tuple(roles)
        self.noop = None if noop is None else ToolFunction(name=noop[0], arguments=json.dumps(dict(noop[1])))

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: None = None, probability: None = None) -> Message:
        if self.noop is None or "assistant" not in self.roles:
            role: Any = self.roles[int(self.np_random.integers(len(self.roles)))]
            return Message(role=role, content=random_text(self.np_random))
        identity = f"call_{int(self.np_random.integers(1 << 32)):08x}"
        function = ToolFunction(name=self.noop["name"], arguments=self.noop["arguments"])
        return Message(
            role="assistant", content="", tool_calls=[{"id": identity, "type": "function", "function": function}]
        )

    def contains(self, x: Any) -> bool:
        return is_message(x, self.roles)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MessageSpace) and (other.roles, other.noop) == (self.roles, self.noop)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        noop = "" if self.noop is None else f", noop=({self.noop['name']!r}, {json.loads(self.noop['arguments'])!r})"
        return f"MessageSpace(roles={self.roles!r}{noop})"


class ConversationSpace(Space[list[Message]]):
    """A list of chat messages of any role; `sample` gives one to three of them."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(None, None, seed)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: None = None, probability: None = None) -> list[Message]:
        count = int(self.np_random.integers(1, 4))
        return [Message(role="user", content=random_text(self.np_random)) for _ in range(count)]

    def contains(self, x: Any) -> bool:
        return isinstance(x, list) and all(is_message(message) for message in x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConversationSpace)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "ConversationSpace()"
