"""The effect of guidance: how guided attempts fared against plain ones, overall and on the very tasks that got hints.

A trigger picks tasks that failed, so guided attempts face harder tasks than plain ones do. Only the comparison on the
same tasks says what a hint is worth, and there the plain side is low by selection: the difference is an upper bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from swegym.report.bootstrap import interval, mean
from swegym.report.statistics import Estimate, wilson
from swegym.rollout.causes import enters_rates
from swegym.types import Trajectory


@dataclass(frozen=True, slots=True)
class Arm:
    """Attempts of one kind. Rates are means over tasks; their intervals count each task as one trial."""

    attempts: int
    solved: Estimate
    empty: Estimate


@dataclass(frozen=True, slots=True)
class GuidanceEffect:
    """`plain` and `guided` are over all their tasks, `plain_same` over the tasks that have guided attempts.

    `difference` and `empty_difference` are guided minus plain on the same tasks, with a 95 % bootstrap interval.
    """

    plain: Arm
    guided: Arm
    plain_same: Arm
    difference: Estimate
    empty_difference: Estimate
    only_guided: int  # tasks that only guided attempts solved

    def as_json(self) -> dict[str, Any]:
        def rate(one: Estimate) -> dict[str, Any]:
            return {"value": one.value, "low": one.low, "high": one.high, "tasks": one.tasks}

        def arm(one: Arm) -> dict[str, Any]:
            return {"attempts": one.attempts, "solved": rate(one.solved), "empty_patches": rate(one.empty)}

        return {
            "plain": arm(self.plain),
            "guided": arm(self.guided),
            "plain_on_the_same_tasks": arm(self.plain_same),
            "difference": rate(self.difference),
            "empty_patch_difference": rate(self.empty_difference),
            "tasks_solved_only_guided": self.only_guided,
        }


Group = list[Trajectory]


def guidance_effect(trajectories: Iterable[Trajectory]) -> GuidanceEffect | None:
    """The effect of the hints in a run; None where there was no guided attempt that was judged."""
    plain: dict[str, Group] = {}
    guided: dict[str, Group] = {}
    for one in trajectories:
        if enters_rates(one.verdict):
            (guided if one.guided else plain).setdefault(one.task, []).append(one)
    if not guided:
        return None
    same = [(plain[task], guided[task]) for task in guided if task in plain]
    return GuidanceEffect(
        _arm(list(plain.values())),
        _arm(list(guided.values())),
        _arm([before for before, _ in same]),
        _difference(same, _solved),
        _difference(same, _empty),
        sum(_solved(group) > 0 and _solved(plain.get(task, [])) == 0 for task, group in guided.items()),
    )


def _arm(groups: list[Group]) -> Arm:
    return Arm(sum(map(len, groups)), _rate(groups, _solved), _rate(groups, _empty))


def _rate(groups: list[Group], share: Callable[[Group], float]) -> Estimate:
    total = sum(share(group) for group in groups)
    low, high = wilson(total, len(groups))
    return Estimate(total / len(groups) if groups else 0.0, low, high, len(groups))


def _difference(same: Sequence[tuple[Group, Group]], share: Callable[[Group], float]) -> Estimate:
    changes = [share(after) - share(before) for before, after in same]
    low, high = interval(changes, mean)
    return Estimate(mean(changes), low, high, len(changes))


def _solved(group: Group) -> float:
    return mean([float(one.verdict.resolved is True) for one in group])


def _empty(group: Group) -> float:
    return mean([float(not one.patch.strip()) for one in group])
