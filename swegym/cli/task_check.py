"""`swegym tasks check`: prove that tasks are sound, and keep what was found beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from swegym.cli.build import build_missing
from swegym.cli.options import Jobs, Json, Limit, SetArgument, TaskGlobs, cores
from swegym.cli.progress import Board
from swegym.cli.screen import print_json, say, show_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from swegym.tasks import TaskSet
    from swegym.tasks.check import Strength
    from swegym.tasks.health import TaskHealth
    from swegym.types import SandboxFactory, Task


def check(
    task_set: SetArgument,
    tasks: TaskGlobs = None,
    limit: Limit = None,
    jobs: Jobs = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, metavar="N", help="Runs of each kind.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="No other order, trivial patches or questions.")] = False,
    strength: Annotated[bool, typer.Option("--strength", help="Also how many wrong fixes the tests notice.")] = False,
    redo: Annotated[bool, typer.Option("--redo", help="Also tasks that were checked as they are.")] = False,
    as_json: Json = False,
) -> None:
    """Prove tasks, without any model: hidden tests fail before the reference fix and pass after it, and nothing leaks.

    What is found is kept beside the built task: a task that was checked as it is, is not checked again. Flaky tests no
    longer decide. Trivial patches that pass make a task weak.

    \b
    Examples:
      swegym tasks check demo
      swegym tasks check pypi -i 'sqlparse-*' -j 4
      swegym tasks check mutants --repeats 5 --redo
      swegym tasks check pypi --json
    """
    from swegym.tasks import load_task_set

    chosen = load_task_set(task_set).select(tasks or (), limit)
    workers = jobs or cores()
    build_missing(chosen, chosen, workers)
    health = check_with_progress(chosen, workers, repeats, thorough=not quick, strength=strength, redo=redo)
    unsound = [found for found in health if not found.sound]
    if as_json:
        print_json([row(found) for found in health])
    else:
        show_table(
            ("task", "state", "fail to pass", "pass to pass", "seconds", "MB", "weak", "flaky", "order"),
            [
                (
                    found.id,
                    "good" if found.sound else "bad",
                    found.fail_to_pass,
                    found.pass_to_pass,
                    found.seconds,
                    found.memory_mb,
                    ", ".join(found.weak),
                    len(found.flaky) or "",
                    len(found.order) or "",
                )
                for found in health
            ],
        )
        for found in health:
            for problem in found.problems:
                say(f"{found.id}: {problem}")
            for test, rate in found.flaky.items():
                say(f"{found.id}: flaky, decides no longer: {test} (other than usual in {rate:.0%} of runs)")
        say(f"{len(health) - len(unsound)} of {len(health)} tasks are sound.")
    if unsound:
        raise typer.Exit(1)


def row(found: TaskHealth) -> dict[str, Any]:
    """What `--json` says of one task."""
    from dataclasses import asdict

    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(found).items()}
    return {"task": fields.pop("id"), "sound": found.sound, **fields}


def check_with_progress(
    task_set: TaskSet, jobs: int, repeats: int, *, thorough: bool = True, strength: bool = False, redo: bool = False
) -> list[TaskHealth]:
    """Check built tasks, `jobs` at a time; a machine or a task that fails is a problem of its task.

    What an interrupt cuts off is neither good nor bad: it is not shown, not kept, and checked by the same command.
    """
    from concurrent.futures import ThreadPoolExecutor
    from dataclasses import replace
    from threading import Event

    from swegym.errors import SwegymError
    from swegym.grading import make_grader, run_hidden
    from swegym.sandbox import sandbox_factory
    from swegym.sandbox.opened import Opened
    from swegym.tasks import health
    from swegym.tasks.check import check
    from swegym.tasks.health import TaskHealth

    open_sandbox, grade = sandbox_factory(), make_grader("sealed" if thorough else "unasked")
    measure = _strength() if strength else None
    checking: set[Opened] = set()
    interrupted = Event()

    def prove(name: str) -> TaskHealth:
        home = task_set.home(name)
        task = task_set.load(name, whole=True)
        known = health.load(home, name)
        if (
            known
            and not redo
            and known.sound
            and known.digest == task.digest
            and known.repeats >= repeats
            and (known.thorough or not thorough)
            and not strength
        ):
            board.end(name, "kept")
            return known
        board.doing(name, "running its tests")
        machines = Opened(open_sandbox)
        checking.add(machines)
        try:
            found = check(task, machines, run_hidden, grade, repeats, thorough=thorough, strength=measure)
        except SwegymError as error:
            found = TaskHealth(name, (f"{error.cause}: {error}",), 0, 0)
        finally:
            checking.discard(machines)
        if not interrupted.is_set():
            found = replace(found, digest=task.digest)
            health.save(found, home)
            board.end(name, "good" if found.sound else "bad", "; ".join(found.problems))
        return found

    with Board("checking", len(task_set)) as board, ThreadPoolExecutor(jobs, "check") as pool:
        futures = [pool.submit(prove, name) for name in task_set]
        try:
            return [future.result() for future in futures]
        finally:
            interrupted.set()
            for future in futures:
                future.cancel()
            for machines in list(checking):  # on an interrupt: a command in flight ends with its machine
                machines.stop()


def _strength() -> Callable[[Task, SandboxFactory], Strength]:
    from swegym.grading.strength import strength

    return strength
