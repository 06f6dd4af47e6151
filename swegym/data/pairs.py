"""A preference pair: the plain opening of a task, an attempt that solved it, and an unguided one that did not.

The contract, after Agent-RLVR: chosen has reward 1 and rejected reward 0 on the same task; rejected is never guided;
one failure is drawn for each success, and for a guided success it is the very failure that it retried, where that is
usable. The hint is in neither side, so both are scored under the same plain prompt. What nobody judged is never used.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym.guidance import echoes, without_guidance
from swegym.rollout.causes import may_train
from swegym.rollout.folder import write_atomically
from swegym.types import Message, Trajectory

Row = dict[str, Any]

GUIDED_FAILURE = "failed in spite of a hint"
NO_FAILURE = "no unguided failure of the task"
ECHO = "speaks of the hint"
OTHER_OPENING = "no failure with the same opening and tools"
SAME_MESSAGES = "same messages as every failure"
SAME_PATCH = "same patch as every failure"
TOO_LONG = "too long"


@dataclass(frozen=True, slots=True)
class PairSet:
    """Pairs, and what did not become one.

    `dropped` counts attempts by reason: every success without a pair, every guided failure, and everything not judged.
    Surplus unguided failures are not counted.
    """

    rows: tuple[Row, ...]
    dropped: Counter[str]

    def __len__(self) -> int:
        return len(self.rows)

    def write(self, path: Path) -> None:
        """Write JSONL as TRL reads it; the file is whole or not there."""
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in self.rows))


def make_pairs(trajectories: Iterable[Trajectory], seed: int = 0, *, max_characters: int | None = None) -> PairSet:
    """Pairs of one run or of several; at most one for each success. The order handed in does not change who is paired.

    Args:
        trajectories: Attempts at any tasks.
        seed: Decides which failure a success is paired with.
        max_characters: Longest side of a pair, opening included; longer ones are not used.
    """
    dropped: Counter[str] = Counter()
    successes: list[_Side] = []
    failures: defaultdict[tuple[str, str], list[_Side]] = defaultdict(list)
    for trajectory in sorted(trajectories, key=lambda t: (t.task, t.id, t.created, t.seed)):
        if not may_train(trajectory.verdict):
            dropped[f"not judged: {trajectory.verdict.cause}"] += 1
        elif trajectory.verdict.resolved:
            successes.append(_side(trajectory))
        elif trajectory.guided:
            dropped[GUIDED_FAILURE] += 1
        else:
            failures[trajectory.task, trajectory.task_digest].append(_side(trajectory))
    rows: list[Row] = []
    for success in successes:
        source = success.trajectory
        usable, reason = _usable(success, failures[source.task, source.task_digest], max_characters)
        if usable:
            parent = [failure for failure in usable if failure.trajectory.id == source.parent]
            draw = random.Random(f"{seed}/{source.id}/{source.seed}")
            rows.append(_row(success, draw.choice(parent or usable)))
        else:
            dropped[reason] += 1
    return PairSet(tuple(rows), dropped)


@dataclass(frozen=True, slots=True)
class _Side:
    """An attempt without hints and without `extra`, cut where the policy first and last spoke."""

    trajectory: Trajectory
    opening: list[Message]
    completion: list[Message]

    def fits(self, longest: int | None) -> bool:
        if longest is None:
            return True
        return sum(len(json.dumps(m, ensure_ascii=False)) for m in [*self.opening, *self.completion]) <= longest


def _side(trajectory: Trajectory) -> _Side:
    messages: list[Message] = []
    for message in without_guidance(trajectory.messages):
        bare = message.copy()
        bare.pop("extra", None)
        messages.append(bare)
    spoken = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    first, end = (spoken[0], spoken[-1] + 1) if spoken else (len(messages), len(messages))
    return _Side(trajectory, messages[:first], messages[first:end])


def _usable(success: _Side, failures: list[_Side], longest: int | None) -> tuple[list[_Side], str]:
    """The failures that a success can be paired with, or none and why."""
    source = success.trajectory
    if source.guidance is not None and echoes(source.messages, source.guidance):
        return [], ECHO
    if not success.fits(longest):
        return [], TOO_LONG
    prompt = (success.opening, source.tools)
    rules: list[tuple[str, Callable[[_Side], bool]]] = [
        (NO_FAILURE, lambda other: bool(other.completion)),
        (OTHER_OPENING, lambda other: (other.opening, other.trajectory.tools) == prompt),
        (SAME_MESSAGES, lambda other: other.completion != success.completion),
        (SAME_PATCH, lambda other: other.trajectory.patch.strip() != source.patch.strip()),
        (TOO_LONG, lambda other: other.fits(longest)),
    ]
    left = failures
    for reason, keeps in rules:
        left = [failure for failure in left if keeps(failure)]
        if not left:
            return [], reason
    return left, ""


def _row(chosen: _Side, rejected: _Side) -> Row:
    success, failure = chosen.trajectory, rejected.trajectory
    return {
        "prompt": chosen.opening,
        "chosen": chosen.completion,
        "rejected": rejected.completion,
        # As text: TRL decodes it, and a column of JSON schemas does not survive a table's one type for all rows.
        "tools": json.dumps(success.tools),
        "kind": "guided" if success.guided else "plain",
        "task": success.task,
        "task_digest": success.task_digest,
        "chosen_id": success.id,
        "rejected_id": failure.id,
        "chosen_policy": success.policy,
        "rejected_policy": failure.policy,
        "chosen_policy_version": success.policy_version,
        "rejected_policy_version": failure.policy_version,
    }
