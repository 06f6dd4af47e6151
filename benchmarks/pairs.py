"""Preference pairs from the shipped tasks: what `repair` solves plain and with hints, and what pairs come of it.

    python benchmarks/pairs.py [--jobs 2] [--minutes 50] [--parts mutants/parse pypi/tabulate ...] [--again SEED]

A part is the tasks of one package, those of the training split first: two plain attempts at each, one guided retry of
each failure. With --again the same once more, with another seed, for those tasks that gave a pair: where a student
solves nothing, or everything, more attempts are no data. Runs lie in runs/pairs/; the same command goes on where they
stopped, and with --minutes they stop by themselves. The results file is of all that lies there by then; rates are those
of the first round.
"""

from __future__ import annotations

import argparse
import re
import signal
import tempfile
from collections.abc import Sequence
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
from swegym.rollout.report import hint_counts
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.types import Trajectory

ATTEMPTS = 2
STUDENT = {"seconds": 3.0}  # of processor time for trying edits: a quarter of what `repair` takes by itself
SETS = ("mutants", "pypi")
AGAIN = ".again-"  # behind a part's name, before the seed of another round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="stop the runs then; the next start goes on")
    parser.add_argument("--parts", nargs="*", metavar="SET/PACKAGE", help="all if left out; none: results only")
    parser.add_argument("--again", type=int, metavar="SEED", help="another round, of the tasks that gave a pair")
    parser.add_argument("--dpo", type=Path, metavar="MODEL", help="let TRL train this model on the pairs for two steps")
    parser.add_argument("--out", type=Path, default=Path("runs/pairs"))
    arguments = parser.parse_args()
    console = Console()
    if arguments.minutes is not None:
        signal.signal(signal.SIGALRM, signal.default_int_handler)  # as Ctrl-C would: finished episodes are kept
        signal.setitimer(signal.ITIMER_REAL, 60 * arguments.minutes)
    try:
        every = [part for name in SETS for part in parts_of(name)]
        for part in every if arguments.parts is None else arguments.parts:
            carry_out(part, arguments.out, arguments.jobs, console, arguments.again)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on")
    signal.setitimer(signal.ITIMER_REAL, 0)
    found = sorted(file.parent for file in arguments.out.glob("*/*/trajectories.jsonl"))
    folders = {f"{folder.parent.name}/{folder.name}": RunFolder(folder) for folder in found}
    results: dict[str, Any] = {
        "settings": {"policy": "repair", **STUDENT, "attempts": ATTEMPTS, "guide": "on-failure", "teacher": "oracle"}
    }
    attempts = read_runs(folders.values()).trajectories
    # Ids begin with the name of their run.
    results["all"] = figures([attempt for attempt in attempts if AGAIN not in attempt.id])
    if again := [attempt for attempt in attempts if AGAIN in attempt.id]:
        results["again"] = figures(again)
    results["data"] = products(attempts, arguments.out)
    if arguments.dpo:
        results["trl"] = read_by_trl(arguments.out / "pairs_of_any_split.jsonl", arguments.dpo)
    results["parts"] = {part: outcome(folder) for part, folder in folders.items()}
    console.print(results)
    console.print(f"written to {write_results('pairs', results)}")


def package(task: str) -> str:
    """Of what a task is: "mutant-rfc3986-2.0.0-4" and "rfc3986-1.3.2-1.4.0-1" are of rfc3986."""
    return re.split(r"-\d", task.removeprefix("mutant-"), maxsplit=1)[0]


def parts_of(name: str) -> list[str]:
    tasks = load_task_set(name)
    training_first = sorted(tasks.ids, key=lambda task: tasks.split(task) != "train")
    return list(dict.fromkeys(f"{name}/{package(task)}" for task in training_first))


def carry_out(part: str, out: Path, jobs: int, console: Console, again: int | None) -> None:
    """Build the tasks of a part and attempt them; with `again`, those that gave a pair, with this seed."""
    name, _, chosen = part.partition("/")
    tasks = load_task_set(name)
    wanted = [task for task in tasks.ids if package(task) == chosen]
    if again is not None:
        pairs = make_pairs(read_runs([RunFolder(out / part)]).trajectories, guards=Guards(refusals=(untrusted(),)))
        wanted = sorted({row["task"] for row in pairs.rows})
        part = f"{part}{AGAIN}{again}"
    if not wanted:
        return
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
        seed=again or 0,
        out=out / part,
    )
    collect(config, on_event=show)


def outcome(folder: RunFolder) -> dict[str, Any]:
    """What a run came to, over the tasks that it has reached."""
    return {
        "tasks": folder.facts["task_set"]["tasks"],
        **figures(folder.trajectories()),
        "hints": hint_counts(folder.hints()),
        "wall_seconds": sum(wall_seconds(start) for start in folder.facts["starts"]),
    }


def figures(trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    summary = summarise("", trajectories)
    effect = guidance_effect(trajectories)
    tasks, plain, helped = len(summary.tasks), summary.solved_plain, summary.solved_only_guided
    return {
        "tasks_attempted": tasks,
        "attempts": summary.attempts,
        "guided_attempts": summary.guided_attempts,
        "solved_plain": plain,
        "solved_only_with_a_hint": helped,
        "plain_rate_95": [round(value, 3) for value in wilson(plain, tasks)],
        "either_rate_95": [round(value, 3) for value in wilson(plain + helped, tasks)],
        "not_judged": sum(summary.invalid.values()),
        "empty_patches": summary.empty_patches,
        "guidance": effect and effect.as_json(),
        "seconds": {phase.name: phase.as_json() for phase in phases(trajectories)},
    }


def wall_seconds(start: dict[str, Any]) -> float:
    if start["finished"] is None:
        return 0.0  # killed
    began, ended = (datetime.fromisoformat(start[name]) for name in ("started", "finished"))
    return (ended - began).total_seconds()


def products(attempts: Sequence[Trajectory], out: Path) -> dict[str, Any]:
    """Pairs of all runs: for training, and whatever the split; balanced in length; and those with a shared prefix."""
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


def read_by_trl(pairs: Path, model: Path) -> dict[str, Any]:
    """Two steps of TRL's DPO trainer on the file as it is."""
    import datasets
    import transformers
    import trl

    with tempfile.TemporaryDirectory() as folder:
        rows = datasets.load_dataset("json", data_files=str(pairs), split="train", cache_dir=folder)
        settings = trl.DPOConfig(
            output_dir=folder,
            max_steps=2,
            per_device_train_batch_size=1,
            max_length=16384,
            save_strategy="no",
            report_to=[],
            bf16=False,
            use_cpu=True,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        trainer = trl.DPOTrainer(model=str(model), args=settings, train_dataset=rows, processing_class=tokenizer)
        done = trainer.train()
    return {"rows": len(rows), "dpo_steps": done.global_step, "loss": round(done.training_loss, 4)}


if __name__ == "__main__":
    main()
