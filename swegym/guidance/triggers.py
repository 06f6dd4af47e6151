"""A trigger: which plain attempts of a task are followed by a guided one. A pure function over the task's group.

An attempt that could not be judged (`resolved is None`) is no evidence of anything: it never triggers, and it does not
keep `all-fail` from firing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swegym.errors import UnknownName
from swegym.types import PublicTask, Trajectory, Verdict

Trigger = Callable[[Sequence[Trajectory]], "list[Trajectory]"]


def never(group: Sequence[Trajectory]) -> list[Trajectory]:
    return []


def on_failure(group: Sequence[Trajectory]) -> list[Trajectory]:
    """Every failed attempt is retried (Agent-RLVR)."""
    return [attempt for attempt in group if attempt.verdict.resolved is False]


def all_fail(group: Sequence[Trajectory]) -> list[Trajectory]:
    """Failed attempts are retried only where no attempt succeeded (Guide)."""
    return [] if any(attempt.verdict.resolved for attempt in group) else on_failure(group)


def always(group: Sequence[Trajectory]) -> list[Trajectory]:
    """Every judged attempt is followed by a guided one, also a success, which the teacher is not shown."""
    return [attempt for attempt in group if attempt.verdict.resolved is not None]


TRIGGERS: dict[str, Trigger] = {"never": never, "on-failure": on_failure, "all-fail": all_fail, "always": always}


def make_trigger(name: str) -> Trigger:
    if name not in TRIGGERS:
        raise UnknownName.among("trigger", name, TRIGGERS)
    return TRIGGERS[name]


def unattempted(task: PublicTask) -> Trajectory:
    """What a teacher is shown when there is no failed attempt: no messages, no patch, and a verdict of nothing."""
    nothing = Verdict(resolved=None, cause=None, reason="not attempted yet")
    return Trajectory(
        id=f"{task.id}__none",
        task=task.id,
        set=task.set,
        task_digest=task.digest,
        attempt=-1,
        policy="",
        policy_version="",
        seed=0,
        messages=(),
        tools=(),
        patch="",
        verdict=nothing,
        stop_reason="",
        seconds={},
    )
