"""`--pick reward:DIR` of `run` and `report`: best of k by a reward model, between a random choice and a perfect one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swegym.cli.screen import say, show_table

if TYPE_CHECKING:
    from swegym.rollout import RunFolder

Pick = Annotated[
    str | None,
    typer.Option("--pick", metavar="reward:DIR", help="Choose the best attempt at each task by a reward model."),
]


def pick_report(folder: RunFolder, pick: str) -> dict[str, Any]:
    """Score a run's attempts, write picks.jsonl into it, and return the rates by k."""
    from swegym.cli.train import quiet_libraries
    from swegym.report.statistics import pass_at_k, wilson
    from swegym.rollout.folder import write_atomically
    from swegym.train.pick import best_of_k, by_task, parse_pick, pick_rows, score_attempts

    model = parse_pick(pick)
    quiet_libraries()
    scored = score_attempts(folder.survey().trajectories, model)
    file = folder.path / "picks.jsonl"
    write_atomically(file, "".join(json.dumps(row) + "\n" for row in pick_rows(scored)))
    tasks = by_task(scored)
    most = max((len(attempts) for attempts in tasks.values()), default=0)
    rows = []
    for k in sorted({1 << power for power in range(most.bit_length()) if 1 << power <= most} | ({most} - {0})):
        counted = [attempts for attempts in tasks.values() if len(attempts) >= k]
        best = sum(best_of_k(attempts, k) for attempts in counted)
        low, high = wilson(best, len(counted))
        bounds = [sum(pass_at_k(len(a), sum(solved for _, solved in a), size) for a in counted) for size in (1, k)]
        rows.append(
            {
                "k": k,
                "tasks": len(counted),
                "picked": best / len(counted),
                "low": low,
                "high": high,
                "random": bounds[0] / len(counted),
                "oracle": bounds[1] / len(counted),
            }
        )
    return {"run": folder.path.name, "model": str(model), "file": str(file), "best_of": rows}


def show_picks(report: dict[str, Any]) -> None:
    show_table(
        ("best of k", "by the model", "a random one", "a perfect choice", "tasks"),
        [
            (
                row["k"],
                f"{row['picked']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
                f"{row['random']:.3f}",
                f"{row['oracle']:.3f}",
                row["tasks"],
            )
            for row in report["best_of"]
        ],
        title=f"{report['run']}: attempts chosen by {report['model']}",
    )
    say(f"Chosen patches are in {Path(report['file'])}; `swegym grade SET -p` takes it.")
