"""`swegym demo`: the main job from end to end on a few real tasks, without a model, a key or a GPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swegym.cli.doctor import Finding, git, kernel, sandbox_opens, store_file_system, user_namespaces
from swegym.cli.options import Jobs, Json, Redo, cores
from swegym.cli.pairs import write_pairs
from swegym.cli.run import carry_out, set_aside
from swegym.cli.screen import note, print_json, say, show_table
from swegym.errors import SandboxUnavailable

if TYPE_CHECKING:
    from swegym.report import RunSummary

STUDENT = {"policy": "repair", "guide": "on-failure", "teacher": "oracle", "limits": {"turns": 60, "seconds": 300.0}}


def demo(
    jobs: Jobs = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="RUN", help="The run's folder.")] = Path("runs/demo"),
    redo: Redo = False,
    as_json: Json = False,
) -> None:
    """Run the whole loop: build tasks, attempt them, hint where that failed, retry, grade, and write preference pairs.

    \b
    Examples:
      swegym demo
      swegym demo           again: goes on where it stopped, or shows the result
      swegym demo --redo    from the start
      swegym demo --json

    The student is `repair`, a search that needs no model; the teacher is `oracle`, which knows the fix and may not
    quote it. The first run downloads the sources of a handful of PyPI packages.
    """
    from swegym.config import validate
    from swegym.report import summarise
    from swegym.rollout import RunConfig
    from swegym.tasks import load_task_set

    started = time.monotonic()
    refuse_unready(kernel(), user_namespaces(), git(), store_file_system(), sandbox_opens())
    if redo:
        set_aside(out)
    config = validate(RunConfig, {"tasks": "demo", **STUDENT, "jobs": jobs or cores(), "out": str(out)}, "swegym demo")
    folder = carry_out(config)
    pairs = write_pairs([folder], folder.path / "pairs.jsonl")
    summary = summarise(folder.path.name, folder.trajectories())
    seconds = time.monotonic() - started
    if as_json:
        print_json({**summary.as_json(), "pairs": len(pairs), "wall_seconds": round(seconds, 1)})
    else:
        show_result(summary, load_task_set("demo").ids, len(pairs), seconds)
        show_next(folder.path)
    if summary.invalid:
        note("Some attempts were not judged; the same command tries them again.")
        raise typer.Exit(1)


def refuse_unready(*findings: Finding) -> None:
    """Stop with the remedy before anything is downloaded, if this machine cannot run the demo."""
    for finding in findings:
        if finding.state == "missing":
            raise SandboxUnavailable(f"{finding.name}: {finding.detail}. {finding.remedy}")
        note(f"{finding.name}: {finding.detail}")


def show_result(summary: RunSummary, order: Sequence[str], pairs: int, seconds: float) -> None:
    """One row per task, and the totals under them."""
    outcomes = {task.task: task for task in summary.tasks}
    rows = [
        (
            task,
            _word(outcomes[task].plain, outcomes[task].plain_solved),
            _word(outcomes[task].guided, outcomes[task].guided_solved),
            outcomes[task].seconds,
        )
        for task in order
        if task in outcomes
    ]
    show_table(("task", "plain", "guided", "seconds"), rows)
    show_table(
        ("tasks", "solved plain", "solved guided", "pairs", "seconds"),
        [(len(summary.tasks), summary.solved_plain, summary.solved_guided, pairs, seconds)],
    )


def _word(judged: int, solved: int) -> str:
    if not judged:
        return "-"
    return "solved" if solved else "failed"


def show_next(folder: Path) -> None:
    say(f"Recorded in {folder}: trajectories.jsonl, pairs.jsonl, preds.jsonl, report.json, config.toml.")
    say("What next:")
    for command, gives in (
        (f"swegym report {folder} --tasks", "rates with their intervals"),
        ("swegym tasks list", "more tasks"),
        ("swegym play demo", "try one yourself"),
        ("swegym run pypi -p litellm --set policy_options.model=MODEL", "try a model"),
    ):
        say(f"  {command:60}  {gives}")
