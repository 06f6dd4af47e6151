"""Attempts in formats of other tools, one row each: OpenAI messages, ATIF documents, SWE-bench predictions."""

from __future__ import annotations

from collections.abc import Iterable

from swegym.data.atif import to_atif
from swegym.data.guards import Guards
from swegym.data.pairs import ECHO
from swegym.data.rows import Drops, RowSet
from swegym.data.sft import FAILED, TOOK_OVER
from swegym.data.sides import bare, side
from swegym.guidance import echoes, without_guidance
from swegym.rollout.causes import enters_rates
from swegym.types import Trajectory

GUIDED = "had a hint"
LATER = "a later attempt at its task"


def make_messages(trajectories: Iterable[Trajectory], *, guards: Guards | None = None) -> RowSet:
    """Solved attempts as OpenAI's fine-tuning files hold them: `messages` and `tools`, hints taken out.

    Left out are those whose text tells of the hint, and those that took over turns of a failure.
    """
    drops = Drops()
    rows = []
    for source in (guards or Guards()).admit(trajectories, drops):
        if source.verdict.resolved and source.guidance is not None and echoes(source.messages, source.guidance):
            drops.add(ECHO, source.id)
        elif source.verdict.resolved and side(source).replayed:
            drops.add(TOOK_OVER, source.id)
        elif source.verdict.resolved:
            rows.append({"messages": bare(without_guidance(source.messages)), "tools": list(source.tools)})
        else:
            drops.add(FAILED, source.id)
    return drops.row_set("messages", rows)


def make_atif(trajectories: Iterable[Trajectory]) -> RowSet:
    """Every attempt as an ATIF document, also those that nobody judged: a record, not training data."""
    drops = Drops()
    return drops.row_set("atif", [to_atif(source) for source in trajectories])


def make_predictions(trajectories: Iterable[Trajectory]) -> RowSet:
    """SWE-bench's rows: for each policy and task the first judged attempt without a hint."""
    drops = Drops()
    first: dict[tuple[str, str, str], Trajectory] = {}
    for source in sorted(trajectories, key=lambda t: (t.attempt, t.id)):
        if source.guided:
            drops.add(GUIDED, source.id)
        elif not enters_rates(source.verdict):
            drops.add(f"not judged: {source.verdict.cause}", source.id)
        elif (source.policy, source.policy_version, source.task) in first:
            drops.add(LATER, source.id)
        else:
            first[source.policy, source.policy_version, source.task] = source
    rows = [
        {
            "instance_id": source.task,
            "model_name_or_path": "/".join(part for part in (source.policy, source.policy_version) if part)
            or "unknown",
            "model_patch": source.patch,
        }
        for _, source in sorted(first.items())
    ]
    return drops.row_set("predictions", rows)
