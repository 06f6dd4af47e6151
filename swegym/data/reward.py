"""A reward row: what a reward model is shown of an attempt, the issue and the patch, and what became of it.

Pointwise: does it resolve? Pairwise: which of the two does? Patches of guided attempts count like any other, for the
hint is in neither text. One patch is one row however often it was made, and a patch that was judged both ways teaches
nothing but that its tests are not to be trusted.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

from swegym.data.guards import Guards
from swegym.data.pair_rows import balanced, length_bias
from swegym.data.rows import Drops, Row, RowSet
from swegym.data.sft import provenance
from swegym.data.sides import issue_of
from swegym.data.similarity import essence
from swegym.types import Message, Trajectory

EMPTY = "empty patch"
SAME_CHANGE = "same change as another patch"
BOTH_WAYS = "the same change was judged both ways"
NO_OTHER = "no patch of the task was judged otherwise"
TOO_LONG = "too long"

Key = tuple[str, str]


def make_reward(trajectories: Iterable[Trajectory], *, guards: Guards | None = None) -> RowSet:
    """Pointwise rows: issue, patch, label. `notes["labels"]` counts both labels."""
    drops = Drops()
    rows: list[Row] = []
    for patches in _patches(trajectories, guards or Guards(), drops).values():
        for source in patches:
            rows.append(
                {
                    "issue": issue_of(source),
                    "patch": source.patch,
                    "label": source.verdict.resolved is True,
                    **provenance(source),
                }
            )
    resolved = sum(row["label"] for row in rows)
    return drops.row_set("reward", rows, labels={"resolved": resolved, "unresolved": len(rows) - resolved})


def make_reward_pairs(
    trajectories: Iterable[Trajectory], seed: int = 0, *, per_success: int = 1, guards: Guards | None = None
) -> RowSet:
    """Pairwise rows: each patch that resolves against up to `per_success` drawn ones of its task that do not."""
    guards = guards or Guards()
    drops = Drops()
    rows: list[Row] = []
    for patches in _patches(trajectories, guards, drops).values():
        good = [source for source in patches if source.verdict.resolved]
        bad = [source for source in patches if not source.verdict.resolved]
        if not good or not bad:
            for source in patches:
                drops.add(NO_OTHER, source.id)
        for chosen in good if bad else ():
            draw = random.Random(f"{seed}/{chosen.id}")
            rows += [_pair(chosen, rejected) for rejected in draw.sample(bad, min(per_success, len(bad)))]
    bias = length_bias(rows)
    if guards.length == "balance":
        rows = balanced(rows, drops)
        bias |= {"balanced": length_bias(rows)}
    return drops.row_set("reward-pairs", rows, length=bias)


def _patches(trajectories: Iterable[Trajectory], guards: Guards, drops: Drops) -> dict[Key, list[Trajectory]]:
    """For each task and digest, one attempt for each different change, none that was judged both ways."""
    changes: defaultdict[Key, dict[tuple[str, ...], list[Trajectory]]] = defaultdict(dict)
    for source in guards.admit(trajectories, drops):
        if not source.patch.strip():
            drops.add(EMPTY, source.id)
        elif guards.max_characters is not None and len(source.patch) > guards.max_characters:
            drops.add(TOO_LONG, source.id)
        else:
            changes[source.task, source.task_digest].setdefault(essence(source.patch), []).append(source)
    kept: dict[Key, list[Trajectory]] = {}
    for key, alike in changes.items():
        for same in alike.values():
            if len({source.verdict.resolved for source in same}) > 1:
                for source in same:
                    drops.add(BOTH_WAYS, source.id)
                continue
            kept.setdefault(key, []).append(same[0])
            for source in same[1:]:
                drops.add(SAME_CHANGE, source.id)
    return kept


def _pair(chosen: Trajectory, rejected: Trajectory) -> Row:
    question: Message = {"role": "user", "content": issue_of(chosen)}
    answers: list[Message] = [{"role": "assistant", "content": source.patch} for source in (chosen, rejected)]
    return {
        "issue": issue_of(chosen),
        "chosen_patch": chosen.patch,
        "rejected_patch": rejected.patch,
        "prompt": [question],
        "chosen": [answers[0]],
        "rejected": [answers[1]],
        "kind": "guided" if chosen.guided or rejected.guided else "plain",
        "task": chosen.task,
        "task_digest": chosen.task_digest,
        "set": chosen.set,
        "chosen_id": chosen.id,
        "rejected_id": rejected.id,
    }
