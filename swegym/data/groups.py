"""A rollout group: all judged attempts at one task under one policy version, as online trainers need them.

It serves GRPO (rewards and tokens), Guide (the same output under the plain and under the hinted prompt), SDPO and VPD
(feedback for the teacher's prompt). Every judged attempt stays, failures and repetitions included, because a mean over
a group is a mean over all of it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from swegym.data.feedback import feedback_for
from swegym.data.guards import Guards
from swegym.data.rows import Drops, Row, RowSet
from swegym.data.sft import sequences
from swegym.data.sides import Side, issue_of, side
from swegym.guidance import echoes, is_guidance
from swegym.types import Trajectory

SILENT = "the policy never spoke"
OTHER_OPENING = "another opening or tools than its group"


def make_groups(
    trajectories: Iterable[Trajectory],
    *,
    feedback: Sequence[str] = ("sibling", "env"),
    critiques: Mapping[str, str] | None = None,
    guards: Guards | None = None,
) -> RowSet:
    """One row for each task, digest, policy and policy version.

    Args:
        trajectories: Attempts at any tasks, with ids that do not coincide.
        feedback: Kinds of feedback in the order in which they are preferred: env, sibling. Empty for none.
        critiques: Feedback by attempt id that a model wrote; it comes before the kinds.
        guards: What else is refused; near-duplicates and lengths are not looked at.
    """
    guards = guards or Guards()
    drops = Drops()
    groups: defaultdict[tuple[str, str, str, str], list[Trajectory]] = defaultdict(list)
    for source in guards.admit(trajectories, drops):
        groups[source.task, source.task_digest, source.policy, source.policy_version].append(source)
    rows: list[Row] = []
    for group in groups.values():
        sides = _sides(group, drops)
        if sides:
            rows.append(_row(sides, feedback, critiques or {}))
    return drops.row_set("groups", rows, attempts=sum(len(row["rows"]) for row in rows), **_counts(rows))


def _sides(group: list[Trajectory], drops: Drops) -> list[Side]:
    found: list[Side] = []
    for source in group:
        one = side(source)
        if not one.completion:
            drops.add(SILENT, source.id)
        elif found and (one.opening, source.tools) != (found[0].opening, found[0].trajectory.tools):
            drops.add(OTHER_OPENING, source.id)
        else:
            found.append(one)
    return found


def _row(sides: list[Side], feedback: Sequence[str], critiques: Mapping[str, str]) -> Row:
    first = sides[0].trajectory
    return {
        "task": first.task,
        "task_digest": first.task_digest,
        "set": first.set,
        "policy": first.policy,
        "policy_version": first.policy_version,
        "issue": issue_of(first),
        "prompt": sides[0].opening,
        "tools": json.dumps(first.tools),
        "rows": [_attempt(one, [other.trajectory for other in sides], feedback, critiques) for one in sides],
    }


def _attempt(
    one: Side, group: list[Trajectory], feedback: Sequence[str], critiques: Mapping[str, str]
) -> dict[str, Any]:
    source = one.trajectory
    text, kind = critiques.get(source.id), "critique"
    if text is None:
        text, kind = feedback_for(source, group, feedback)  # type: ignore[assignment]
    hints = [message.get("content") or "" for message in source.messages if is_guidance(message)]
    return {
        "id": source.id,
        "attempt": source.attempt,
        "reward": float(source.verdict.resolved is True),
        "guided": source.guided,
        "parent": source.parent,
        "completion": one.completion,
        "tokens": sequences(source, guidance=False),
        "guidance": "\n\n".join(hints) or None,
        "guidance_tokens": sequences(source, guidance=True) if source.guided else None,
        "feedback": text,
        "feedback_kind": kind,
        "echo": source.guidance is not None and echoes(source.messages, source.guidance),
        "patch": source.patch,
        "stop_reason": source.stop_reason,
    }


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many groups have both outcomes, and how many only the hints gave a success."""
    mixed = rescued = 0
    for row in rows:
        plain = {attempt["reward"] for attempt in row["rows"] if not attempt["guided"]}
        guided = {attempt["reward"] for attempt in row["rows"] if attempt["guided"]}
        mixed += len(plain | guided) > 1
        rescued += 1.0 in guided and 1.0 not in plain
    return {"mixed": mixed, "solved_only_guided": rescued}
