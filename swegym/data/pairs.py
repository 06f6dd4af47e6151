"""A preference pair: the plain opening of a task, an attempt that solved it, and an unguided one that did not.

The contract, after Agent-RLVR: chosen has reward 1 and rejected reward 0 on the same task; rejected is never guided;
one failure is drawn for each success, and for a guided success it is the very failure that it retried, where that is
usable. The hint is in neither side, so both are scored under the same plain prompt. What nobody judged is never used.

A guided success that took over from its failure half way shares turns with it: they belong to the prompt of both.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable

from swegym.data.guards import Guards
from swegym.data.pair_rows import balanced, length_bias, pair_row
from swegym.data.rows import Drops, Row, RowSet
from swegym.data.sides import Side, actions, shared_prefix, side, written
from swegym.data.similarity import essence, first_of_each
from swegym.guidance import echoes
from swegym.types import Trajectory

GUIDED_FAILURE = "failed in spite of a hint"
NO_FAILURE = "no unguided failure of the task"
ECHO = "speaks of the hint"
OTHER_OPENING = "no failure with the same opening and tools"
SAME_MESSAGES = "same messages as every failure"
SAME_ACTIONS = "same actions as every failure"
SAME_PATCH = "same patch as every failure"
OTHER_PREFIX = "no failure goes on otherwise from the turns that it took over"
WENT_ON = "went on behind the end of its failure"
NEAR_DUPLICATE = "nearly repeats another attempt"
TOO_LONG = "too long"


def make_pairs(
    trajectories: Iterable[Trajectory],
    seed: int = 0,
    *,
    max_characters: int | None = None,
    guards: Guards | None = None,
) -> RowSet:
    """Pairs of one run or of several; at most one for each success. The order handed in does not change who is paired.

    `dropped` counts every success without a pair, every guided failure, and everything that no product may use. Surplus
    unguided failures are not counted. `notes["length"]` says how the lengths of the sides compare.

    Args:
        trajectories: Attempts at any tasks, with ids that do not coincide (see `read_runs`).
        seed: Decides which failure a success is paired with.
        max_characters: Longest side of a pair, opening included; longer ones are not used.
        guards: What else is refused.
    """
    guards = guards or Guards()
    longest = max_characters or guards.max_characters
    drops = Drops()
    successes, failures = divide(guards.admit(trajectories, drops), guards, drops)
    rows: list[Row] = []
    for success in successes:
        source = success.trajectory
        usable, reason = _usable(success, failures[source.task, source.task_digest], longest)
        if usable:
            parent = [failure for failure in usable if failure.trajectory.id == source.parent]
            draw = random.Random(f"{seed}/{source.id}/{source.seed}")
            kind = "guided" if source.guided else "plain"
            rows.append(pair_row(success, draw.choice(parent or usable), kind, shared=success.replayed))
        else:
            drops.add(reason, source.id)
    bias = length_bias(rows)
    if guards.length == "balance":
        rows = balanced(rows, drops)
        bias |= {"balanced": length_bias(rows)}
    return drops.row_set("pairs", rows, length=bias)


def divide(
    admitted: Iterable[Trajectory], guards: Guards, drops: Drops
) -> tuple[list[Side], defaultdict[tuple[str, str], list[Side]]]:
    """Successes, and the unguided failures of each task and digest.

    Left out are successes that speak of their hint, those behind a failure's submission, which have no other side, and
    those that repeat another one of the rest.
    """
    successes: list[Side] = []
    failures: defaultdict[tuple[str, str], list[Side]] = defaultdict(list)
    for trajectory in admitted:
        if trajectory.verdict.resolved:
            success = side(trajectory)
            if trajectory.guidance is not None and echoes(trajectory.messages, trajectory.guidance):
                drops.add(ECHO, trajectory.id)
            elif success.behind_submission:
                drops.add(WENT_ON, trajectory.id)
            else:
                successes.append(success)
        elif trajectory.guided:
            drops.add(GUIDED_FAILURE, trajectory.id)
        else:
            failures[trajectory.task, trajectory.task_digest].append(side(trajectory))
    return without_repetitions(successes, guards, drops), failures


def without_repetitions(sides: list[Side], guards: Guards, drops: Drops) -> list[Side]:
    """The sides that do not nearly repeat an earlier one of the same task."""
    if guards.near_duplicates is None:
        return sides
    by_task: defaultdict[tuple[str, str], list[Side]] = defaultdict(list)
    for one in sides:
        by_task[one.trajectory.task, one.trajectory.task_digest].append(one)
    repeated: set[str] = set()
    for group in by_task.values():
        texts = [(essence(one.trajectory.patch), written(one.completion)) for one in group]
        for one, earlier in zip(group, first_of_each(texts, guards.near_duplicates), strict=True):
            if earlier is not None:
                repeated.add(one.trajectory.id)
                drops.add(NEAR_DUPLICATE, one.trajectory.id)
    return [one for one in sides if one.trajectory.id not in repeated]


def _fits(one: Side, longest: int | None) -> bool:
    return longest is None or one.characters <= longest


def _usable(success: Side, failures: list[Side], longest: int | None) -> tuple[list[Side], str]:
    """The failures that a success can be paired with, or none and why."""
    source = success.trajectory
    if not _fits(success, longest):
        return [], TOO_LONG
    prompt = (success.opening, source.tools)
    rules: list[tuple[str, Callable[[Side], bool]]] = [
        (NO_FAILURE, lambda other: bool(other.completion)),
        (OTHER_OPENING, lambda other: (other.opening, other.trajectory.tools) == prompt),
        (OTHER_PREFIX, lambda other: not success.replayed or shared_prefix(success, other) >= success.replayed),
        (SAME_MESSAGES, lambda other: other.completion != success.completion),
        (SAME_PATCH, lambda other: essence(other.trajectory.patch) != essence(source.patch)),
        (SAME_ACTIONS, lambda other: _acts(other) != _acts(success) or not _acts(success)),
        (TOO_LONG, lambda other: _fits(other, longest)),
    ]
    left = failures
    for reason, keeps in rules:
        left = [failure for failure in left if keeps(failure)]
        if not left:
            return [], reason
    return left, ""


def _acts(one: Side) -> list[tuple[str, str]]:
    return actions(one.completion)
