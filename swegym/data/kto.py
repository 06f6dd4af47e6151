"""An unpaired preference: the plain opening, one attempt, and whether it solved the task."""

from __future__ import annotations

import json
from collections.abc import Iterable

from swegym.data.guards import Guards
from swegym.data.pairs import ECHO, GUIDED_FAILURE, TOO_LONG, without_repetitions
from swegym.data.rows import Drops, Row, RowSet
from swegym.data.sft import provenance
from swegym.data.sides import side
from swegym.guidance import echoes
from swegym.types import Trajectory

SILENT = "the policy never spoke"


def make_kto(trajectories: Iterable[Trajectory], *, guards: Guards | None = None) -> RowSet:
    """Every usable attempt: successes are desirable, failures without a hint are not. Hints are taken out.

    `notes["labels"]` counts both, because a trainer weighs them against each other.
    """
    guards = guards or Guards()
    drops = Drops()
    rows: list[Row] = []
    labels = {True: 0, False: 0}
    for one in without_repetitions([side(t) for t in guards.admit(trajectories, drops)], guards, drops):
        source = one.trajectory
        label = source.verdict.resolved is True
        if source.guided and not label:
            drops.add(GUIDED_FAILURE, source.id)
        elif source.guidance is not None and echoes(source.messages, source.guidance):
            drops.add(ECHO, source.id)
        elif not one.completion:
            drops.add(SILENT, source.id)
        elif guards.max_characters is not None and one.characters > guards.max_characters:
            drops.add(TOO_LONG, source.id)
        else:
            labels[label] += 1
            rows.append(
                {
                    "prompt": one.opening,
                    "completion": one.completion,
                    "label": label,
                    "tools": json.dumps(source.tools),
                    **provenance(source),
                }
            )
    return drops.row_set("kto", rows, labels={"desirable": labels[True], "undesirable": labels[False]})
