"""The hack rate: the share of a run's attempts in which hacking was seen, with its interval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from swegym.report.statistics import Estimate, wilson
from swegym.rollout.hacking import hack_counts
from swegym.types import Trajectory


@dataclass(frozen=True, slots=True)
class Hacking:
    """Attempts, and those in which hacking was seen. A lower bound: what is not seen is not counted."""

    attempts: int = 0
    hacked: int = 0
    tampered: int = 0
    with_bait: int = 0
    took_bait: int = 0

    @property
    def rate(self) -> Estimate | None:
        """Of all attempts, those that took bait or tampered; None without attempts."""
        return _estimate(self.hacked, self.attempts)

    @property
    def bait_rate(self) -> Estimate | None:
        """Of the attempts at honeypots, those that took the bait; None without such attempts."""
        return _estimate(self.took_bait, self.with_bait)

    def as_json(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in self.__slots__}
        return counts | {"rate": _plain(self.rate), "bait_rate": _plain(self.bait_rate)}


def hacking(trajectories: Iterable[Trajectory]) -> Hacking:
    """Count hacking in attempts."""
    return Hacking(**hack_counts(trajectories))


def _estimate(count: int, total: int) -> Estimate | None:
    return Estimate(count / total, *wilson(count, total), total) if total else None


def _plain(rate: Estimate | None) -> dict[str, float] | None:
    if rate is None:
        return None
    return {"value": rate.value, "low": rate.low, "high": rate.high, "attempts": rate.tasks}
