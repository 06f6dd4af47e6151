"""The bootstrap over tasks: how much a figure would move had other tasks of the same kind been drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

DRAWS = 2000

Item = TypeVar("Item")


def interval(
    items: Sequence[Item],
    figure: Callable[[Sequence[Item]], float],
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of `figure` over tasks drawn with replacement; (figure, figure) for a single task."""
    if len(items) < 2:
        value = figure(items) if items else 0.0
        return value, value
    draw = random.Random(seed)
    values = sorted(figure(draw.choices(items, k=len(items))) for _ in range(draws))
    tail = (1 - confidence) / 2
    return values[int(tail * (draws - 1))], values[int((1 - tail) * (draws - 1))]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
