"""What an episode of a micro task costs, by phase, and how many a minute one and two workers make.

    python benchmarks/episodes.py [--episodes 40] [--graders unasked,warm] [--store FOLDER]

A scripted policy reads the file of the bug, edits it and submits: the reference fix, or on every second task a wrong
one. Wall time is by phase; processor time is of this process, git, and everything that ran in machines. Graders take
turns, episode by episode, so that another load on the machine meets all of them. What to quote are ratios within the
run. Builds the tasks into a store of its own that is removed, or into FOLDER.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from machine import write_results

from swegym.grading import extract_patch, make_grader
from swegym.sandbox import machines, open_sandbox
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.tools.base import ToolContext
from swegym.tools.edit import edit
from swegym.tools.files import read
from swegym.types import Task

TICK = os.sysconf("SC_CLK_TCK")
SETTLING = 0.7  # a zygote waits for its forks twice a second


def processor_seconds() -> float:
    """Of this process and its children, and of the supervisor, its children and theirs: all that runs in machines.

    Call it `SETTLING` seconds after the last command: what nobody has waited for yet is not counted.
    """
    total = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    supervisor = machines.current().pid
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            status = place.read_text().rpartition(")")[2].split()
            if int(place.parent.name) == supervisor or int(status[1]) == supervisor:
                total += sum(map(int, status[11:15])) / TICK
    return total


class Phases:
    """Wall milliseconds by name of phase, in order."""

    def __init__(self) -> None:
        self.taken: dict[str, float] = {}

    def run(self, name: str, action: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        try:
            return action()
        finally:
            self.taken[name] = self.taken.get(name, 0.0) + 1e3 * (time.perf_counter() - began)


def changed_line(patch: str) -> tuple[str, str, str]:
    """Path, old text and new text of a patch of one hunk that replaces lines."""
    lines = patch.splitlines()
    path = next(line.removeprefix("+++ b/") for line in lines if line.startswith("+++ b/"))
    hunk = lines[next(index for index, line in enumerate(lines) if line.startswith("@@")) + 1 :]
    old = "\n".join(line[1:] for line in hunk if line[:1] in (" ", "-"))
    new = "\n".join(line[1:] for line in hunk if line[:1] in (" ", "+"))
    return path, old, new


def episode(task: Task, grader: str, right: bool) -> dict[str, float]:
    """One episode's wall milliseconds by phase. A verdict other than what the edit deserves is an error."""
    path, old, new = changed_line(task.gold_patch)
    tools = {"read": read, "edit": edit}
    phases = Phases()
    with phases.run("open the agent's machine", lambda: open_sandbox(task.image)) as sandbox:
        context = ToolContext(sandbox, task.public(), task.tests)
        phases.run("read", lambda: tools["read"](context, path=path))
        fixed = new if right else old + "\n# looked at\n"
        phases.run("edit", lambda: tools["edit"](context, path=path, old=old, new=fixed))
        patch = phases.run("extract", lambda: extract_patch(sandbox, task)).patch
        phases.run("close", sandbox.close)
    verdict = phases.run("grade", lambda: make_grader(grader)(task, patch, open_sandbox))
    if verdict.resolved is not right:
        raise AssertionError(f"{task.id}, {grader}: {verdict.reason}")
    return phases.taken | {f"grade: {name}": 1e3 * seconds for name, seconds in verdict.seconds.items()}


def measured(tasks: Sequence[Task], graders: Sequence[str]) -> dict[str, dict[str, float]]:
    """Per grader the median wall milliseconds of each phase, and the mean processor milliseconds of an episode."""
    phases: dict[str, list[dict[str, float]]] = {grader: [] for grader in graders}
    used: dict[str, float] = dict.fromkeys(graders, 0.0)
    for index, task in enumerate(tasks):
        for grader in graders:
            before = processor_seconds()
            phases[grader].append(episode(task, grader, right=index % 2 == 0))
            time.sleep(SETTLING)
            used[grader] += processor_seconds() - before
    result = {}
    for grader, rows in phases.items():
        names = dict.fromkeys(name for row in rows for name in row)
        medians = {name: round(statistics.median(row.get(name, 0.0) for row in rows), 1) for name in names}
        result[grader] = medians | {"processor": round(1e3 * used[grader] / len(tasks), 1)}
    return result


def throughput(tasks: Sequence[Task], grader: str, workers: int) -> float:
    """Episodes a minute."""
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda pair: episode(pair[1], grader, pair[0] % 2 == 0), enumerate(tasks)))
    return round(60 * len(tasks) / (time.perf_counter() - began), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--graders", default="unasked,warm")
    parser.add_argument("--store")
    arguments = parser.parse_args()
    graders = arguments.graders.split(",")
    with tempfile.TemporaryDirectory(prefix="swegym-episodes-", dir=Path.home()) as home:
        os.environ["SWEGYM_HOME"] = arguments.store or home
        task_set = load_task_set("micro")
        names = task_set.ids[: arguments.episodes]
        assert all(result.built for result in build(task_set, names, jobs=2))
        tasks = [task_set.load(name) for name in names]
        measured(tasks[:2], graders)
        results: dict[str, Any] = {"episodes": len(tasks), "milliseconds": measured(tasks, graders)}
        results["episodes_per_minute"] = {
            grader: {str(workers): throughput(tasks, grader, workers) for workers in (1, 2)} for grader in graders
        }
        print(results)
        print(write_results("episodes", results))


if __name__ == "__main__":
    main()
