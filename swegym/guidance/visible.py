"""What an attempt showed for itself: the results of visible tests, and its conversation as text of bounded length."""

from __future__ import annotations

from swegym.guidance.message import without_guidance
from swegym.messages import calls_of, shorten, transcript
from swegym.types import Trajectory


def visible_results(attempt: Trajectory) -> str | None:
    """What `run_tests` last answered in an attempt, or None when it was never called."""
    called = ""
    found = None
    for message in attempt.messages:
        if message["role"] == "assistant":
            called = next((str(call["function"]["name"]) for call in calls_of(message)), "")
        elif message["role"] == "tool":
            if called == "run_tests":
                found = message.get("content") or ""
            called = ""  # one call is carried out; ids are the policy's, which may give one to several calls
    return found


def told(attempt: Trajectory, characters: int) -> str:
    """The conversation of an attempt behind its opening, hints taken out, the middle left out where it is long."""
    messages = without_guidance(attempt.messages)
    spoken = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    return shorten(transcript(messages[spoken[0] :]), characters) if spoken else ""
