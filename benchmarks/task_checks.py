"""What `swegym tasks check` found of the shipped sets, on this machine.

    swegym tasks check pypi; swegym tasks check mutants --quick     # hours where others work on the machine; resumes
    python benchmarks/task_checks.py [--sets pypi mutants]

Nothing is run here: the health that checks keep beside built tasks is counted, and a task without one counts as
unchecked. Writes `results/task_checks.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from machine import write_results

from swegym.tasks import TaskSet, health, load_task_set


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["pypi", "mutants"])
    found = {name: counted(load_task_set(name)) for name in parser.parse_args().sets}
    print(json.dumps(found, indent=2))
    print(write_results("task_checks", found))


def counted(chosen: TaskSet) -> dict[str, Any]:
    """Tasks of one set by what their last check found; only a check of the task as it is now counts."""
    known = {}
    for name in chosen:
        one = health.load(chosen.home(name), name) if chosen.is_built(name) else None
        if one is not None and one.digest == chosen.load(name, whole=True).digest:
            known[name] = one
    sound = {name: one for name, one in known.items() if one.sound}
    memory: list[float] = [one.memory_mb for one in sound.values() if one.memory_mb is not None]
    return {
        "tasks": len(chosen),
        "packages": len({chosen.recipe(name).package for name in chosen}),
        "unchecked": [name for name in chosen if name not in known],
        "sound": len(sound),
        "of_those_whole_checks": sum(one.thorough for one in sound.values()),
        "runs_of_each_kind": {str(n): sum(one.repeats == n for one in sound.values()) for n in (1, 2, 3, 5)},
        "bad": {name: list(one.problems) for name, one in known.items() if not one.sound},
        "weak": {name: list(one.weak) for name, one in sound.items() if one.weak},
        "flaky_tests": {name: dict(one.flaky) for name, one in sound.items() if one.flaky},
        "tasks_with_tests_that_depend_on_order": sorted(name for name, one in sound.items() if one.order),
        "seconds_of_hidden_tests_median": statistics.median(one.seconds for one in sound.values()) if sound else None,
        "memory_mb_median": statistics.median(memory) if memory else None,
        "memory_mb_most": max(memory, default=None),
    }


if __name__ == "__main__":
    main()
