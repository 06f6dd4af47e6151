"""`swegym tasks strengthen`: make stronger tests for tasks, which the grader `sealed-strong` requires."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from swegym.cli.build import build_missing
from swegym.cli.options import Jobs, Json, Limit, SetArgument, TaskGlobs, cores
from swegym.cli.progress import Board
from swegym.cli.screen import print_json, say, show_table

if TYPE_CHECKING:
    from swegym.grading.stronger import Stronger
    from swegym.tasks import TaskSet


def strengthen(
    task_set: SetArgument,
    tasks: TaskGlobs = None,
    limit: Limit = None,
    jobs: Jobs = None,
    mutants: int = typer.Option(8, "--mutants", min=0, metavar="N", help="Broken fixes of each task, at most."),
    redo: bool = typer.Option(False, "--redo", help="Also tasks that have stronger tests."),
    as_json: Json = False,
) -> None:
    """Make stronger tests: calls near those of the hidden tests, which tell wrong fixes that pass from right ones.

    They are checked against the reference fix, kept in the store beside what it answers, and seen by no policy. With
    `--grader sealed-strong`, or `grader = "sealed-strong"` of an environment, a patch has to satisfy them as well.

    \b
    Examples:
      swegym tasks strengthen demo
      swegym tasks strengthen mutants -i '*tabulate*' -j 4
      swegym grade demo --predictions gold --grader sealed-strong      no right fix must suffer
      swegym tasks strengthen demo --redo --json
    """
    from swegym.tasks import load_task_set

    chosen = load_task_set(task_set).select(tasks or (), limit)
    workers = jobs or cores()
    build_missing(chosen, chosen, workers)
    made, failed = strengthened(chosen, workers, mutants, redo)
    if as_json:
        print_json(
            [
                {
                    "task": name,
                    "tests": len(found.calls),
                    "tried": found.tried,
                    "survivors": list(found.survivors),
                    "held": list(found.held),
                }
                for name, found in made.items()
            ]
            + [{"task": name, "error": why} for name, why in failed.items()]
        )
    else:
        show_table(
            ("task", "stronger tests", "calls tried", "wrong fixes held", "of those that pass"),
            [
                (name, len(found.calls), found.tried, len(found.held), len(found.survivors))
                for name, found in made.items()
            ],
        )
        for name, why in failed.items():
            say(f"{name}: {why}")
        say("Required by `--grader sealed-strong`; try `swegym grade SET -p gold --grader sealed-strong` first.")
    if failed:
        raise typer.Exit(1)


def strengthened(task_set: TaskSet, jobs: int, mutants: int, redo: bool) -> tuple[dict[str, Stronger], dict[str, str]]:
    """The stronger tests of each built task, made where they are not there; and why some could not be made."""
    from concurrent.futures import ThreadPoolExecutor

    from swegym.errors import SwegymError
    from swegym.grading import stronger
    from swegym.sandbox import sandbox_factory

    made: dict[str, Stronger] = {}
    failed: dict[str, str] = {}

    def one(name: str) -> None:
        task = task_set.load(name)
        found = None if redo else stronger.known(task)
        kept = found is not None
        try:
            if found is None:
                board.doing(name, "wrong fixes and calls")
                found = stronger.strengthen(task, sandbox_factory(), mutants=mutants)
        except SwegymError as error:
            failed[name] = str(error)
            board.end(name, "failed", str(error))
            return
        made[name] = found
        board.end(name, "kept" if kept else "made", f"{len(found.calls)} stronger tests")

    with Board("strengthening", len(task_set)) as board, ThreadPoolExecutor(jobs, "strengthen") as pool:
        futures = [pool.submit(one, name) for name in task_set]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
    return {name: made[name] for name in task_set if name in made}, failed
