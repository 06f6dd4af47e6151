"""`swegym redteam`: attacks on graders, ours and others, and what they pay for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swegym.cli.build import build_missing
from swegym.cli.options import Jobs, Json, cores
from swegym.cli.progress import Board
from swegym.cli.screen import note, print_json, say, show_table
from swegym.errors import InputError

if TYPE_CHECKING:
    from swegym.redteam import Attack, Fix, Outcome


def redteam(
    graders: Annotated[
        list[str] | None,
        typer.Option(
            "--grader",
            metavar="NAME",
            help="sealed, plain-pytest, swebench, or my_pkg.module:function; may be repeated. Default: all there are.",
        ),
    ] = None,
    backend: Annotated[str, typer.Option("--backend", metavar="NAME", help="Sandbox backend.")] = "bubblewrap",
    attacks: Annotated[
        str, typer.Option("--attacks", metavar="GLOB", help="Only attacks whose name or class matches.")
    ] = "*",
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            metavar="SET",
            help="What they are tried on; on another set than `redteam`, those that fit any task.",
        ),
    ] = "redteam",
    first: Annotated[bool, typer.Option("--first", help="Each on the first of its tasks only.")] = False,
    fixes: Annotated[bool, typer.Option("--fixes/--no-fixes", help="Also the odd fixes that must be accepted.")] = True,
    listing: Annotated[bool, typer.Option("--list", help="Only list attacks and fixes.")] = False,
    jobs: Jobs = None,
    redo: Annotated[bool, typer.Option("--redo", help="Start again where the same command was interrupted.")] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write every outcome as JSON.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try to be paid for wrong patches, and to be refused with right ones.

    \b
    Examples:
      swegym redteam --list --json             what there is, and where it was seen
      swegym redteam                           all, on every grader there is
      swegym redteam --grader sealed --attacks in-process
      swegym redteam --grader my_pkg.grading:grade --first
      swegym redteam --tasks my_set --grader sealed          forgeries that fit any task, on tasks of your own
      swegym redteam --backend docker -o results.json

    A grader is any function (task, patch, open_sandbox) -> Verdict. An attack that is paid is a hole; a fix that is
    refused is a false alarm. Interrupted, the same command goes on.
    """
    from swegym import paths
    from swegym.images.store import json_digest, write_atomically
    from swegym.redteam import campaign, load_attacks, load_fixes, make_grader, summarise, targets, trials
    from swegym.redteam.campaign import as_document
    from swegym.redteam.graders import available
    from swegym.redteam.journal import Journal
    from swegym.sandbox import sandbox_factory
    from swegym.tasks import load_task_set

    chosen: list[Attack | Fix] = [*load_attacks(attacks), *(load_fixes() if fixes and attacks == "*" else ())]
    if listing:
        show_listing(chosen, as_json)
        return
    known = {name: make_grader(name) for name in graders or available()}
    task_set = load_task_set(tasks)
    ids, most = list(task_set), 1 if first else None
    needed = dict.fromkeys(name for thing in chosen for name in targets(thing, ids)[:most])
    if not needed:
        raise InputError(
            f"--attacks {attacks}: none of these {len(chosen)} fits a task of {tasks}. Name others, or --tasks redteam."
        )
    build_missing(task_set, needed, jobs or cores())
    tried = trials(chosen, [task_set.load(task) for task in needed], first=first)

    def show(outcome: Outcome) -> None:
        label = f"{outcome.name} on {outcome.task} by {outcome.grader}"
        board.finish(label)
        board.outcome(label, label, outcome.result, outcome.seconds, outcome.reason)

    place = paths.redteam_journal(json_digest([list(known), backend, attacks, tasks, first, fixes])[:16])
    if redo:
        place.unlink(missing_ok=True)
    memory = Journal(place)
    total = len(tried) * len(known)
    before = sum(memory.known(*trial, name) is not None for trial in tried for name in known)
    if before:
        note(f"{before} of {total} outcomes are known from the same command, interrupted; from the start: --redo")
    open_sandbox = sandbox_factory(backend)
    with Board("attacks", total - before) as board:
        outcomes = campaign(tried, known, open_sandbox, jobs=jobs or cores(), on_outcome=show, memory=memory)
    place.unlink(missing_ok=True)
    document = as_document(outcomes, backend)
    if out is not None:
        import json

        write_atomically(out, (json.dumps(document, indent=1) + "\n").encode())
    if as_json:
        print_json(document)
    else:
        show_summary(summarise(outcomes))
        show_paid(outcomes)


def show_listing(things: list[Attack | Fix], as_json: bool) -> None:
    from swegym.redteam import Attack

    rows = [
        {
            "name": thing.name,
            "class": thing.kind if isinstance(thing, Attack) else "fix",
            "severity": thing.severity if isinstance(thing, Attack) else "",
            "source": thing.source,
        }
        for thing in things
    ]
    if as_json:
        print_json(rows)
        return
    show_table(("class", "name", "severity"), [(row["class"], row["name"], row["severity"]) for row in rows])


def show_summary(summary: dict[str, Any]) -> None:
    """One row for each class and one column for each grader: attacks paid / tried."""
    kinds = list(dict.fromkeys(kind for counts in summary.values() for kind in counts["by_class"]))
    rows = [[kind, *(_paid(counts["by_class"].get(kind)) for counts in summary.values())] for kind in kinds]
    rows.append(["all attacks", *(_paid(counts["attacks"]) for counts in summary.values())])
    if any(counts["fixes"]["tried"] for counts in summary.values()):
        refused = [f"{counts['fixes']['refused']}/{counts['fixes']['tried']}" for counts in summary.values()]
        rows.append(["odd fixes refused", *refused])
    if any(counts["attacks"]["not_judged"] for counts in summary.values()):
        rows.append(["not judged", *(counts["attacks"]["not_judged"] for counts in summary.values())])
    show_table(("paid / tried", *summary), rows)


def show_paid(outcomes: list[Outcome]) -> None:
    """What the first grader paid for or refused, by name; the others are there for comparison."""
    first = next((outcome.grader for outcome in outcomes), "")
    for outcome in outcomes:
        if outcome.grader == first and outcome.result in ("paid", "refused", "not judged"):
            note(f"{outcome.result}: {outcome.kind}/{outcome.name} on {outcome.task}: {outcome.reason}")
    if any(outcome.result == "not judged" for outcome in outcomes):
        say("What was not judged is neither paid nor held: the machine or the grader failed. Try it again.")


def _paid(counts: dict[str, int] | None) -> str:
    return f"{counts['paid']}/{counts['tried']}" if counts else ""
