"""A step pair: the same state, two ways on. The prompt is everything up to the first policy turn in which a success and
an unguided failure of the same task differ; each side is that turn alone, or all that came of it.

Such states arise by branching an attempt (a takeover, or `env.fork()`), and by chance where a policy begins alike. For
each success the failure is taken that it shares most with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from swegym.data.guards import Guards
from swegym.data.pair_rows import balanced, length_bias, pair_row
from swegym.data.pairs import NO_FAILURE, OTHER_OPENING, OTHER_PREFIX, TOO_LONG, divide
from swegym.data.rows import Drops, Row, RowSet
from swegym.data.sides import Side, shared_prefix
from swegym.types import Trajectory

NOTHING_SHARED = "shares no turn with any failure"
NO_STEP = "parts from no failure: one of the two ends where the other goes on"


def make_steps(
    trajectories: Iterable[Trajectory], *, until: Literal["turn", "end"] = "turn", guards: Guards | None = None
) -> RowSet:
    """Step pairs, at most one for each success; those that share no turn of the policy with a failure give none.

    Args:
        trajectories: Attempts at any tasks, with ids that do not coincide.
        until: Each side is one turn, or goes on to the end of its attempt.
        guards: What else is refused.
    """
    guards = guards or Guards()
    drops = Drops()
    successes, failures = divide(guards.admit(trajectories, drops), guards, drops)
    rows: list[Row] = []
    for success in successes:
        source = success.trajectory
        other, shared, reason = _nearest(success, failures[source.task, source.task_digest], guards)
        if other is None:
            drops.add(reason, source.id)
        else:
            kind = ("guided" if source.guided else "plain") + ("-step" if until == "turn" else "-branch")
            rows.append(pair_row(success, other, kind, shared=shared, one_turn=until == "turn"))
    bias = length_bias(rows)
    if guards.length == "balance":
        rows = balanced(rows, drops)
        bias |= {"balanced": length_bias(rows)}
    return drops.row_set("steps", rows, length=bias)


def _nearest(success: Side, failures: list[Side], guards: Guards) -> tuple[Side | None, int, str]:
    """The failure that shares most with a success, how many messages, or why there is none."""
    source = success.trajectory
    spoken = [failure for failure in failures if failure.completion]
    if not spoken:
        return None, 0, NO_FAILURE
    prompt = (success.opening, source.tools)
    alike = [failure for failure in spoken if (failure.opening, failure.trajectory.tools) == prompt]
    if not alike:
        return None, 0, OTHER_OPENING
    shared = [(shared_prefix(success, failure), failure) for failure in alike]
    shared = [(count, failure) for count, failure in shared if count > 0]
    if not shared:
        return None, 0, NOTHING_SHARED
    shared = [(count, failure) for count, failure in shared if count >= success.replayed]
    if not shared:
        return None, 0, OTHER_PREFIX
    parting = [(count, failure) for count, failure in shared if _parts(success, failure, count)]
    if not parting:
        return None, 0, NO_STEP
    if guards.max_characters is not None:
        parting = [
            (count, failure)
            for count, failure in parting
            if max(success.characters, failure.characters) <= guards.max_characters
        ]
        if not parting:
            return None, 0, TOO_LONG
    count, failure = max(parting, key=lambda found: (found[0], found[1].trajectory.id == source.parent))
    return failure, count, ""


def _parts(success: Side, failure: Side, shared: int) -> bool:
    """Whether both sides go on behind the shared part, with different turns."""
    mine, yours = success.completion[shared:], failure.completion[shared:]
    return bool(mine and yours) and yours[0]["role"] == "assistant" and mine[0] != yours[0]
