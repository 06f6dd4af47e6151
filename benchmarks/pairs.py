"""Preference pairs from the shipped tasks: what `repair` solves plain and with hints, and what pairs come of it.

    python benchmarks/pairs.py [--jobs 2] [--minutes 50] [--parts mutants:train pypi:train ...]

Each part is a set and one of its splits: two plain attempts at each task, one guided retry of each failure. Runs lie in
runs/pairs/; the same command goes on where they stopped, and with --minutes they stop by themselves. The results file
is of what is there by then.
"""

from __future__ import annotations

import argparse
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

from machine import write_results
from rich.console import Console

from swegym.data import Guards, make_pairs, read_runs
from swegym.data.held_out import held_out
from swegym.data.steps import make_steps
from swegym.data.trusted import untrusted
from swegym.report import summarise, wilson
from swegym.report.guidance_effect import guidance_effect
from swegym.report.phases import phases
from swegym.rollout import Event, RunConfig, RunFolder, collect
from swegym.tasks import load_task_set
from swegym.tasks.build import build

ATTEMPTS = 2
STUDENT = {"seconds": 6.0}  # of processor time for trying edits: half of what `repair` takes by itself
PARTS = ("mutants:train", "pypi:train", "mutants:dev", "mutants:test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="stop the runs then; the next start goes on")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), metavar="SET:SPLIT")
    parser.add_argument("--out", type=Path, default=Path("runs/pairs"))
    arguments = parser.parse_args()
    console = Console()
    if arguments.minutes is not None:
        signal.signal(signal.SIGALRM, signal.default_int_handler)  # as Ctrl-C would: finished episodes are kept
        signal.setitimer(signal.ITIMER_REAL, 60 * arguments.minutes)
    try:
        for part in arguments.parts:
            carry_out(part, arguments.out, arguments.jobs, console)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on")
    signal.setitimer(signal.ITIMER_REAL, 0)
    folders = {part: RunFolder(place(arguments.out, part)) for part in arguments.parts}
    folders = {part: folder for part, folder in folders.items() if (folder.path / "trajectories.jsonl").exists()}
    results: dict[str, Any] = {
        "settings": {"policy": "repair", **STUDENT, "attempts": ATTEMPTS, "guide": "on-failure", "teacher": "oracle"}
    }
    results["parts"] = {part: outcome(part, folder) for part, folder in folders.items()}
    results["data"] = products(list(folders.values()), arguments.out)
    console.print(results)
    console.print(f"written to {write_results('pairs', results)}")


def place(out: Path, part: str) -> Path:
    return out / part.replace(":", "-")


def carry_out(part: str, out: Path, jobs: int, console: Console) -> None:
    """Build the tasks of a part and attempt them."""
    name, _, split = part.partition(":")
    tasks = load_task_set(name)
    wanted = [task for task in tasks.ids if tasks.split(task) == split]
    unbuilt = [result.id for result in build(tasks, wanted, jobs=jobs) if result.error]
    console.print(f"{part}: {len(wanted)} tasks, not built: {', '.join(unbuilt) or 'none'}", emoji=False)

    def show(event: Event) -> None:
        if event.trajectory is not None and event.kind == "attempt-finished":
            verdict, seconds = event.trajectory.verdict, event.trajectory.seconds
            spent = ", ".join(f"{phase} {value:.0f}" for phase, value in seconds.items())
            console.print(f"{event.attempt} {verdict.resolved} ({spent}) {verdict.reason[:80]}", highlight=False)

    config = RunConfig(
        tasks=name,
        patterns=tuple(task for task in wanted if task not in unbuilt),
        policy="repair",
        policy_options=dict(STUDENT),
        attempts=ATTEMPTS,
        guide="on-failure",
        teacher="oracle",
        jobs=jobs,
        out=place(out, part),
    )
    collect(config, on_event=show)


def outcome(part: str, folder: RunFolder) -> dict[str, Any]:
    """What a run came to, over the tasks that it has reached."""
    trajectories = folder.trajectories()
    summary = summarise(part, trajectories)
    effect = guidance_effect(trajectories)
    tasks, plain, helped = len(summary.tasks), summary.solved_plain, summary.solved_only_guided
    return {
        "tasks": folder.facts["task_set"]["tasks"],
        "tasks_attempted": tasks,
        "solved_plain": plain,
        "solved_only_with_a_hint": helped,
        "plain_rate_95": [round(value, 3) for value in wilson(plain, tasks)],
        "either_rate_95": [round(value, 3) for value in wilson(plain + helped, tasks)],
        "not_judged": sum(summary.invalid.values()),
        "empty_patches": summary.empty_patches,
        "guidance": effect and effect.as_json(),
        "hints": folder.report()["hints"],
        "seconds": {phase.name: phase.as_json() for phase in phases(trajectories)},
        "wall_seconds": sum(wall_seconds(start) for start in folder.facts["starts"]),
    }


def wall_seconds(start: dict[str, Any]) -> float:
    if start["finished"] is None:
        return 0.0  # killed
    began, ended = (datetime.fromisoformat(start[name]) for name in ("started", "finished"))
    return (ended - began).total_seconds()


def products(folders: list[RunFolder], out: Path) -> dict[str, Any]:
    """Pairs of all runs: for training, and whatever the split; balanced in length; and those with a shared prefix."""
    attempts = read_runs(folders).trajectories
    training = (held_out("train"), untrusted())
    made = {
        "pairs_for_training": make_pairs(attempts, guards=Guards(refusals=training)),
        "pairs_for_training_balanced": make_pairs(attempts, guards=Guards(refusals=training, length="balance")),
        "pairs_of_any_split": make_pairs(attempts, guards=Guards(refusals=(untrusted(),))),
        "steps_of_any_split": make_steps(attempts, guards=Guards(refusals=(untrusted(),))),
    }
    for name, rows in made.items():
        rows.write(out / f"{name}.jsonl")
    reports = {name: rows.report() for name, rows in made.items()}
    for report in reports.values():
        report.pop("examples")
    return reports


if __name__ == "__main__":
    main()
