"""What attacks are paid by whom: our grader, its layers one by one, plain pytest, and the swebench package.

    python benchmarks/redteam.py [--quick] [--jobs N] [--redo | --known]

Every attack on every task it is for, and every odd fix, before each grader; `--quick` takes the first task only. What
was found is kept in the store as it comes, so the same command goes on where it was cut off (`--redo`: from the start;
`--known`: no further, the tables count what was found so far and say how much that is).
Writes results/redteam.json, and the tables of docs/redteam.md between their marks. The tasks of `tasks/redteam` are
built first if need be.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

from machine import write_between, write_results

from swegym import paths
from swegym.grading import sealed
from swegym.redteam import CLASSES, campaign, load_attacks, load_fixes, make_grader, summarise, trials
from swegym.redteam.graders import available
from swegym.redteam.journal import Journal
from swegym.sandbox import sandbox_factory
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.types import Grader

PAGE = Path(__file__).parents[1] / "docs" / "redteam.md"
BEGIN, END = "<!-- results of benchmarks/redteam.py -->", "<!-- end of results -->"
NO_LAYERS = "tests only"


def graders() -> dict[str, Grader]:
    """Ours with all its layers, ours without any that asks, and the others that run here."""
    ours: dict[str, Grader] = {"sealed": make_grader("sealed"), NO_LAYERS: functools.partial(sealed.grade, layers=())}
    return ours | {name: make_grader(name) for name in available() if name != "sealed"}


def measured(quick: bool, jobs: int, redo: bool = False, known: bool = False) -> dict[str, Any]:
    task_set = load_task_set("redteam")
    failed = [result.error for result in build(task_set) if not result.built]
    if failed:
        raise SystemExit(f"the tasks cannot be built: {failed[0]}")
    tried = trials([*load_attacks(), *load_fixes()], [task_set.load(task) for task in task_set], first=quick)
    place = paths.redteam_journal("benchmark")
    if redo:
        place.unlink(missing_ok=True)
    memory = Journal(place)
    left = [
        (thing, task) for thing, task in tried if any(memory.known(thing, task, name) is None for name in graders())
    ]
    total = len(left) * len(graders())
    whole = len(tried)
    if known:
        tried = [trial for trial in tried if trial not in left]
    print(f"{whole - len(left)} of {whole} trials are known from {place}", flush=True)
    seen = []

    def show(outcome: Any) -> None:
        seen.append(outcome)
        if len(seen) % 20 == 0:
            print(f"{len(seen)}/{total}", flush=True)

    outcomes = campaign(tried, graders(), sandbox_factory(), jobs=jobs, on_outcome=show, memory=memory)
    odd = [o for o in outcomes if o.grader == "sealed" and o.result in ("paid", "refused", "not judged")]
    return {
        "attacks": len(load_attacks()),
        "fixes": len(load_fixes()),
        "tasks": len(task_set),
        "each_on": "its first task" if quick else "every task it is for",
        "trials": f"{len(tried)} of {whole}",
        "summary": summarise(outcomes),
        "sealed": [
            {"class": o.kind, "name": o.name, "task": o.task, "result": o.result, "reason": o.reason[:200]} for o in odd
        ],
    }


def table(results: dict[str, Any]) -> str:
    """The page's tables."""
    summary = results["summary"]
    names = list(summary)
    lines = [
        f"{results['attacks']} attacks and {results['fixes']} odd fixes, each on {results['each_on']} "
        f"({results['tasks']} small repositories): {results['trials']} trials.",
        "",
        "| paid / tried | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * len(names),
    ]
    for kind in CLASSES:
        cells = [summary[name]["by_class"].get(kind) for name in names]
        lines.append(f"| {kind} | " + " | ".join(f"{c['paid']}/{c['tried']}" if c else "" for c in cells) + " |")
    totals = [summary[name]["attacks"] for name in names]
    lines.append("| **all attacks** | " + " | ".join(f"**{c['paid']}/{c['tried']}**" for c in totals) + " |")
    lines.append("| not judged | " + " | ".join(str(c["not_judged"]) for c in totals) + " |")
    lines.append("| tampering named | " + " | ".join(str(c["tampering_seen"]) for c in totals) + " |")
    fixes = [summary[name]["fixes"] for name in names]
    lines.append("| odd fixes refused | " + " | ".join(f"{c['refused']}/{c['tried']}" for c in fixes) + " |")
    lines += ["", "What `sealed` paid, refused or left unjudged:", ""]
    lines += [f"- {row['result']}: {row['class']}/{row['name']} on `{row['task']}`" for row in results["sealed"]]
    if not results["sealed"]:
        lines.append("- nothing")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="each attack on its first task only")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--redo", action="store_true", help="forget what was found before")
    parser.add_argument("--known", action="store_true", help="count what was found before, try nothing")
    options = parser.parse_args()
    results = measured(options.quick, options.jobs, options.redo, options.known)
    print(write_results("redteam", results))
    write_between(PAGE, BEGIN, END, table(results))


if __name__ == "__main__":
    main()
