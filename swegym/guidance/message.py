"""A hint as it stands in the conversation: one marked user message, which can be taken out again without a trace.

The text has a fixed shape, so that a policy without a language model can read it too. The parts come in the order of
`PARTS`, each under its heading, between `OPENING` and `CLOSING`; the interaction part names places, one a line:
`Look at: src/package/module.py, function Class.method, lines 10-14`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from swegym.errors import GuidanceError
from swegym.types import Guidance, Message

OPENING = "<<< suggestion from a reviewer"
CLOSING = ">>> end of the suggestion"
PARTS = {"plan": "Plan", "environment_feedback": "Feedback", "interaction": "Where to look"}
Place = Literal["start", "takeover", "feedback"]
LONGEST = 20_000  # characters of a hint
_TRUST = "It is no more than that: it may be wrong, and the paths and lines it names may not exist."
_SILENCE = "Explain each step from what you find, as if you had never been given a suggestion, and do not refer to it."
INSTRUCTIONS: dict[Place, str] = {
    "start": (
        f"Somebody who looked at this problem left the suggestion below. {_TRUST} Nothing has been done yet, so start "
        f"from the beginning and check everything yourself. {_SILENCE}"
    ),
    "takeover": (
        "Somebody who looked at this problem, and at an attempt that began with the steps above and failed, left the "
        f"suggestion below. {_TRUST} The repository is as your last step left it, and what the suggestion says of that "
        f"attempt may be of steps that you have not taken. Go on from here and check everything yourself. {_SILENCE}"
    ),
    "feedback": (
        "What you submitted does not solve the problem. The repository is as you left it: go on from there, and submit "
        f"again when you are done. Somebody who looked at it left the suggestion below. {_TRUST} Check everything "
        f"yourself. {_SILENCE}"
    ),
}
"""What stands above the suggestion, by where the hint stands: in the opening, behind a turn, behind a submission."""


def guidance_message(guidance: Guidance, place: Place = "start") -> Message:
    """The hint as a user message for a place in the conversation, marked by `extra["source"] == "guidance"`.

    Raises:
        GuidanceError: The hint is empty or too long, has a part that is not in `PARTS`, or contains a delimiter.
    """
    unknown = sorted(set(guidance.parts) - set(PARTS))
    if unknown:
        raise GuidanceError(f"guidance of {guidance.teacher!r} has a part {unknown[0]!r}. Use: {', '.join(PARTS)}.")
    parts = [(heading, guidance.parts.get(name, "").strip()) for name, heading in PARTS.items()]
    if not any(text for _, text in parts):
        raise GuidanceError(f"guidance of {guidance.teacher!r} says nothing. A teacher without a hint returns None.")
    if any(delimiter in text for _, text in parts for delimiter in (OPENING, CLOSING)):
        raise GuidanceError(f"guidance of {guidance.teacher!r} contains a delimiter of the hint. Leave it out.")
    if sum(len(text) for _, text in parts) > LONGEST:
        raise GuidanceError(f"guidance of {guidance.teacher!r} has more than {LONGEST} characters. Say less.")
    shown = "\n\n".join(f"## {heading}\n{text}" for heading, text in parts if text)
    return {
        "role": "user",
        "content": f"{INSTRUCTIONS[place]}\n\n{OPENING}\n\n{shown}\n\n{CLOSING}",
        "extra": {"source": "guidance"},
    }


def is_guidance(message: Message) -> bool:
    """Whether this is a hint. What a policy says never is, or it could have its own turns taken out."""
    return message["role"] != "assistant" and message.get("extra", {}).get("source") == "guidance"


def without_guidance(messages: Iterable[Message]) -> list[Message]:
    """The conversation as it would stand had no hint been given; every other message is passed on unchanged."""
    return [message for message in messages if not is_guidance(message)]
