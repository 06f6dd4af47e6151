"""Where the time of episodes goes: by phase, in total, for a usual attempt, and for a slow one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from swegym.types import Trajectory


@dataclass(frozen=True, slots=True)
class Phase:
    """Seconds of one phase; `share` is of all phases together."""

    name: str
    total: float
    share: float
    median: float
    slow: float  # the 95th percentile
    longest: float

    def as_json(self) -> dict[str, Any]:
        return {name: round(getattr(self, name), 3) for name in ("total", "share", "median", "slow", "longest")}


def phases(trajectories: Iterable[Trajectory]) -> list[Phase]:
    """Every phase that some attempt has, in the order in which an episode goes through them."""
    by_phase: dict[str, list[float]] = {name: [] for name in ("reset", "policy", "tools", "grade")}
    for one in trajectories:
        for name, seconds in one.seconds.items():
            by_phase.setdefault(name, []).append(seconds)
    everything = sum(sum(values) for values in by_phase.values()) or 1.0
    found = []
    for name, values in by_phase.items():
        if values:
            ordered = sorted(values)
            total = sum(ordered)
            found.append(Phase(name, total, total / everything, _at(ordered, 0.5), _at(ordered, 0.95), ordered[-1]))
    return found


def _at(ordered: list[float], share: float) -> float:
    """The value below which `share` of them lie, the nearest one."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
