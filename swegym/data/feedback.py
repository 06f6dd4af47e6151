"""Feedback: what the teacher's prompt of self-distillation (SDPO, VPD) may say of an attempt. The text `C` of VPD.

It is built of what the environment or other attempts of the group said, without a model and without anything hidden,
and it stands in rollout groups beside the attempt. An attempt never gets feedback made of itself as a solution.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from swegym.guidance.visible import visible_results
from swegym.messages import shorten
from swegym.types import Message, Trajectory

CHARACTERS = 4000  # of what an attempt's tests said

FeedbackBuilder = Callable[[Trajectory, Sequence[Trajectory]], "str | None"]


def environment_feedback(attempt: Trajectory, group: Sequence[Trajectory]) -> str | None:
    """The last result of the *visible* tests that the attempt ran itself, or None when it never ran them."""
    result = visible_results(attempt)
    if result is None:
        return None
    return f"An earlier attempt changed the repository, and its tests then said:\n\n{shorten(result, CHARACTERS)}"


def sibling_feedback(attempt: Trajectory, group: Sequence[Trajectory]) -> str | None:
    """The patch of another successful attempt of the group, drawn by the attempt's id; None when there is none."""
    solved = [other for other in group if other.verdict.resolved and other.id != attempt.id and other.patch.strip()]
    if not solved:
        return None
    other = random.Random(f"sibling/{attempt.id}").choice(sorted(solved, key=lambda found: found.id))
    return f"Another attempt solved this problem with this change:\n\n{other.patch}"


BUILDERS: dict[str, FeedbackBuilder] = {"sibling": sibling_feedback, "env": environment_feedback}


def feedback_for(
    attempt: Trajectory, group: Sequence[Trajectory], kinds: Sequence[str]
) -> tuple[str | None, str | None]:
    """The feedback of the first kind that has any, and that kind."""
    for kind in kinds:
        text = BUILDERS[kind](attempt, group)
        if text is not None:
            return text, kind
    return None, None


def feedback_message(text: str) -> Message:
    """Feedback as it stands in a conversation, behind the opening; marked like a hint, for it comes and goes as one."""
    return {"role": "user", "content": text, "extra": {"source": "guidance"}}
