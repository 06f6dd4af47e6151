"""Best of k: a reward model scores every attempt at a task, and the attempt with the highest score is submitted.

The score sees what a policy would hand in, never the verdict. How much it helps is measured against two bounds from the
same attempts: a random choice (pass@1) and a choice that knows the verdicts (pass@k).
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym.errors import InputError
from swegym.types import Trajectory


@dataclass(frozen=True, slots=True)
class Scored:
    """An attempt and its score; -inf for an empty patch, which is submitted only if there is no other."""

    trajectory: Trajectory
    score: float


def parse_pick(text: str) -> Path:
    """The folder of `--pick reward:DIR`."""
    kind, separator, folder = text.partition(":")
    if kind != "reward" or not separator or not folder:
        raise InputError.at(
            "--pick", "pick", text, "no way to choose", "Use reward:DIR, DIR written by `swegym train reward`."
        )
    if not (Path(folder) / "config.json").is_file():
        raise InputError.at(
            "--pick", "pick", text, "no model folder (no config.json)", "Name the folder `model` of a reward run."
        )
    return Path(folder)


def score_attempts(trajectories: Iterable[Trajectory], folder: Path, *, max_length: int = 32768) -> list[Scored]:
    """Every judged attempt without guidance, with its score, in the order given."""
    from swegym.data.sides import issue_of
    from swegym.train.batch import Row
    from swegym.train.reading import Rules
    from swegym.train.rendering import rendered
    from swegym.train.reward import load_scorer, patch_row, scores_of

    attempts = [t for t in trajectories if not t.guided and t.verdict.resolved is not None]
    loaded = load_scorer(folder)
    rules = Rules(max_length, "cut", "assistant", loaded.vocabulary)
    marks = folder / "swegym_reward.json"
    whole = marks.is_file() and json.loads(marks.read_text("utf-8")).get("input") == "trajectory"
    rows: list[Row | None] = []
    for attempt in attempts:
        if not attempt.patch.strip():
            rows.append(None)
        elif whole:
            rows.append(
                rendered(loaded.tokenizer, attempt.messages, attempt.tools, attempt.id, vocabulary=rules.vocabulary)
            )
        else:
            rows.append(patch_row(loaded.tokenizer, issue_of(attempt), attempt.patch, rules, attempt.id))
    found = iter(scores_of(loaded, [row for row in rows if row is not None]))
    return [
        Scored(attempt, -math.inf if row is None else next(found)) for attempt, row in zip(attempts, rows, strict=True)
    ]


def picked(scored: Iterable[Scored]) -> dict[str, Scored]:
    """The attempt with the highest score at each task; of equal ones the earliest."""
    best: dict[str, Scored] = {}
    for one in sorted(scored, key=lambda s: (s.trajectory.task, -s.score, s.trajectory.attempt)):
        best.setdefault(one.trajectory.task, one)
    return best


def best_of_k(scored: Sequence[tuple[float, bool]], k: int) -> float:
    """Chance that the highest score among k of these attempts, drawn without replacement, is a solved one.

    With n attempts in ascending order, the i-th (from 0) is the highest of C(i, k-1) of the C(n, k) draws. Among equal
    scores each is as likely.
    """
    if not 1 <= k <= len(scored):
        raise InputError(
            f"k = {k}: best of k needs at least k attempts, and there are {len(scored)}. Choose a smaller k."
        )
    levels: defaultdict[float, list[bool]] = defaultdict(list)
    for score, solved in scored:
        levels[score].append(solved)
    total, below = 0.0, 0
    for score in sorted(levels):
        alike = levels[score]
        draws = math.comb(below + len(alike), k) - math.comb(below, k)  # whose highest score is this one
        total += draws * sum(alike) / len(alike)
        below += len(alike)
    return total / math.comb(len(scored), k)


def by_task(scored: Iterable[Scored]) -> dict[str, list[tuple[float, bool]]]:
    found: defaultdict[str, list[tuple[float, bool]]] = defaultdict(list)
    for one in scored:
        found[one.trajectory.task].append((one.score, one.trajectory.verdict.resolved is True))
    return dict(found)


def pick_rows(scored: Sequence[Scored]) -> list[Mapping[str, Any]]:
    """SWE-bench rows of the chosen attempts, with the attempt's id and score."""
    return [
        {
            "instance_id": task,
            "model_name_or_path": f"{one.trajectory.policy}+reward",
            "model_patch": one.trajectory.patch,
            "attempt": one.trajectory.id,
            "score": one.score if math.isfinite(one.score) else None,
        }
        for task, one in sorted(picked(scored).items())
    ]
