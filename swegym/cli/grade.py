"""`swegym grade`: judge patches that exist already, in SWE-bench's format, without any policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swegym.cli.build import build_missing
from swegym.cli.options import Jobs, Json, Limit, SetArgument, TaskGlobs, cores
from swegym.cli.progress import Board, outcome_of
from swegym.cli.screen import note, print_json, say, show_table

if TYPE_CHECKING:
    from swegym.evaluate import Event


def grade(
    task_set: SetArgument,
    predictions: Annotated[
        str,
        typer.Option(
            "-p", "--predictions", metavar="FILE", help="A .jsonl or .json file; or `gold`, the reference fixes."
        ),
    ],
    tasks: TaskGlobs = None,
    limit: Limit = None,
    jobs: Jobs = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FOLDER", help="Where results go, and go on from.")
    ] = None,
    grader: Annotated[
        str, typer.Option("--grader", metavar="NAME", help="A name, or my_pkg.module:function.")
    ] = "sealed",
    official: Annotated[
        bool | None,
        typer.Option("--official/--no-official", help="Also judge by the official rules; else only published rows."),
    ] = None,
    regrade: Annotated[
        bool, typer.Option("--regrade", help="Apply the official rules to the saved logs of -o; run nothing.")
    ] = False,
    redo: Annotated[bool, typer.Option("--redo", help="Judge again what is judged already.")] = False,
    as_json: Json = False,
) -> None:
    """Judge a file of patches with the hidden tests, each in a fresh sandbox.

    \b
    Examples:
      swegym grade pypi --predictions preds.jsonl
      swegym grade pypi --predictions gold -j 4       every reference fix must resolve
      swegym grade pypi -p preds.jsonl -i 'sqlparse-*'
      swegym grade pypi -p preds.jsonl -o runs/mine   once more: judges only what changed
      swegym grade ./verified -p preds.jsonl          strict and official verdicts side by side
      swegym grade ./verified -p preds.jsonl -o runs/mine --regrade
      swegym grade pypi -p preds.jsonl --json

    A prediction is an object with instance_id, model_name_or_path and model_patch: one per line in .jsonl,
    a list of them or an object by instance id in .json. Several for one instance count for pass@k.
    """
    from swegym.evaluate import check_ids, evaluate, gold_predictions, read_predictions
    from swegym.evaluate import regrade as grade_again
    from swegym.tasks import load_task_set

    whole = load_task_set(task_set)
    chosen = whole.select(tasks or (), limit)
    workers = jobs or cores()
    if predictions == "gold":
        build_missing(chosen, chosen, workers)
        wanted = gold_predictions(chosen)
    else:
        everything = read_predictions(Path(predictions))
        check_ids(everything, whole, predictions)
        wanted = [prediction for prediction in everything if prediction.instance_id in chosen]
        build_missing(chosen, [prediction.instance_id for prediction in wanted], workers)
    folder = out or Path("runs") / f"grade-{whole.name}-{Path(predictions).stem}"

    def show(event: Event) -> None:
        name = f"{event.instance_id} #{event.attempt + 1}" if event.attempt else event.instance_id
        if event.result is None:
            board.doing(name, "hidden tests")
        elif event.kind == "kept":
            board.kept(outcome_of(event.result.resolved))
            board.finish(name)
        else:
            detail = "" if event.result.resolved else event.result.reason
            board.end(name, outcome_of(event.result.resolved), detail)

    if regrade:
        report = grade_again(chosen, wanted, folder, grader=grader)
    else:
        with Board("grading", len(wanted)) as board:
            report = evaluate(
                chosen, wanted, folder, grader=grader, official=official, jobs=workers, redo=redo, on_event=show
            )
    if as_json:
        print_json(report)
    else:
        show_report(report, folder)
    if report["errors"]:
        raise typer.Exit(1)


def show_report(report: dict[str, Any], folder: Path) -> None:
    show_table(
        ("predictions", "resolved", "unresolved", "empty patch", "not judged", "tasks without one"),
        [
            [
                report[f"{kind}_instances"]
                for kind in ("submitted", "resolved", "unresolved", "empty_patch", "error", "incomplete")
            ]
        ],
    )
    for name, rate in report["rates"].items():
        interval = f"{rate['value']:.1%} (95 %: {rate['low']:.1%} to {rate['high']:.1%}) of {rate['tasks']}"
        say(f"{name}: {interval}")
    for k, found in report["pass_at_k"].items():
        say(f"pass@{k}: {found['value']:.1%} (95 %: {found['low']:.1%} to {found['high']:.1%}) of {found['tasks']}")
    for task, why in report["verdicts_differ"].items():
        note(f"{task}: {why}")
    for task, why in report["errors"].items():
        note(f"{task} was not judged: {why}")
    say(f"Results: {folder}/report.json, official_report.json, results.jsonl, logs/.")
    say("The same command judges only what is new or changed.")
