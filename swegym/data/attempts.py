"""Attempts: the trajectories of several runs under names that never coincide, and a count of what could not be read."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from swegym.errors import InputError
from swegym.rollout.folder import RunFolder
from swegym.types import Trajectory


@dataclass(frozen=True, slots=True)
class Attempts:
    """Trajectories whose `id` and `parent` begin with the run's name; `unread` counts lines by what is wrong."""

    trajectories: tuple[Trajectory, ...]
    unread: Counter[str] = field(default_factory=Counter)
    problems: tuple[str, ...] = ()  # file, line and remedy of what could not be read


def read_runs(folders: Iterable[RunFolder]) -> Attempts:
    """All attempts of some runs. A line that cannot be read is counted and passed over; the files stay as they are."""
    folders = list(folders)
    found: list[Trajectory] = []
    unread: Counter[str] = Counter()
    problems: list[str] = []
    for name, folder in zip(run_names(folders), folders, strict=True):
        survey = folder.survey()
        unread += survey.unread
        problems += survey.problems
        for trajectory in survey.trajectories:
            parent = trajectory.parent and f"{name}/{trajectory.parent}"
            found.append(dataclasses.replace(trajectory, id=f"{name}/{trajectory.id}", parent=parent))
    return Attempts(tuple(found), unread, tuple(problems))


def run_names(folders: Sequence[RunFolder]) -> list[str]:
    """Short names that tell runs apart: as many of the last parts of their paths as that takes."""
    paths = [folder.path.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise InputError(f"{twice}: given twice. Name each run once.")
    longest = max((len(path.parts) for path in paths), default=0)
    for count in range(1, longest + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return []


def refuse_coinciding(trajectories: Sequence[Trajectory]) -> None:
    """Raise `InputError` where two attempts have one id, for then nobody could tell which one a row means."""
    seen = Counter(trajectory.id for trajectory in trajectories)
    twice = [id for id, count in seen.items() if count > 1]
    if twice:
        raise InputError(
            f"{len(twice)} ids stand for several attempts, {twice[0]} among them: they come from different runs. "
            "Read the runs with swegym.data.read_runs, which puts the run's name before each id."
        )
