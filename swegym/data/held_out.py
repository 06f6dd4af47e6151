"""Held-out tasks: those that no training set may hold, because an evaluation is measured on them.

A task set deals its tasks into train, dev and test. A task is held out by its name, and by its digest too, so that the
same problem under another name, or in a set of one's own, is recognised where it has been built on this machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from swegym.data.guards import Refusal
from swegym.errors import NotBuilt, SwegymError, UnknownName
from swegym.tasks import TaskSet, built, load_task_set
from swegym.tasks.task_set import known_task_sets
from swegym.types import Trajectory

Split = Literal["train", "dev", "test"]


def held_out(wanted: Split = "train", sets: Iterable[TaskSet] | None = None) -> Refusal:
    """What refuses attempts at tasks of another split than `wanted`; tasks of unknown sets count as train.

    Args:
        wanted: The split that rows are made for.
        sets: The sets to ask; None for all that can be loaded by name.
    """
    asked = {task_set.name: task_set for task_set in (sets if sets is not None else _known())}
    digests = _digests(asked.values(), wanted)

    def refuse(trajectory: Trajectory) -> str | None:
        name, split = digests.get(trajectory.task_digest, ("", wanted))
        if split != wanted:
            return _of(split) + (f", as {name}" if name != trajectory.task else "")
        task_set = asked.get(trajectory.set)
        known = task_set is not None and trajectory.task in task_set
        split = task_set.split(trajectory.task) if task_set is not None and known else "train"
        return None if split == wanted else _of(split)

    return refuse


def _of(split: Split) -> str:
    return "its task is for training" if split == "train" else f"its task is held out for {split}"


def _known() -> list[TaskSet]:
    """Every set that loads; one that is broken holds nothing out, and says so where it is used."""
    found = []
    for name in known_task_sets():
        try:
            found.append(load_task_set(name))
        except (SwegymError, UnknownName):
            continue
    return found


def _digests(sets: Iterable[TaskSet], wanted: Split) -> dict[str, tuple[str, Split]]:
    """Name and split of every built task of another split, by digest."""
    found: dict[str, tuple[str, Split]] = {}
    for task_set in sets:
        for home in {task_set.home(task) for task in task_set.ids}:
            folder = built.folder_of(home, "x").parent
            for place in sorted(folder.iterdir()) if folder.is_dir() else ():
                if place.name not in task_set or task_set.split(place.name) == wanted:
                    continue
                try:
                    digest = built.load(home, place.name).digest
                except (NotBuilt, SwegymError):
                    continue  # half built or of another version: its name still holds it out
                found[digest] = (place.name, task_set.split(place.name))
    return found
