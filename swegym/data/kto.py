"""An unpaired preference: the plain opening, one attempt, and whether it solved the task."""

from __future__ import annotations

import json
from collections.abc import Iterable

from swegym.data.guards import Guards
from swegym.data.pairs import ECHO, GUIDED_FAILURE, TOO_LONG, WENT_ON, without_repetitions
from swegym.data.rows import Drops, Row, RowSet
from swegym.data.sft import provenance
from swegym.data.sides import Side, side
from swegym.guidance import echoes
from swegym.types import Trajectory

SILENT = "the policy never spoke"


def make_kto(trajectories: Iterable[Trajectory], *, guards: Guards | None = None) -> RowSet:
    """Every usable attempt: successes are desirable, failures without a hint are not. Hints are taken out.

    Turns taken over from another attempt belong to the prompt.

    `notes["labels"]` counts both, because a trainer weighs them against each other.
    """
    guards = guards or Guards()
    drops = Drops()
    rows: list[Row] = []
    labels = {True: 0, False: 0}
    usable = []
    for one in [side(t) for t in guards.admit(trajectories, drops)]:
        reason = _unusable(one, guards)
        if reason is None:
            usable.append(one)
        else:
            drops.add(reason, one.trajectory.id)
    for one in without_repetitions(usable, guards, drops):
        label = one.trajectory.verdict.resolved is True
        labels[label] += 1
        rows.append(
            {
                "prompt": [*one.opening, *one.completion[: one.replayed]],
                "completion": one.completion[one.replayed :],
                "label": label,
                "tools": json.dumps(one.trajectory.tools),
                **provenance(one.trajectory),
            }
        )
    return drops.row_set("kto", rows, labels={"desirable": labels[True], "undesirable": labels[False]})


def _unusable(one: Side, guards: Guards) -> str | None:
    source = one.trajectory
    if source.guided and not source.verdict.resolved:
        return GUIDED_FAILURE
    if source.guidance is not None and echoes(source.messages, source.guidance):
        return ECHO
    if one.behind_submission:
        return WENT_ON
    if not one.completion:
        return SILENT
    return TOO_LONG if guards.max_characters is not None and one.characters > guards.max_characters else None
