"""`swegym tasks mine`: look for tasks in the releases of packages and in the commits of a clone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swegym.cli.options import Jobs, Json, cores
from swegym.cli.progress import Board
from swegym.cli.screen import print_json, say, show_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from swegym.sandbox.opened import Opened
    from swegym.tasks.miners.change import Workshop
    from swegym.tasks.miners.journal import Entry, Journal
    from swegym.types import Task

app = typer.Typer(no_args_is_help=True, help="Look for tasks where code is: releases, commits.")

Out = Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="A task set: recipes, drafts and the journal.")]
Problems = Annotated[int, typer.Option("--problems", min=1, metavar="N", help="Tasks of one release or commit.")]
Tries = Annotated[int, typer.Option("--tries", min=1, metavar="N", help="Test runs to find one smallest fix.")]
Seconds = Annotated[float, typer.Option("--timeout", min=1, metavar="SECONDS", help="For one run of the tests.")]
Writer = Annotated[
    str | None,
    typer.Option("--writer", metavar="MODULE:FUNCTION", help="Writes issue texts: (task, text so far) -> text."),
]


@app.command("releases")
def releases(
    packages: Annotated[list[str], typer.Argument(metavar="PACKAGE...", help="Packages on the index.")],
    out: Out,
    pairs: Annotated[
        int, typer.Option("--pairs", min=1, metavar="N", help="Release pairs of each, newest first.")
    ] = 10,
    most: Annotated[int, typer.Option("--most", min=1, metavar="N", help="Tasks of one package.")] = 8,
    problems: Problems = 4,
    tries: Tries = 80,
    timeout: Seconds = 60.0,
    writer: Writer = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Walk release pairs: where new tests fail on the old sources and pass on the new, write a task for each problem.

    A large release is split: for each failing test the fewest hunks that make it pass. Tasks whose issue text cannot be
    made from calls that differ are left as drafts. The same command goes on where it was ended.

    \b
    Examples:
      swegym tasks mine releases sqlparse tabulate -o mined
      swegym tasks mine releases boltons --pairs 3 --problems 8 -o mined -j 4
      swegym tasks mine releases parse -o mined --writer my_texts:write
      swegym tasks check ./mined
    """
    from swegym.tasks.miners.journal import Journal
    from swegym.tasks.miners.releases import Walk, mine_package

    journal = Journal(out)
    walk = Walk(pairs, most)

    def mine(package: str, shop: Workshop, shown: Callable[[Entry], None], doing: Callable[[str], None]) -> None:
        mine_package(package, journal, shop, walk, shown, doing)

    names = list(dict.fromkeys(packages))
    _work(names, mine, journal, _limits(problems, tries, timeout), writer, jobs or cores())
    wanted = [entry for key, entry in journal.entries.items() if key.split()[0] in names]
    _report(wanted, out, as_json)


@app.command("commits")
def commits(
    clone: Annotated[Path, typer.Argument(metavar="CLONE", help="Folder of a local git repository.")],
    out: Out,
    package: Annotated[
        str | None, typer.Option("--package", metavar="NAME", help="The package's name; the folder's if left out.")
    ] = None,
    most: Annotated[int, typer.Option("--commits", min=1, metavar="N", help="How far back to go.")] = 200,
    problems: Problems = 1,
    tries: Tries = 80,
    timeout: Seconds = 60.0,
    writer: Writer = None,
    as_json: Json = False,
) -> None:
    """Walk a clone's history for commits that change sources and tests; the history itself gets into no task.

    The recipes name the clone and build as long as it lies there.

    \b
    Examples:
      swegym tasks mine commits ~/src/my-project -o mined
      swegym tasks mine commits ~/src/my-project --package my_project --commits 50 -o mined
      swegym tasks build ./mined && swegym tasks check ./mined
    """
    from swegym.tasks.miners.commits import mine_clone
    from swegym.tasks.miners.journal import Journal

    journal = Journal(out)
    name = package or clone.expanduser().resolve().name.removesuffix(".git")

    def mine(wanted: str, shop: Workshop, shown: Callable[[Entry], None], doing: Callable[[str], None]) -> None:
        mine_clone(clone, wanted, journal, shop, most, shown, doing)

    _work([name], mine, journal, _limits(problems, tries, timeout), writer, 1)
    _report([entry for key, entry in journal.entries.items() if key.split()[0] == name], out, as_json)


def _limits(problems: int, tries: int, timeout: float) -> dict[str, Any]:
    return {"problems": problems, "tries": tries, "timeout": timeout}


def _work(
    names: list[str],
    mine: Callable[[str, Workshop, Callable[[Entry], None], Callable[[str], None]], None],
    journal: Journal,
    limits: dict[str, Any],
    writer: str | None,
    jobs: int,
) -> None:
    """Mine each of `names`, `jobs` at a time. An interrupt ends the machines; what was looked through is kept."""
    from concurrent.futures import ThreadPoolExecutor

    from swegym.grading import run_hidden
    from swegym.guidance.leaks import find_leaks
    from swegym.sandbox import sandbox_factory
    from swegym.sandbox.opened import Opened
    from swegym.tasks.miners.change import Limits, Workshop

    machines: list[Opened] = []
    write = _load_writer(writer)

    def work(name: str) -> None:
        opened = Opened(sandbox_factory())
        machines.append(opened)
        shop = Workshop(opened, run_hidden, find_leaks, write, Limits(**limits))
        board.doing(name, "looking at its releases")
        mine(name, shop, lambda entry: _shown(board, name, entry), lambda key: board.doing(name, key))
        board.finish(name)

    with Board("mining", len(names)) as board, ThreadPoolExecutor(jobs, "mine") as pool:
        futures = [pool.submit(work, name) for name in names]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
            for opened in list(machines):
                opened.stop()


def _shown(board: Board, name: str, entry: Entry) -> None:
    found = f"{len(entry.tasks)} tasks" if entry.tasks else f"{len(entry.drafts)} drafts" if entry.drafts else "none"
    board.outcome(name, entry.key, found, entry.seconds, "; ".join(entry.reasons))


def _load_writer(path: str | None) -> Callable[[Task, str], str] | None:
    import importlib

    from swegym.errors import InputError

    if path is None:
        return None
    module, _, function = path.partition(":")
    try:
        found: Callable[[Task, str], str] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        problem = f"cannot be imported: {error}"
        raise InputError.at("command line", "--writer", path, problem, "Give it as module:function.") from error
    return found


def _report(entries: list[Entry], out: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from swegym.tasks.miners.journal import yields

    found = yields(entries)
    if as_json:
        print_json({**found, "entries": [asdict(entry) for entry in entries]})
        return
    reasons = found["reasons"]
    if isinstance(reasons, dict) and reasons:
        show_table(("times", "why not more"), [(count, reason) for reason, count in reasons.items()])
        say()
    say(
        f"{found['tasks']} tasks and {found['drafts']} drafts from {found['changes']} changes "
        f"({found['with_tasks']} gave tasks), in {out}"
    )
    if found["drafts"]:
        say(f"A draft lacks its issue text: write it in {out}/drafts, and move the recipe up.")
    if found["tasks"]:
        say(f"Next: swegym tasks check {out if '/' in str(out) else f'./{out}'}")
