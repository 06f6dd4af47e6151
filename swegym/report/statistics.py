"""A rate is never shown without the number of tasks behind it and an interval around it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

from swegym.errors import InputError


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate, its 95 % interval, and how many tasks it was taken over."""

    value: float
    low: float
    high: float
    tasks: int


def pass_at_k(attempts: int, solved: int, k: int) -> float:
    """Chance that at least one of k attempts drawn without replacement from these is a solved one.

    The unbiased estimator 1 - C(n - c, k) / C(n, k) of the Codex paper, exact in integers until the last division.
    """
    if not 0 <= solved <= attempts:
        raise InputError(f"solved = {solved}: must lie between 0 and attempts = {attempts}.")
    if not 1 <= k <= attempts:
        raise InputError(f"k = {k}: pass@k needs at least k attempts, and there are {attempts}. Choose a smaller k.")
    return 1.0 - math.comb(attempts - solved, k) / math.comb(attempts, k)


def wilson(solved: float, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of the rate solved / total; (0, 1) when nothing was tried."""
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = solved / total
    centre = rate + z * z / (2 * total)
    spread = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    low = 0.0 if solved == 0 else (centre - spread) / scale
    high = 1.0 if solved == total else (centre + spread) / scale
    return low, high


def mean_pass_at_k(counts: Iterable[tuple[int, int]], k: int) -> Estimate | None:
    """Mean pass@k over tasks, from (attempts, solved) per task; None when no task has k attempts.

    Tasks with fewer than k attempts are left out. The interval counts each task as one trial, which is exact for k = 1
    with one attempt each and too wide, never too narrow, otherwise.
    """
    rates = [pass_at_k(attempts, solved, k) for attempts, solved in counts if attempts >= k]
    if not rates:
        return None
    total = math.fsum(rates)
    low, high = wilson(total, len(rates))
    return Estimate(total / len(rates), low, high, len(rates))
