"""The `sibling` teacher: what another attempt at the same task did that succeeded. Never the attempt itself.

It sees which attempts succeeded, nothing hidden. It tells where the other one changed the code and which steps led
there, not what it wrote: a successful patch is an answer. Of a lone success nobody learns here, and itself least.
"""

from __future__ import annotations

import random
from collections import Counter

import pydantic

from swegym.config import Config
from swegym.errors import PatchError
from swegym.guidance.changes import places
from swegym.guidance.oracle import look_at
from swegym.guidance.sight import Question, successes
from swegym.messages import calls_of
from swegym.types import Guidance, Trajectory


class SiblingOptions(Config):
    places: int = pydantic.Field(3, ge=1)
    """How many places are named at most, the most edited first."""
    seed: int = 0
    """Decides which sibling is taken where several succeeded."""


def sibling(options: SiblingOptions, question: Question) -> Guidance | None:
    solved = [one for one in successes(question.group, question.attempt) if one.patch.strip()]
    if not solved:
        return None
    other = random.Random(f"{options.seed}/{question.attempt.id}").choice(solved)
    try:
        changed = places(question.task, other.patch)[: options.places]
    except PatchError:
        return None  # its patch does not fit the base version: it was judged on other files
    parts = {"plan": f"Another attempt at this problem succeeded. {_steps(other)}"}
    if changed:
        parts["interaction"] = "\n".join(look_at(place) for place in changed)
    return Guidance("sibling", parts, privileged=False)


def _steps(other: Trajectory) -> str:
    used = Counter(
        str(call["function"]["name"])
        for message in other.messages
        if message["role"] == "assistant"
        for call in calls_of(message)
    )
    counted = ", ".join(f"{name} {count} time{'s' if count > 1 else ''}" for name, count in used.most_common(5))
    return f"It took {sum(used.values())} steps ({counted}) and changed the code at the places named below."
