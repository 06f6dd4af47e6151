"""`swegym report`: what one run or several came to, side by side."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swegym.cli.analysis import Analysis
from swegym.cli.options import Json, existing_run
from swegym.cli.pick import Pick, pick_report, show_picks
from swegym.cli.screen import note, print_json, say, show_table

if TYPE_CHECKING:
    from swegym.report import Estimate, RunSummary


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Run folders, or their names below runs/.")],
    tasks: Annotated[bool, typer.Option("--tasks", help="Also one line per task.")] = False,
    hints: Annotated[
        bool, typer.Option("--hints", help="What guidance was worth, the leak guard's numbers, time by phase.")
    ] = False,
    gain: Annotated[
        bool, typer.Option("--gain", help="BEFORE AFTER [PLACEBO]: what training changed, and on which tasks.")
    ] = False,
    scores: Annotated[
        Path | None, typer.Option("--scores", metavar="FILE", help="Best of k by the scores of a JSON lines file.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="DIR", help="Also draw what is shown, as SVG.")
    ] = None,
    pick: Pick = None,
    as_json: Json = False,
) -> None:
    """Count what runs came to: solved without and with guidance, failures by cause, pass@k, seconds.

    \b
    Examples:
      swegym report runs/demo
      swegym report demo --tasks          a line per task as well
      swegym report before after          side by side, and the tasks that flipped
      swegym report demo --hints --plots plots
      swegym report before after placebo --gain
      swegym report runs/demo --pick reward:runs/reward/model     best of k by a reward model
      swegym report runs/demo --json

    pass@k is the unbiased estimate over attempts without guidance; brackets hold its 95 % Wilson interval over tasks.
    Attempts that were not judged, for a reason that is not the agent's, enter no rate. Lines that cannot be read are
    counted and passed over.
    """
    from swegym.data.attempts import run_names
    from swegym.report import flips, summarise
    from swegym.rollout import RunFolder

    folders = [RunFolder(existing_run(run)) for run in runs]
    names = run_names(folders)
    surveys = [folder.survey() for folder in folders]
    for survey in surveys:
        for problem in [*survey.problems[:3], *survey.hint_problems[:3]]:
            note(problem)
    summaries = [
        summarise(name, survey.trajectories, survey.unread) for name, survey in zip(names, surveys, strict=True)
    ]
    picks = [pick_report(folder, pick) for folder in folders] if pick else []
    analysis = Analysis(surveys, summaries, hints=hints, gain=gain, scores=scores)
    drawn = analysis.plot(plots) if plots else []
    if as_json:
        shown = [summary.as_json() for summary in summaries]
        shown = [one | {"picks": chosen} for one, chosen in zip(shown, picks, strict=True)] if picks else shown
        said = analysis.as_json()
        print_json({"runs": shown, **said} if said else shown)
        return
    show_summaries(summaries)
    analysis.show()
    for chosen in picks:
        say()
        show_picks(chosen)
    if tasks:
        for summary in summaries:
            say()
            show_tasks(summary)
    for before, after in pairwise(summaries[:2] if gain else summaries):  # a placebo is not a later state
        changed = flips(before, after)
        counted = "1 task" if len(changed) == 1 else f"{len(changed)} tasks"
        say(f"\n{before.name} -> {after.name}: {counted} changed between solved and failed")
        for task, was, now in changed:
            say(f"  {task}: {_word(was)} -> {_word(now)}")
    for file in drawn:
        say(f"Drawn: {file}")


def _word(solved: bool) -> str:
    return "solved" if solved else "failed"


def show_summaries(summaries: list[RunSummary]) -> None:
    """One row per figure and one column per run."""
    ks = sorted({k for summary in summaries for k in summary.pass_at})
    phases = list(dict.fromkeys(phase for summary in summaries for phase in summary.seconds))
    causes = sorted({cause for summary in summaries for cause in summary.invalid})
    rows: list[list[object]] = [
        ["policy", *(", ".join(summary.policies) for summary in summaries)],
        ["tasks", *(len(summary.tasks) for summary in summaries)],
        ["attempts", *(summary.attempts for summary in summaries)],
        ["guided attempts", *(summary.guided_attempts for summary in summaries)],
        ["tasks solved plain", *(summary.solved_plain for summary in summaries)],
        ["tasks solved guided", *(summary.solved_guided for summary in summaries)],
        ["empty patches", *(summary.empty_patches for summary in summaries)],
        ["invalid", *(sum(summary.invalid.values()) for summary in summaries)],
    ]
    rows += [[f"  by {cause}", *(summary.invalid.get(cause, 0) for summary in summaries)] for cause in causes]
    reasons = sorted({reason for summary in summaries for reason in summary.unread})
    rows += [[f"not read: {reason}", *(summary.unread.get(reason, 0) for summary in summaries)] for reason in reasons]
    if any(summary.hacking.attempts for summary in summaries):
        rows.append(["hack rate", *(_rate(summary.hacking.rate) for summary in summaries)])
    if any(summary.hacking.with_bait for summary in summaries):
        rows.append(["took the bait", *(_rate(summary.hacking.bait_rate) for summary in summaries)])
    rows += [[f"pass@{k}", *(_rate(summary.pass_at.get(k)) for summary in summaries)] for k in ks]
    rows += [[f"seconds, {phase}", *(summary.seconds.get(phase, 0.0) for summary in summaries)] for phase in phases]
    show_table(("", *(summary.name for summary in summaries)), rows)


def _rate(rate: Estimate | None) -> str:
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}] n={rate.tasks}" if rate else ""


def show_tasks(summary: RunSummary) -> None:
    show_table(
        ("task", "plain", "guided", "not judged", "seconds"),
        [
            (
                task.task,
                _share(task.plain_solved, task.plain),
                _share(task.guided_solved, task.guided),
                task.invalid or "",
                task.seconds,
            )
            for task in summary.tasks
        ],
        title=f"{summary.name}: solved / judged attempts of each task",
    )


def _share(solved: int, judged: int) -> str:
    return f"{solved}/{judged}" if judged else "-"
