"""The `self` teacher: the student's own network, given feedback in its prompt. The environment's builder of VPD.

Public. The hint is what the last attempt's own visible tests said, and how it ended; nobody who knows more has a word
in it. What makes it a teacher is that the student reads it.
"""

from __future__ import annotations

import pydantic

from swegym.config import Config
from swegym.guidance.sight import Question
from swegym.guidance.visible import visible_results
from swegym.messages import shorten
from swegym.types import Guidance


class SelfOptions(Config):
    characters: int = pydantic.Field(3000, ge=200)
    """Of the test results, what is quoted: the first and the last half of it."""


def self_feedback(options: SelfOptions, question: Question) -> Guidance | None:
    attempt = question.attempt
    if not attempt.messages:
        return None
    results = visible_results(attempt)
    said = []
    if not attempt.patch.strip():
        said.append("The last attempt ended without a change to the source.")
    if attempt.stop_reason in ("turns", "seconds", "tokens"):
        said.append(f"It ran out of {attempt.stop_reason}.")
    if results is not None:
        said.append(
            f"The repository's own tests last said, after its changes:\n\n{shorten(results, options.characters)}"
        )
    elif attempt.patch.strip():
        said.append(
            "The last attempt never ran the repository's own tests, so nothing told it whether its change holds."
        )
    return Guidance("self", {"environment_feedback": "\n".join(said)}, privileged=False) if said else None
