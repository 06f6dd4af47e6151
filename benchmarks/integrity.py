"""The price of each layer of the strict grader, over plain pytest by hand.

For each task: the hidden files under plain pytest with the reference fix applied, the runner without questions, the
runner with each layer alone, and the grader as it is, with all of them: where a core is idle, as on a quiet machine
with one grading at a time, and where none is, so that the machine for questions is made after the tests. The reference
is taken before; its own price is a line of its own. Medians of --runs, taken in turn, so that a slow minute of the
machine meets all alike. Writes benchmarks/results/integrity.json.

    python benchmarks/integrity.py --runs 5
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from machine import write_results
from rich.console import Console
from rich.table import Table

from swegym.grading import apply_patch, sealed
from swegym.grading.reference import reference_for, take
from swegym.grading.strict import LAYERS
from swegym.grading.work_tree import write_tree
from swegym.sandbox import sandbox_factory
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.types import Grader, Task

TASKS = (  # by the length of their tests, half a second to some seconds
    "unidiff-0.7.4-0.7.5",
    "tomlkit-0.13.1-0.13.2",
    "cachetools-7.3.0-7.3.1",
    "sqlparse-0.5.1-0.5.2",
    "tabulate-0.9.0-0.10.0-4",
    "html2text-2024.2.25-2024.2.26",
    "croniter-6.2.0-6.2.1",
)
BUDGET = 1.25


def by_hand(task: Task) -> float:
    """Seconds of the hidden files under plain pytest, the reference fix applied."""
    with sandbox_factory()(task.image) as box:
        write_tree(box, task, apply_patch(task, task.gold_patch).changes)
        files = sorted({test.split("::")[0] for test in task.hidden.expected})
        command = ["/opt/venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
        started = time.perf_counter()
        box.exec(command, timeout=300, env={"PYTHONPATH": ":".join(f"/testbed/{p}" for p in task.tests.pythonpath)})
        return time.perf_counter() - started


def timed(grade: Grader, task: Task, idle: bool = False) -> float:
    """Seconds of one grading of the reference fix, as with or without an idle core."""
    sealed.core_is_idle = lambda: idle
    started = time.perf_counter()
    verdict = grade(task, task.gold_patch, sandbox_factory())
    seconds = time.perf_counter() - started
    if not verdict.resolved:
        raise SystemExit(f"{task.id}: the reference fix is not resolved: {verdict.reason}")
    return seconds


def measured(task: Task, runs: int) -> dict[str, Any]:
    """Medians of one task, in seconds, and as ratios over plain pytest."""
    started = time.perf_counter()
    take(task, sandbox_factory())
    taking = time.perf_counter() - started
    known = reference_for(task, sandbox_factory())
    ways: dict[str, Callable[[], float]] = {"by hand": lambda: by_hand(task)}
    ways["runner alone"] = lambda: timed(sealed.grade_unasked, task)
    for layer in LAYERS:
        ways[f"with {layer}"] = lambda layer=layer: timed(sealed.grader_with(layer), task)  # type: ignore[misc]
    ways["all"] = lambda: timed(sealed.grade, task, idle=True)
    ways["all, no core idle"] = lambda: timed(sealed.grade, task)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            seconds[name].append(way())
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    hand = medians["by hand"]
    return {
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "over_plain": {name: round(value / hand, 2) for name, value in medians.items() if name != "by hand"},
        "reference_seconds": round(taking, 2),
        "coverage": known.coverage(task.hidden.fail_to_pass),
        "budget": BUDGET,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    arguments = parser.parse_args()
    task_set = load_task_set("pypi").select(arguments.tasks)
    for built in build(task_set):
        if built.error is not None:
            raise SystemExit(str(built.error))
    results: dict[str, Any] = {}
    for name in task_set.ids:
        results[name] = measured(task_set.load(name), arguments.runs)
        place = write_results("integrity", results)  # what was measured stays when it is cut off
    table = Table("way", *results)
    for way in next(iter(results.values()))["seconds"]:
        table.add_row(way, *(f"{found['seconds'][way]} s" for found in results.values()))
    console = Console()
    console.print(table)
    console.print(f"written to {place}")


if __name__ == "__main__":
    main()
