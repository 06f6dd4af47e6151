"""Building what a verb needs, with progress. Shared by every verb that works on built tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from swegym.cli.progress import Board
from swegym.cli.screen import note
from swegym.errors import TaskError

if TYPE_CHECKING:
    from swegym.tasks import TaskSet
    from swegym.tasks.build import BuildResult


def build_with_progress(task_set: TaskSet, ids: Iterable[str], jobs: int) -> list[BuildResult]:
    """Build tasks; those that are built already cost nothing and show nothing."""
    from swegym.tasks.build import BuildEvent, BuildResult, build

    ids = list(ids)
    missing = [task for task in ids if not task_set.is_built(task)]
    if not missing:
        return [BuildResult(task, True, True, 0.0) for task in ids]

    def show(event: BuildEvent) -> None:
        if event.step in ("built", "cached", "failed"):
            board.end(event.id, event.step)
        elif event.step == "waiting":
            note(f"{event.id}: somebody else builds it; waiting for them.")
        else:
            board.doing(event.id, event.step)

    with Board("building", len(missing)) as board:
        fresh = {result.id: result for result in build(task_set, missing, jobs=jobs, on_event=show)}
    return [fresh.get(task, BuildResult(task, True, True, 0.0)) for task in ids]


def build_missing(task_set: TaskSet, ids: Iterable[str], jobs: int) -> None:
    """Build tasks, and raise `TaskError` if one of them cannot be."""
    failed = [result for result in build_with_progress(task_set, ids, jobs) if not result.built]
    if failed:
        reasons = "\n".join(map(reason, failed))
        raise TaskError(f"{reasons}\nMend that and run the same command again, or choose other tasks with -i.")


def reason(result: BuildResult) -> str:
    """Why a task could not be built, with its name said once."""
    return f"{result.id} cannot be built: {str(result.error).removeprefix(f'{result.id}: ')}"
