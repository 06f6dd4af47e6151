"""The decomposition of a gain, after Guide: what training did on problems that were solved, in reach, or out of reach.

For each task, with n samples before and n after, p0 and p1 are the shares that solved it. A task is *solved* if p0 is
at least `solved_at`; *reachable* if it is not, and one of its first k samples before solved it; else *unreachable*.

    retention         = 1/N sum over solved      of p1 - p0      (forgetting makes it negative)
    self_distillation = 1/N sum over reachable   of p1 - p0
    capability_gain   = 1/N sum over unreachable of p1 - p0
    net               = their sum = mean p1 - mean p0

None of k is not the same as impossible: a task that k samples missed by bad luck counts as a gain of capability when
it is solved later. How much of that is luck, the placebo says: a second sample of the *untrained* policy in the place
of the trained one, through the same formula. A capability gain within it is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from swegym.errors import InputError
from swegym.report.bootstrap import interval
from swegym.rollout.causes import enters_rates
from swegym.types import Trajectory

Class = Literal["solved", "reachable", "unreachable"]
PARTS: dict[str, Class] = {
    "self_distillation": "reachable",
    "capability_gain": "unreachable",
    "retention": "solved",
}


@dataclass(frozen=True, slots=True)
class TaskChange:
    """One task: its class before, and the shares of samples that solved it before and after."""

    task: str
    kind: Class
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Part:
    """One summand with its 95 % bootstrap interval over tasks, and the tasks of its class."""

    value: float
    low: float
    high: float
    tasks: int


@dataclass(frozen=True, slots=True)
class Decomposition:
    parts: Mapping[str, Part]
    net: Part
    k: int
    changes: tuple[TaskChange, ...]
    left_out: int = 0  # tasks that only one side attempted, or that were tried fewer than k times before
    placebo: Decomposition | None = None

    def as_json(self) -> dict[str, Any]:
        def shown(part: Part) -> dict[str, Any]:
            return {"value": part.value, "low": part.low, "high": part.high, "tasks": part.tasks}

        return {
            "k": self.k,
            "tasks": len(self.changes),
            "left_out": self.left_out,
            **{name: shown(part) for name, part in self.parts.items()},
            "net": shown(self.net),
            "placebo": self.placebo.as_json() if self.placebo else None,
        }


def outcomes(trajectories: Iterable[Trajectory]) -> dict[str, list[bool]]:
    """For each task, in the order of attempts, whether each judged attempt without a hint solved it."""
    found: dict[str, list[bool]] = {}
    for one in sorted(trajectories, key=lambda t: (t.task, t.attempt)):
        if not one.guided and enters_rates(one.verdict):
            found.setdefault(one.task, []).append(one.verdict.resolved is True)
    return found


def decompose(
    before: Mapping[str, Sequence[bool]],
    after: Mapping[str, Sequence[bool]],
    *,
    k: int | None = None,
    solved_at: float = 0.5,
    placebo: Mapping[str, Sequence[bool]] | None = None,
) -> Decomposition:
    """The three parts and their sum.

    Args:
        before: Outcomes of the untrained policy by task.
        after: Outcomes of the trained one.
        k: Samples that decide what is reachable; None for as many as the task with the fewest has.
        solved_at: From which share of its samples a task counts as solved before.
        placebo: A second, independent sample of the untrained policy.
    """
    both = [task for task in before if before[task] and after.get(task)]
    if not both:
        raise InputError("no task was attempted both before and after. Compare runs over the same tasks.")
    k = k or min(len(before[task]) for task in both)
    kept = [task for task in both if len(before[task]) >= k]
    if not kept:
        raise InputError(f"k = {k}: no task was tried that often before. Choose a smaller k.")
    changes = tuple(_change(task, before[task], after[task], k, solved_at) for task in kept)
    net = Part(_mean(changes, None), *interval(changes, lambda drawn: _mean(drawn, None)), len(changes))
    return Decomposition(
        {name: _part(changes, kind) for name, kind in PARTS.items()},
        net,
        k,
        changes,
        len(set(before) | set(after)) - len(kept),
        decompose(before, placebo, k=k, solved_at=solved_at) if placebo is not None else None,
    )


def _change(task: str, before: Sequence[bool], after: Sequence[bool], k: int, solved_at: float) -> TaskChange:
    rate = sum(before) / len(before)
    kind: Class = "solved" if rate >= solved_at else "reachable" if any(before[:k]) else "unreachable"
    return TaskChange(task, kind, rate, sum(after) / len(after))


def _mean(changes: Sequence[TaskChange], kind: Class | None) -> float:
    """The sum of what changed on tasks of a class (None: of all), over the number of all tasks."""
    return sum(one.after - one.before for one in changes if kind in (None, one.kind)) / len(changes)


def _part(changes: Sequence[TaskChange], kind: Class) -> Part:
    low, high = interval(changes, lambda drawn: _mean(drawn, kind))
    return Part(_mean(changes, kind), low, high, sum(one.kind == kind for one in changes))
