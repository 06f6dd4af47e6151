"""The price of the strict grader, and of each of its layers, over the same pytest command by hand.

For each task: its hidden files under plain pytest with the reference fix applied, the runner without questions, and the
grader as it is, with all of them: where a core is idle, as on a quiet machine with one grading at a time, and where
none is, so that the machine for questions is made after the tests. For LAYERED also the runner with each layer alone.
The reference is taken before; its own price is a line of its own. Medians of --runs, taken in turn, so that a slow
minute of the machine meets all alike. Writes benchmarks/results/integrity.json.

    python benchmarks/integrity.py --runs 3
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from machine import write_results
from rich.console import Console
from rich.table import Table

from swegym.grading import apply_patch, sealed
from swegym.grading.strict import LAYERS
from swegym.grading.taking import reference_for, take
from swegym.grading.work_tree import write_tree
from swegym.sandbox import sandbox_factory
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.types import Grader, Task

# Of each package of tasks/pypi whose hidden tests took a second or more by hand, the longest.
TASKS = (
    "cachetools-7.3.0-7.3.1",
    "croniter-6.2.0-6.2.1",
    "freezegun-1.5.0-1.5.1",
    "html2text-2024.2.25-2024.2.26",
    "jsonpatch-1.42-1.43",
    "jsonpointer-3.8-3.9",
    "path-16.15.0-16.16.0",
    "prettytable-3.15.1-3.16.0",
    "python-dotenv-1.1.0-1.1.1",
    "python-slugify-9.1.0-9.1.1",
    "rfc3986-1.3.2-1.4.0-2",
    "sqlparse-0.5.4-0.5.5",
    "tabulate-0.9.0-0.10.0-4",
    "tenacity-8.4.2-8.5.0",
    "tinycss2-1.1.1-1.2.0",
    "tomlkit-0.13.1-0.13.2",
    "w3lib-2.2.0-2.2.1",
    "whatthepatch-1.0.4-1.0.5",
    "xmltodict-1.0.1-1.0.2",
)
LAYERED = ("croniter-6.2.0-6.2.1", "tabulate-0.9.0-0.10.0-4", "tinycss2-1.1.1-1.2.0", "tomlkit-0.13.1-0.13.2")
BUDGET = 1.25
WAYS = ("runner alone", "all", "all, no core idle")


def by_hand(task: Task) -> float:
    """Seconds of the hidden files under plain pytest, with the plugins and options of the task."""
    setup = task.tests
    with sandbox_factory()(task.image) as box:
        write_tree(box, task, apply_patch(task, task.gold_patch).changes)
        files = sorted({test.split("::")[0] for test in task.hidden.expected})
        command = ["/opt/venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
        command += [part for name in setup.plugins for part in ("-p", name)]
        command += [part for name, value in setup.ini.items() for part in ("-o", f"{name}={value}")]
        path = ":".join(f"{task.image.workdir}/{folder}" for folder in setup.pythonpath)
        environment = {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        started = time.perf_counter()
        done = box.exec([*command, *files], timeout=300, env=environment)
        seconds = time.perf_counter() - started
    if done.exit_code not in (0, 1):  # 1: tests that are not expected to pass
        raise SystemExit(f"{task.id}: pytest by hand ended with {done.exit_code}: {done.text[-500:]}")
    return seconds


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
    for layer in LAYERS if task.id in LAYERED else ():
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
    results: dict[str, Any] = {"budget": BUDGET, "tasks": {}}
    for name in task_set.ids:
        results["tasks"][name] = measured(task_set.load(name), arguments.runs)
        results["summary"] = summary(results["tasks"])
        place = write_results("integrity", results)  # what was measured stays when it is cut off
    console = Console()
    table = Table("task", "by hand", *WAYS)
    for name, found in results["tasks"].items():
        ratios = (str(found["over_plain"][way]) for way in WAYS)
        table.add_row(name, f"{found['seconds']['by hand']} s", *ratios)
    console.print(table)
    console.print(results["summary"])
    console.print(f"written to {place}")


def summary(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Of each way, over the tasks: the ratio in the middle, that of all seconds together, how many keep the budget."""
    hand = sum(found["seconds"]["by hand"] for found in tasks.values())
    return {
        way: {
            "median": round(statistics.median(found["over_plain"][way] for found in tasks.values()), 2),
            "together": round(sum(found["seconds"][way] for found in tasks.values()) / hand, 2),
            "within_budget": sum(found["over_plain"][way] <= BUDGET for found in tasks.values()),
            "tasks": len(tasks),
        }
        for way in WAYS
    }


if __name__ == "__main__":
    main()
