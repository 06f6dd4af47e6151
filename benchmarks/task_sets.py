"""What a task set costs and how hard it is: time to build it cold, disk, time to judge, and what `repair` solves.

    python benchmarks/task_sets.py [--set pypi] [--attempts 1] [--limit N]

Builds into a store of its own, so that nothing is there already but what was downloaded before. Writes
`results/task_sets-<set>.json`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from machine import write_results

from swegym import paths
from swegym.images.cache import size_on_disk
from swegym.rollout import RunConfig, collect
from swegym.tasks import TaskSet, load_task_set
from swegym.tasks.build import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="pypi")
    parser.add_argument("--attempts", type=int, default=1, help="of repair at each task; 0: build and disk only")
    parser.add_argument("--limit", type=int, default=None)
    arguments = parser.parse_args()
    downloads = paths.downloads()
    with tempfile.TemporaryDirectory(prefix="swegym-", dir=paths.home()) as store:
        if downloads.is_dir():
            shutil.copytree(downloads, Path(store) / "downloads")
        os.environ["SWEGYM_HOME"] = store
        chosen = load_task_set(arguments.set).select((), arguments.limit)
        found = {"set": chosen.name, "tasks": len(chosen), **build_cold(chosen), **disk(chosen)}
        if arguments.attempts:
            found["repair"] = solved(chosen, arguments.attempts, Path(store) / "run")
    write_results(f"task_sets-{arguments.set}", found)


def build_cold(chosen: TaskSet) -> dict[str, Any]:
    started = time.monotonic()
    results = build(chosen)
    wall = time.monotonic() - started
    failed = {result.id: str(result.error) for result in results if not result.built}
    seconds = sorted(result.seconds for result in results if result.built)
    return {
        "build_seconds": round(wall, 1),
        "build_median_seconds": round(statistics.median(seconds), 2),
        "failed": failed,
    }


def disk(chosen: TaskSet) -> dict[str, Any]:
    """The store as a whole, and what a further task of a known package costs over the size of its sources."""
    packages: dict[str, list[str]] = defaultdict(list)
    for name in chosen:
        packages[chosen.recipe(name).package].append(name)
    ratios = []
    for names in packages.values():
        known: set[str] = set()
        for number, name in enumerate(names):
            task = chosen.load(name)
            own = [paths.layers() / layer for layer in task.image.layers if layer not in known]
            known |= set(task.image.layers)
            tree = sum(size_on_disk(layer / "testbed") for layer in own if (layer / "testbed").is_dir())
            cost = sum(map(size_on_disk, own)) + size_on_disk(task.pristine.parent)
            if number and tree:
                ratios.append(cost / tree)
    return {
        "packages": len(packages),
        "store_mb": round(size_on_disk(paths.layers()) / 1e6, 1),
        "tasks_mb": round(size_on_disk(paths.built_tasks()) / 1e6, 1),
        "further_task_over_sources": {"median": round(statistics.median(ratios), 2), "most": round(max(ratios), 2)},
        "budget": 2,
    }


def solved(chosen: TaskSet, attempts: int, folder: Path) -> dict[str, Any]:
    config = RunConfig(
        tasks=chosen.name, patterns=tuple(chosen.ids), policy="repair", attempts=attempts, out=str(folder)
    )
    started = time.monotonic()
    trajectories = list(collect(config).trajectories())
    judged = [one for one in trajectories if one.verdict.resolved is not None]
    won = {one.task for one in judged if one.verdict.resolved}
    return {
        "attempts": len(trajectories),
        "judged": len(judged),
        "tasks_solved": len(won),
        "solve_rate": round(len(won) / len(chosen), 3),
        "seconds": round(time.monotonic() - started, 1),
    }


if __name__ == "__main__":
    main()
