"""Tasks whose tests are not trusted: those that `swegym tasks check` found wanting. What was never checked passes."""

from __future__ import annotations

from swegym.data.guards import Refusal
from swegym.tasks import health
from swegym.types import Trajectory

UNSOUND = "a check found its task unsound"
FLAKY = "a check found its task's tests flaky"
WEAK = "a check found its task's tests weak"


def untrusted(least_strength: float = 0.0) -> Refusal:
    """What refuses attempts at tasks that a check found unsound, flaky or weak.

    Args:
        least_strength: Of the wrong fixes tried by the check, the share that the tests must notice; 0.0 asks nothing.
    """
    known: dict[tuple[str, str], health.TaskHealth | None] = {}

    def refuse(trajectory: Trajectory) -> str | None:
        key = trajectory.set, trajectory.task
        if key not in known:
            known[key] = health.load(*key)
        found = known[key]
        if found is None or found.digest != trajectory.task_digest:
            return None  # never checked, or it has changed since
        if not found.sound:
            return UNSOUND
        if found.flaky or found.order:
            return FLAKY
        strength = found.strength
        return WEAK if found.weak or (strength is not None and strength < least_strength) else None

    return refuse
