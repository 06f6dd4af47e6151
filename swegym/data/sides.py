"""A side: an attempt as training data sees it, without hints and without `extra`.

It is cut where the policy first and last spoke: the opening is what it was asked, the completion what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from swegym.guidance import is_guidance
from swegym.messages import calls_of
from swegym.types import Message, Trajectory


@dataclass(frozen=True, slots=True)
class Side:
    trajectory: Trajectory
    opening: list[Message]
    completion: list[Message]
    replayed: int  # of the completion's messages, those taken over from another episode

    @property
    def behind_submission(self) -> bool:
        """Whether it went on where another attempt had submitted, a state that no attempt without a hint comes to."""
        return any(name == "submit" for name, _ in actions(self.completion[: self.replayed]))

    @property
    def characters(self) -> int:
        """Of opening and completion, written as JSON."""
        return sum(len(json.dumps(message, ensure_ascii=False)) for message in [*self.opening, *self.completion])


def side(trajectory: Trajectory, *, keep_hint: bool = False) -> Side:
    """The side of an attempt; `keep_hint` leaves the hint in it, for the ablation that trains on it."""
    kept = [message for message in trajectory.messages if keep_hint or not is_guidance(message)]
    spoken = [place for place, message in enumerate(kept) if message["role"] == "assistant"]
    first, end = (spoken[0], spoken[-1] + 1) if spoken else (len(kept), len(kept))
    taken_over = [place for place in spoken if kept[place].get("extra", {}).get("replayed")]
    # What answered the last of them belongs to the same state.
    own = [place for place in spoken if not kept[place].get("extra", {}).get("replayed")]
    replayed = ((own[0] if own else end) - first) if taken_over else 0
    messages = bare(kept)
    return Side(trajectory, messages[:first], messages[first:end], replayed)


def bare(messages: Iterable[Message]) -> list[Message]:
    """Messages without `extra`."""
    stripped = []
    for message in messages:
        copy = message.copy()
        copy.pop("extra", None)
        stripped.append(copy)
    return stripped


def issue_of(trajectory: Trajectory) -> str:
    """The issue that an attempt was asked to solve: what stands between the tags of its opening, else all of it."""
    for message in trajectory.messages:
        if message["role"] == "user" and not is_guidance(message):
            text = message.get("content") or ""
            _, begun, rest = text.partition("<issue>")
            issue, ended, _ = rest.rpartition("</issue>")  # the last one: an issue may speak of such tags
            return issue.removeprefix("\n").removesuffix("\n") if begun and ended else text
    return ""


def written(messages: Iterable[Message]) -> str:
    """What the policy wrote: its words and the arguments of its calls."""
    parts: list[str] = []
    for message in messages:
        if message["role"] == "assistant":
            parts.append(message.get("content") or "")
            parts += [f"{call['function']['name']} {call['function']['arguments']}" for call in calls_of(message)]
    return "\n".join(parts)


def actions(messages: Iterable[Message]) -> list[tuple[str, str]]:
    """The calls of a policy, whatever it said around them."""
    return [
        (str(call["function"]["name"]), str(call["function"]["arguments"]))
        for message in messages
        if message["role"] == "assistant"
        for call in calls_of(message)
    ]


def shared_prefix(one: Side, other: Side) -> int:
    """How many messages of the completions are the same on both sides, up to the first policy turn that differs."""
    same = 0
    for number, (mine, yours) in enumerate(zip(one.completion, other.completion, strict=False)):
        if mine != yours:
            break
        same = number + 1
    # A prompt ends before a turn of the policy.
    while same and (same >= len(one.completion) or one.completion[same]["role"] != "assistant"):
        same -= 1
    return same
