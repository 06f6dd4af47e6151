"""What a teacher sees. It declares a level, and is handed no more than that: the rest is not there.

public      the issue, the repository, and what the policy saw and did, visible test results included
verdict     besides: whether the attempt resolved the task, how many hidden checks fail, and which attempts succeeded
privileged  everything: the reference fix, the hidden tests, and what they printed
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from swegym.types import HiddenTests, Task, Trajectory, Verdict

Sees = Literal["public", "verdict", "privileged"]
LEVELS: tuple[Sees, ...] = ("public", "verdict", "privileged")


@dataclass(frozen=True, slots=True)
class Question:
    """What a teacher is asked: to help with a task after an attempt, which may be none (no messages)."""

    task: Task
    attempt: Trajectory
    group: tuple[Trajectory, ...] = ()  # all plain attempts at the task in this run
    complaints: tuple[str, ...] = ()  # what was wrong with its earlier answers to this question


def seen(question: Question, level: Sees) -> Question:
    """The question with everything taken out that a teacher of this level may not see."""
    if level == "privileged":
        return question
    return Question(
        _without_answer(question.task),
        _judged(question.attempt, level),
        tuple(_judged(attempt, level) for attempt in question.group),
        question.complaints,
    )


def _without_answer(task: Task) -> Task:
    return dataclasses.replace(task, gold_patch="", hidden=HiddenTests({}, (), (), ()), bait=None)


def _judged(attempt: Trajectory, level: Sees) -> Trajectory:
    verdict = attempt.verdict
    if level == "public" or not attempt.messages:
        return dataclasses.replace(attempt, verdict=Verdict(None, None, "not shown"), bait=None)
    # Names of hidden tests are hidden; how many there are and how many fail is not.
    statuses = {f"check {number}": status for number, status in enumerate(verdict.statuses.values(), 1)}
    failing = sum(status not in ("passed", "xfailed", "skipped") for status in statuses.values())
    told = "it resolves the task" if verdict.resolved else f"{failing} of {len(statuses)} hidden checks do not pass"
    reason = told if statuses or verdict.resolved else "it does not resolve the task"
    return dataclasses.replace(attempt, verdict=Verdict(verdict.resolved, verdict.cause, reason, statuses), bait=None)


def successes(group: Sequence[Trajectory], attempt: Trajectory) -> list[Trajectory]:
    """The solved attempts of a group other than the one that is asked about, by id."""
    return sorted((one for one in group if one.verdict.resolved and one.id != attempt.id), key=lambda one: one.id)
