"""Reranking: what picking the best of k attempts by a score is worth, between a blind choice and one with hindsight.

For each k, over all ways to draw k of a task's n attempts, the attempt with the highest score is submitted; that is
exact, not sampled. pass@k is the ceiling, and pass@1 is what a score without information gives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym.errors import InputError
from swegym.messages import lines_of
from swegym.report.statistics import Estimate, mean_pass_at_k, wilson
from swegym.rollout.causes import enters_rates
from swegym.train.pick import best_of_k
from swegym.types import Trajectory

Scored = tuple[float, bool]  # the score of an attempt, and whether it solved the task


@dataclass(frozen=True, slots=True)
class Reranking:
    """By k: the rate with the best-scored of k attempts, and pass@k over the same tasks."""

    picked: Mapping[int, Estimate]
    oracle: Mapping[int, Estimate]
    unscored: int = 0  # attempts without a score, left out

    def as_json(self) -> dict[str, Any]:
        def rate(one: Estimate) -> dict[str, Any]:
            return {"value": one.value, "low": one.low, "high": one.high, "tasks": one.tasks}

        return {
            "best_of": {str(k): rate(one) for k, one in self.picked.items()},
            "pass_at": {str(k): rate(one) for k, one in self.oracle.items()},
            "unscored": self.unscored,
        }


def rerank(trajectories: Iterable[Trajectory], scores: Mapping[str, float], ks: Iterable[int] = ()) -> Reranking:
    """Best of k for several k, over the judged attempts without a hint that have a score.

    Args:
        trajectories: Of one run.
        scores: By the attempt's id.
        ks: None given: 1, 2, 4 ... up to what every task has.
    """
    by_task: dict[str, list[Scored]] = {}
    unscored = 0
    for one in trajectories:
        if one.guided or not enters_rates(one.verdict):
            continue
        if one.id in scores:
            by_task.setdefault(one.task, []).append((scores[one.id], one.verdict.resolved is True))
        else:
            unscored += 1
    if not by_task:
        raise InputError(
            "none of the attempts has a score. Give scores by the ids of exported rows, RUN/TASK__ATTEMPT; for one run "
            "alone those of its trajectories.jsonl do, too."
        )
    fewest = min(map(len, by_task.values()))
    chosen = list(ks) or [k for k in (2**power for power in range(20)) if k <= fewest]
    picked, oracle = {}, {}
    for k in chosen:
        groups = [group for group in by_task.values() if len(group) >= k]
        rates = [best_of_k(group, k) for group in groups]
        ceiling = mean_pass_at_k([(len(group), sum(solved for _, solved in group)) for group in groups], k)
        if rates and ceiling:
            low, high = wilson(math.fsum(rates), len(rates))
            picked[k] = Estimate(math.fsum(rates) / len(rates), low, high, len(rates))
            oracle[k] = ceiling
    return Reranking(picked, oracle, unscored)


def scores_of(
    trajectories: Iterable[Trajectory], scores: Mapping[str, float], run: str, *, alone: bool
) -> dict[str, float]:
    """The scores of one run's attempts by their own ids.

    Args:
        trajectories: Of the run.
        scores: By ids as exported rows have them, `<run>/<id>`, or by bare ones.
        run: The run's name.
        alone: Bare ids count, since there is no other run that they could mean.
    """
    found: dict[str, float] = {}
    for one in trajectories:
        score = scores.get(f"{run}/{one.id}", scores.get(one.id) if alone else None)
        if score is not None:
            found[one.id] = score
    return found


def read_scores(file: Path) -> dict[str, float]:
    """Scores by attempt id from JSON lines of `{"id": ..., "score": ...}`.

    Raises:
        InputError: The file cannot be read, or a line is no score.
    """
    found: dict[str, float] = {}
    try:
        lines = lines_of(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}. Give JSON lines of scores.") from None
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            score = float(row["score"])
            if not math.isfinite(score):
                raise ValueError(f"score = {score}")
            found[str(row["id"])] = score
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f'{file}:{number}: no score ({type(error).__name__}: {error}). Write {{"id": ..., "score": ...}}.'
            ) from None
    return found
