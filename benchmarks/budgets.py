"""What the project promises of its own speed and size, measured: reset, grading, disk, import, run folder.

    python benchmarks/budgets.py [--runs 40]

Builds `tasks/pypi` and `tasks/mutants` first if need be. Times are medians within this run; grading is a ratio to the
same pytest command run by hand in a sandbox of the same image.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from machine import write_results
from rich.console import Console
from rich.table import Table

from swegym import SWEEnv, paths
from swegym.grading import make_grader
from swegym.grading.apply import apply_patch
from swegym.grading.work_tree import write_tree
from swegym.rollout import RunConfig, RunFolder, collect
from swegym.rollout.serialise import to_line
from swegym.sandbox import sandbox_factory
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.types import Task

GRADED = ("sqlparse-0.5.1-0.5.2", "unidiff-0.7.4-0.7.5", "tomlkit-0.13.1-0.13.2", "cachetools-7.3.0-7.3.1")


def median_ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1e3, 1)


def warm_reset(runs: int) -> dict[str, Any]:
    env = SWEEnv("pypi")
    seconds = []
    for number in range(runs + 3):
        started = time.perf_counter()
        env.reset(seed=number)
        seconds.append(time.perf_counter() - started)
    env.close()
    return {"median_ms": median_ms(seconds[3:]), "budget_ms": 25}


def by_hand(task: Task) -> float:
    """Seconds of the hidden files under plain pytest, the gold patch applied."""
    with sandbox_factory()(task.image) as box:
        write_tree(box, task, apply_patch(task, task.gold_patch).changes)
        files = sorted({test.split("::")[0] for test in task.hidden.expected})
        command = ["/opt/venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
        started = time.perf_counter()
        box.exec(command, timeout=300, env={"PYTHONPATH": ":".join(f"/testbed/{p}" for p in task.tests.pythonpath)})
        return time.perf_counter() - started


def grading() -> dict[str, Any]:
    grade, task_set = make_grader(), load_task_set("pypi")
    ratios = {}
    for name in GRADED:
        task = task_set.load(name)
        plain, graded = [], []
        for _ in range(5):
            plain.append(by_hand(task))
            started = time.perf_counter()
            verdict = grade(task, task.gold_patch, sandbox_factory())
            graded.append(time.perf_counter() - started)
            assert verdict.resolved, verdict.reason
        hand, sealed = statistics.median(plain), statistics.median(graded)
        ratios[name] = {"plain_seconds": round(hand, 2), "ratio": round(sealed / hand, 2), "budget": 1.25}
    return ratios


def size_of(folder: Path) -> int:
    """Bytes on disk, hard links counted once."""
    seen: set[int] = set()
    total = 0
    for file in [folder, *folder.rglob("*")]:
        found = file.lstat()
        if found.st_ino not in seen:
            seen.add(found.st_ino)
            total += found.st_blocks * 512
    return total


def disk() -> dict[str, Any]:
    """What one more task of a known repository costs, over the size of its source tree."""
    tasks = [task_set.load(name) for task_set in map(load_task_set, ("pypi", "mutants")) for name in task_set.ids]
    packages: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        packages[task.repo.split()[0]].append(task)
    ratios = []
    for group in packages.values():
        known = set(group[0].image.layers)
        for task in group[1:]:
            own = [paths.layers() / layer for layer in task.image.layers if layer not in known]
            known |= set(task.image.layers)
            tree = sum(size_of(layer / "testbed") for layer in own if (layer / "testbed").is_dir())
            cost = sum(map(size_of, own)) + size_of(task.pristine.parent)
            if tree:
                ratios.append(cost / tree)
    return {
        "further_tasks": len(ratios),
        "median_ratio": round(statistics.median(ratios), 2),
        "largest_ratio": round(max(ratios), 2),
        "budget": 2,
        "store_mb": round(size_of(paths.layers()) / 1e6),
        "tasks": len(tasks),
    }


def import_time(runs: int = 15) -> dict[str, Any]:
    def median(code: str) -> float:
        seconds = []
        for _ in range(runs):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds)

    beyond = median("import gymnasium, swegym") - median("import gymnasium")
    return {"beyond_gymnasium_ms": round(beyond * 1e3), "budget_ms": 300}


def run_folder(count: int = 1000) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        config = RunConfig(tasks="pypi", limit=1, policy="gold", out=Path(place) / "run")
        folder = collect(config)
        first = folder.trajectories()[0]
        with (folder.path / "trajectories.jsonl").open("ab") as file:
            for number in range(1, count):
                line = to_line(dataclasses.replace(first, id=f"{first.task}__{number}", attempt=number))
                file.write(line if line.endswith(b"\n") else line + b"\n")
        size = (folder.path / "trajectories.jsonl").stat().st_size
        started = time.perf_counter()
        loaded = RunFolder(folder.path).trajectories()
        seconds = time.perf_counter() - started
        assert len(loaded) == count
    return {"trajectories": count, "megabytes": round(size / 1e6), "seconds": round(seconds, 2), "budget_seconds": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    arguments = parser.parse_args()
    for name in ("pypi", "mutants"):
        for result in build(load_task_set(name)):
            assert result.error is None, result.error
    results = {
        "warm reset": warm_reset(arguments.runs),
        "grading over plain pytest": grading(),
        "disk of a further task": disk(),
        "import": import_time(),
        "run folder": run_folder(),
    }
    table = Table("what", "measured")
    for name, figures in results.items():
        table.add_row(name, str(figures))
    console = Console()
    console.print(table)
    console.print(f"written to {write_results('budgets', results)}")


if __name__ == "__main__":
    main()
