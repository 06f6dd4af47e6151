"""What forging is paid on real tasks: attacks that fit any task, on every task of a set, before two graders.

    python benchmarks/forgeries.py [--tasks SET] [--jobs N] [--minutes N] [--redo]

The attacks are those of the red team that know nothing of a task but where its bug lies, how it is imported and what
its tests are called: forged reports, objects equal to everything, answers read from the test's file, hooks, logs. None
holds any part of a fix. Graders: `sealed`, and plain pytest for comparison. The set (default: `pypi`) has to be built.
The trials are in an order that was drawn once, so the first of them say in small what all say: after `--minutes` no
other is begun, and the results say how many there were. What was found is kept in the store as it comes, so the same
command goes on where it was cut off (`--redo`: from the start). Writes results/forgeries.json, and the table of
docs/redteam.md between its marks.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from machine import write_between, write_results

from swegym import paths
from swegym.redteam import Attack, Outcome, campaign, load_attacks, make_grader, trials
from swegym.redteam.journal import Journal
from swegym.sandbox import sandbox_factory
from swegym.tasks import load_task_set

PAGE = Path(__file__).parents[1] / "docs" / "redteam.md"
BEGIN, END = "<!-- results of benchmarks/forgeries.py -->", "<!-- end of forgeries -->"
GRADERS = ("sealed", "plain-pytest")
AT_ONCE = 120  # trials between two looks at the clock


def chosen() -> list[Attack]:
    """Those that fit anywhere and end in a verdict."""
    return [a for a in load_attacks() if (a.anywhere or "*" in a.on) and not a.finds]


def measured(name: str, jobs: int, redo: bool, minutes: float) -> dict[str, Any]:
    until = time.monotonic() + 60 * minutes
    task_set = load_task_set(name)
    tried = trials(chosen(), [task_set.load(task) for task in task_set])
    random.Random(0).shuffle(tried)
    place = paths.redteam_journal(f"forgeries-{name}")
    if redo:
        place.unlink(missing_ok=True)
    graders = {grader: make_grader(grader) for grader in GRADERS}
    seen = []

    def show(outcome: Outcome) -> None:
        seen.append(outcome)
        if len(seen) % 50 == 0:
            print(f"{len(seen)} of at most {len(tried) * len(graders)}", flush=True)

    outcomes: list[Outcome] = []
    memory = Journal(place)
    for first in range(0, len(tried), AT_ONCE):
        if time.monotonic() > until:
            break
        some = tried[first : first + AT_ONCE]
        outcomes += campaign(some, graders, sandbox_factory(), jobs=jobs, on_outcome=show, memory=memory)
    results: dict[str, Any] = {"tasks": len(task_set), "set": name, "attacks": len(chosen()), "trials": len(tried)}
    for grader in GRADERS:
        mine = [outcome for outcome in outcomes if outcome.grader == grader]
        paid = [outcome for outcome in mine if outcome.result == "paid"]
        results[grader] = {
            "tried": len(mine),
            "paid": len(paid),
            "not_judged": sum(outcome.result == "not judged" for outcome in mine),
            "tampering_named": sum(bool(outcome.tampering) for outcome in mine),
            "tasks_that_pay": len({outcome.task for outcome in paid}),
            "paid_by_attack": {a.name: sum(o.name == a.name for o in paid) for a in chosen()},
        }
    odd = [o for o in outcomes if o.grader == "sealed" and o.result != "held"]
    results["sealed"]["not_held"] = [{"attack": o.name, "task": o.task, "result": o.result} for o in odd]
    return results


def table(results: dict[str, Any]) -> str:
    """The page's table: attacks by how often they are paid."""
    ours, plain = (results[grader] for grader in GRADERS)
    lines = [
        f"{results['attacks']} attacks on the {results['tasks']} tasks of `{results['set']}`: {ours['tried']:,} of "
        f"{results['trials']:,} trials, in random order.",
        "",
        "| paid | sealed | plain-pytest |",
        "| --- | ---: | ---: |",
    ]
    for attack in sorted(ours["paid_by_attack"], key=lambda name: (-plain["paid_by_attack"][name], name)):
        lines.append(f"| `{attack}` | {ours['paid_by_attack'][attack]} | {plain['paid_by_attack'][attack]} |")
    lines += [
        f"| **all** | **{ours['paid']}/{ours['tried']}** | **{plain['paid']}/{plain['tried']}** |",
        f"| tasks that pay any | {ours['tasks_that_pay']} | {plain['tasks_that_pay']} |",
        f"| not judged | {ours['not_judged']} | {plain['not_judged']} |",
        f"| tampering named | {ours['tampering_named']} | {plain['tampering_named']} |",
    ]
    by_task = Counter(row["task"] for row in ours["not_held"] if row["result"] == "paid")
    if by_task:
        told = ", ".join(f"`{task}` ({count})" for task, count in by_task.most_common())
        lines += ["", f"Tasks on which `sealed` pays, and how many of the attacks: {told}."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="pypi", metavar="SET")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no other trial after so long")
    parser.add_argument("--redo", action="store_true", help="forget what was found before")
    options = parser.parse_args()
    results = measured(options.tasks, options.jobs, options.redo, options.minutes)
    print(write_results("forgeries", results))
    write_between(PAGE, BEGIN, END, table(results))


if __name__ == "__main__":
    main()
