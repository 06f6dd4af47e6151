"""The summary of a run: what its trajectories add up to, per task and in total.

Four outcomes are kept apart: solved, failed (the agent's doing), an empty patch (also failed, counted on its own), and
invalid (not judged: somebody else's doing, by cause). Invalid attempts enter no rate.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from swegym.report.hacking import Hacking, hacking
from swegym.report.statistics import Estimate, mean_pass_at_k
from swegym.types import Trajectory


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """One task of a run: judged attempts and solved ones, without and with guidance; seconds of all its attempts."""

    task: str
    plain: int = 0
    plain_solved: int = 0
    guided: int = 0
    guided_solved: int = 0
    invalid: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in numbers. `solved_plain` and `solved_guided` count tasks; the other counts are of attempts."""

    name: str
    policies: tuple[str, ...]
    attempts: int
    guided_attempts: int
    empty_patches: int
    invalid: Mapping[str, int]
    stop_reasons: Mapping[str, int]
    pass_at: Mapping[int, Estimate]  # of the attempts without guidance
    seconds: Mapping[str, float]  # per phase, over all attempts
    tasks: tuple[TaskOutcome, ...] = field(default=())
    hacking: Hacking = field(default=Hacking())
    unread: Mapping[str, int] = field(default_factory=dict)  # lines of the run that could not be read, by reason

    @property
    def solved_plain(self) -> int:
        return sum(task.plain_solved > 0 for task in self.tasks)

    @property
    def solved_guided(self) -> int:
        """Tasks that some guided attempt solved; with the trigger `always` a plain one may have solved them too."""
        return sum(task.guided_solved > 0 for task in self.tasks)

    @property
    def solved_only_guided(self) -> int:
        return sum(task.guided_solved > 0 and task.plain_solved == 0 for task in self.tasks)

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.name,
            "policies": list(self.policies),
            "tasks": len(self.tasks),
            "attempts": self.attempts,
            "guided_attempts": self.guided_attempts,
            "solved_plain": self.solved_plain,
            "solved_guided": self.solved_guided,
            "solved_only_guided": self.solved_only_guided,
            "empty_patches": self.empty_patches,
            "invalid": dict(self.invalid),
            "unread": dict(self.unread),
            "hacking": self.hacking.as_json(),
            "stop_reasons": dict(self.stop_reasons),
            "pass_at": {
                str(k): {"value": rate.value, "low": rate.low, "high": rate.high, "tasks": rate.tasks}
                for k, rate in self.pass_at.items()
            },
            "seconds": {phase: round(seconds, 3) for phase, seconds in self.seconds.items()},
            "per_task": [
                {
                    "task": task.task,
                    "plain": task.plain,
                    "plain_solved": task.plain_solved,
                    "guided": task.guided,
                    "guided_solved": task.guided_solved,
                    "invalid": task.invalid,
                    "seconds": round(task.seconds, 3),
                }
                for task in self.tasks
            ],
        }


def summarise(
    name: str, trajectories: Iterable[Trajectory], unread: Mapping[str, int] = MappingProxyType({})
) -> RunSummary:
    """Add up the trajectories of one run, tasks in the order of their first appearance.

    `unread` counts lines of the run that could not be read, by what is wrong with them.
    """
    trajectories = list(trajectories)
    per_task: dict[str, Counter[str]] = {}
    seconds_by_task: defaultdict[str, float] = defaultdict(float)
    phases: defaultdict[str, float] = defaultdict(float)
    totals: Counter[str] = Counter()
    invalid: Counter[str] = Counter()
    stop_reasons: Counter[str] = Counter()
    policies: dict[str, None] = {}
    for trajectory in trajectories:
        counts = per_task.setdefault(trajectory.task, Counter())
        policies[trajectory.policy] = None
        kind = "guided" if trajectory.guided else "plain"
        totals[kind] += 1
        stop_reasons[trajectory.stop_reason] += 1
        for phase, seconds in trajectory.seconds.items():
            phases[phase] += seconds
            seconds_by_task[trajectory.task] += seconds
        verdict = trajectory.verdict
        if verdict.resolved is None:
            counts["invalid"] += 1
            invalid[verdict.cause or "us"] += 1
            continue
        counts[kind] += 1
        counts[f"{kind}_solved"] += verdict.resolved
        totals["empty"] += not trajectory.patch.strip()
    outcomes = tuple(
        TaskOutcome(
            task,
            plain=counts["plain"],
            plain_solved=counts["plain_solved"],
            guided=counts["guided"],
            guided_solved=counts["guided_solved"],
            invalid=counts["invalid"],
            seconds=seconds_by_task[task],
        )
        for task, counts in per_task.items()
    )
    most = max((task.plain for task in outcomes), default=0)
    rates = {k: mean_pass_at_k([(task.plain, task.plain_solved) for task in outcomes], k) for k in _shown_k(most)}
    return RunSummary(
        name=name,
        policies=tuple(policies),
        attempts=totals["plain"],
        guided_attempts=totals["guided"],
        empty_patches=totals["empty"],
        invalid=dict(sorted(invalid.items())),
        stop_reasons=dict(sorted(stop_reasons.items())),
        pass_at={k: rate for k, rate in rates.items() if rate is not None},
        seconds=dict(phases),
        tasks=outcomes,
        hacking=hacking(trajectories),
        unread=dict(unread),
    )


def _shown_k(most: int) -> list[int]:
    """1, 2, 4, ... and the largest k that some task allows."""
    shown = []
    k = 1
    while k < most:
        shown.append(k)
        k *= 2
    return [*shown, most] if most else []


def flips(before: RunSummary, after: RunSummary) -> list[tuple[str, bool, bool]]:
    """Tasks judged without guidance in both runs of which exactly one solved them: (task, before, after)."""
    earlier = {task.task: task.plain_solved > 0 for task in before.tasks if task.plain}
    changed = []
    for task in after.tasks:
        if task.plain and task.task in earlier and earlier[task.task] != (task.plain_solved > 0):
            changed.append((task.task, earlier[task.task], task.plain_solved > 0))
    return changed
