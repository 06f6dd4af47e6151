"""A demonstration: one solved attempt, as supervised fine-tuning reads it.

After Agent-RLVR the warm-up set is about a fifth of the positives, and taken from those without a hint only. What is
left over is not lost: the same attempts make pairs. `guided` opens the ablations of that paper: guided successes with
their hint taken out, or kept in the prompt.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable
from typing import Any, Literal

from swegym.data.guards import Guards
from swegym.data.pairs import ECHO, TOO_LONG, without_repetitions
from swegym.data.rows import Drops, Row, RowSet
from swegym.data.sides import Side, side
from swegym.data.tokens import has_tokens, token_rows
from swegym.guidance import echoes
from swegym.types import Trajectory

SHARE = 0.2
FAILED = "failed"
GUIDED = "solved with a hint"
TOOK_OVER = "took over turns of a failure"
NOT_DRAWN = "not drawn for the share"


def make_sft(
    trajectories: Iterable[Trajectory],
    seed: int = 0,
    *,
    share: float = SHARE,
    guided: Literal["drop", "strip", "keep"] = "drop",
    guards: Guards | None = None,
) -> RowSet:
    """Demonstrations: `share` of all usable successes, at least one, drawn task by task so that none crowds out others.

    Args:
        trajectories: Attempts at any tasks, with ids that do not coincide.
        seed: Decides which are drawn.
        share: Of the successes, guided ones counted; 1.0 takes every one that may be taken.
        guided: What happens to guided successes: none is taken, or taken without their hint, or with it.
        guards: What else is refused.
    """
    guards = guards or Guards()
    drops = Drops()
    solved: list[Trajectory] = []
    for trajectory in guards.admit(trajectories, drops):
        if trajectory.verdict.resolved:
            solved.append(trajectory)
        else:
            drops.add(FAILED, trajectory.id)
    usable = []
    for one in [side(t, keep_hint=guided == "keep") for t in solved]:
        reason = _unusable(one, guided, guards)
        if reason is None:
            usable.append(one)
        else:
            drops.add(reason, one.trajectory.id)
    usable = without_repetitions(usable, guards, drops)  # last: what is not taken keeps no other one out
    wanted = min(len(usable), max(1, math.floor(share * len(solved) + 0.5)))
    chosen = _spread(usable, wanted, seed)
    taken = {one.trajectory.id for one in chosen}
    for one in usable:
        if one.trajectory.id not in taken:
            drops.add(NOT_DRAWN, one.trajectory.id)
    rows = [_row(one, keep_hint=guided == "keep") for one in usable if one.trajectory.id in taken]
    return drops.row_set("sft", rows, successes=len(solved), share=share)


def _unusable(one: Side, guided: str, guards: Guards) -> str | None:
    hint = one.trajectory.guidance
    if hint is not None and guided == "drop":
        return GUIDED
    if hint is not None and guided == "strip" and echoes(one.trajectory.messages, hint):
        return ECHO
    if one.replayed:
        return TOOK_OVER  # nothing in a list of messages says which of them must not be learned
    if guards.max_characters is not None and one.characters > guards.max_characters:
        return TOO_LONG
    return None


def _spread(usable: list[Side], wanted: int, seed: int) -> list[Side]:
    """One of each task, then a second of each, and so on, in a drawn order."""
    draw = random.Random(f"{seed}/sft")
    by_task: dict[str, list[Side]] = {}
    for one in usable:
        by_task.setdefault(one.trajectory.task, []).append(one)
    queues = list(by_task.values())
    draw.shuffle(queues)
    for queue in queues:
        draw.shuffle(queue)
    rounds = [
        queue[number] for number in range(max(map(len, queues), default=0)) for queue in queues if number < len(queue)
    ]
    return rounds[:wanted]


def _row(one: Side, *, keep_hint: bool) -> Row:
    source = one.trajectory
    return {
        "messages": [*one.opening, *one.completion],
        "tools": json.dumps(source.tools),
        **provenance(source),
        "tokens": sequences(source, guidance=keep_hint),
    }


def provenance(trajectory: Trajectory) -> dict[str, Any]:
    """Where a row of one attempt comes from."""
    return {
        "task": trajectory.task,
        "task_digest": trajectory.task_digest,
        "set": trajectory.set,
        "id": trajectory.id,
        "policy": trajectory.policy,
        "policy_version": trajectory.policy_version,
        "guided": trajectory.guided,
    }


def sequences(trajectory: Trajectory, *, guidance: bool) -> list[dict[str, Any]] | None:
    """Token rows as columns; None where the policy keeps no tokens."""
    if not has_tokens(trajectory):
        return None
    return [row.as_json() for row in token_rows(trajectory, guidance=guidance)]
