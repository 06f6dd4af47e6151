"""A trigger: which plain attempts of a task are followed by a guided one. A pure function over the task's group.

An attempt that could not be judged (`resolved is None`) is no evidence of anything: it never triggers, and it does not
keep `all-fail` from firing. Where a trigger has a number k, it only fires once k attempts have been judged: of fewer,
nobody can say that the task is out of reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swegym.errors import InputError, UnknownName
from swegym.types import PublicTask, Trajectory, Verdict

Trigger = Callable[[Sequence[Trajectory]], "list[Trajectory]"]

THRESHOLD = 0.25  # of a group that may have succeeded for it to have mostly failed


def never(group: Sequence[Trajectory]) -> list[Trajectory]:
    return []


def on_failure(group: Sequence[Trajectory]) -> list[Trajectory]:
    """Every failed attempt is retried (Agent-RLVR)."""
    return [attempt for attempt in group if attempt.verdict.resolved is False]


def all_fail(group: Sequence[Trajectory], k: int = 1) -> list[Trajectory]:
    """Failed attempts are retried only where no attempt succeeded (Guide)."""
    return mostly_fail(group, k, 0.0)


def mostly_fail(group: Sequence[Trajectory], k: int = 1, threshold: float = THRESHOLD) -> list[Trajectory]:
    """Failed attempts are retried where at most `threshold` of the judged ones succeeded, and k were judged."""
    judged = [attempt for attempt in group if attempt.verdict.resolved is not None]
    solved = sum(attempt.verdict.resolved is True for attempt in judged)
    return on_failure(judged) if len(judged) >= max(k, 1) and solved <= threshold * len(judged) else []


def always(group: Sequence[Trajectory]) -> list[Trajectory]:
    """Every judged attempt is followed by a guided one, also a success, which the teacher is not shown."""
    return [attempt for attempt in group if attempt.verdict.resolved is not None]


TRIGGERS: dict[str, Callable[..., list[Trajectory]]] = {
    "never": never,
    "on-failure": on_failure,
    "all-fail": all_fail,
    "mostly-fail": mostly_fail,
    "always": always,
}
_NUMBERS = {"all-fail": 1, "mostly-fail": 2}


def make_trigger(name: str) -> Trigger:
    """A trigger by name, with its numbers behind colons: `all-fail:4` (k), `mostly-fail:8:0.25` (k, threshold)."""
    kind, *numbers = name.split(":")
    if kind not in TRIGGERS:
        raise UnknownName.among("trigger", kind, TRIGGERS)
    most = _NUMBERS.get(kind, 0)
    try:
        k = int(numbers[0]) if numbers else 1
        threshold = float(numbers[1]) if len(numbers) > 1 else THRESHOLD
    except ValueError:
        raise InputError(
            f"trigger {name!r}: its numbers cannot be read. Write all-fail:4 or mostly-fail:8:0.25."
        ) from None
    if len(numbers) > most or k < 1 or not 0 <= threshold < 1:
        takes = ("no number", "one number, k from 1 on", "two numbers, k from 1 on and a share below 1")[most]
        raise InputError(f"trigger {name!r}: {kind} takes {takes}. Write all-fail:4 or mostly-fail:8:0.25.")
    if kind == "all-fail":
        return lambda group: all_fail(group, k)
    if kind == "mostly-fail":
        return lambda group: mostly_fail(group, k, threshold)
    return TRIGGERS[kind]


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
