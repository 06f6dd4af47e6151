"""What the search-based student solves of the shipped tasks, plain and with the oracle's hint.

    python benchmarks/repair.py [--jobs 2] [--sets pypi mutants]

One attempt at each task, one guided retry of each failure, seed 0. Resumes in runs/benchmark-<set>.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from machine import write_results
from rich.console import Console

from swegym.data import make_pairs
from swegym.report import summarise, wilson
from swegym.rollout import RunConfig, collect
from swegym.tasks import load_task_set
from swegym.tasks.build import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sets", nargs="+", default=["pypi", "mutants"])
    arguments = parser.parse_args()
    console = Console()
    results = {}
    for name in arguments.sets:
        for built in build(load_task_set(name)):
            assert built.error is None, built.error
        config = RunConfig(
            tasks=name,
            policy="repair",
            guide="on-failure",
            teacher="oracle",
            jobs=arguments.jobs,
            out=Path("runs") / f"benchmark-{name}",
        )
        trajectories = collect(config).trajectories()
        summary = summarise(name, trajectories)
        tasks = len(summary.tasks)
        plain, helped = summary.solved_plain, summary.solved_guided
        results[name] = {
            "tasks": tasks,
            "solved_plain": plain,
            "solved_only_with_the_hint": helped,
            "plain_rate_95": [round(value, 3) for value in wilson(plain, tasks)],
            "either_rate_95": [round(value, 3) for value in wilson(plain + helped, tasks)],
            "not_judged": sum(trajectory.verdict.resolved is None for trajectory in trajectories),
            "pairs": len(make_pairs(trajectories).rows),
        }
        console.print(name, results[name])
    console.print(f"written to {write_results('repair', results)}")


if __name__ == "__main__":
    main()
