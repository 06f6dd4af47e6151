"""What the project promises of its own size and start, measured: disk, import, run folder.

    python benchmarks/budgets.py

Builds `tasks/pypi` and `tasks/mutants` first if need be. What machines, resets and grading cost is measured by
runtime.py and integrity.py.
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

from swegym import paths
from swegym.rollout import RunConfig, RunFolder, collect
from swegym.rollout.serialise import to_line
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.types import Task


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
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name in ("pypi", "mutants"):
        for result in build(load_task_set(name)):
            assert result.error is None, result.error
    results = {
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
