"""Guards: which attempts may become training data at all, asked by every product before anything else.

An attempt is refused when nobody judged it, when it worked on its judge or took bait instead of solving the task, when
its task is held out for evaluation, and when its task's tests are not to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from swegym.data.attempts import refuse_coinciding
from swegym.data.rows import Drops
from swegym.rollout.causes import may_train
from swegym.types import Trajectory

TAMPERED = "worked on its judge"
BAIT = "took bait"

Refusal = Callable[[Trajectory], "str | None"]  # why an attempt may not be used, or None


@dataclass(frozen=True, slots=True)
class Guards:
    """What is refused besides the fixed rules; the defaults refuse nothing more."""

    refusals: tuple[Refusal, ...] = ()
    """Asked in order; see `held_out` and `unhealthy`."""
    max_characters: int | None = None
    """Of a side, opening included; longer ones are not used."""
    near_duplicates: float | None = 0.95
    """From which likeness a success repeats an earlier one of its task; None keeps all."""
    length: Literal["report", "balance"] = "report"
    """What to do about pairs whose chosen side is longer, or shorter, more often than not."""

    def refuse(self, trajectory: Trajectory) -> str | None:
        if not may_train(trajectory.verdict):
            return f"not judged: {trajectory.verdict.cause}"
        if trajectory.verdict.tampering:
            return TAMPERED
        if trajectory.bait:
            return BAIT
        return next((reason for refusal in self.refusals if (reason := refusal(trajectory))), None)

    def admit(self, trajectories: Iterable[Trajectory], drops: Drops) -> list[Trajectory]:
        """Those that may be used, in an order of their own; the others are put on the account.

        Raises:
            InputError: Two attempts have one id.
        """
        trajectories = list(trajectories)
        refuse_coinciding(trajectories)
        admitted = []
        for trajectory in in_order(trajectories):
            reason = self.refuse(trajectory)
            if reason is None:
                admitted.append(trajectory)
            else:
                drops.add(reason, trajectory.id)
        return admitted


def in_order(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """By task, then id: what is made of attempts does not depend on the order in which they are handed in."""
    return sorted(trajectories, key=lambda t: (t.task, t.id, t.created, t.seed))
