"""Which tasks are learned from, and which a model is measured on."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Literal

from pydantic import Field

from swegym.config import Config
from swegym.errors import RunError

Split = Literal["train", "dev", "test"]


class Measure(Config):
    """How a model is measured: never with guidance."""

    tasks: str | None = None
    """Another task set; that of training if left out."""
    split: Split = "test"
    limit: int | None = Field(None, ge=1)
    attempts: int = Field(1, ge=1)
    temperature: float = Field(0.0, ge=0)


def tasks_of_split(name: str, split: Split, limit: int | None = None, patterns: tuple[str, ...] = ()) -> list[str]:
    """Ids of a set's split, those that match one of the patterns if there are any.

    Demonstrations of a curriculum are never among them: they are for a model that has learned nothing yet.
    """
    from swegym.tasks import load_task_set

    task_set = load_task_set(name)
    chosen: list[str] = []
    for task in task_set.ids:
        if limit is not None and len(chosen) >= limit:
            break
        wanted = not patterns or any(fnmatch(task, pattern) for pattern in patterns)
        if wanted and task_set.split(task) == split and "-demos-" not in task:
            chosen.append(task)
    if not chosen:
        raise RunError(f"{name}: no task is of the split {split!r}. Choose another set, split or patterns.")
    return chosen
