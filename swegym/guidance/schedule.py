"""A schedule: how much help there still is at a point of training, between all of it and none.

Help that never ends is help that is relied on. A run takes one number, its share of hints; what makes a run of each
iteration of training asks the schedule for it.
"""

from __future__ import annotations

import math
import random
from typing import Literal

import pydantic

from swegym.config import Config


class Schedule(Config):
    shape: Literal["constant", "linear", "cosine", "steps"] = "constant"
    """How the share goes from `start` to `end`."""
    start: float = pydantic.Field(1.0, ge=0, le=1)
    end: float = pydantic.Field(0.0, ge=0, le=1)
    until: float = pydantic.Field(1.0, gt=0, le=1)
    """The point of training at which `end` is reached, from where on it stays."""
    steps: int = pydantic.Field(4, ge=1)
    """For the shape steps: how many stairs."""

    def share(self, progress: float) -> float:
        """The share of triggered hints that are given at `progress`, 0.0 at the beginning and 1.0 at the end."""
        done = min(max(progress, 0.0) / self.until, 1.0)
        if self.shape == "constant":
            return self.start
        if self.shape == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        elif self.shape == "steps":
            done = min(math.floor(done * self.steps) / max(self.steps - 1, 1), 1.0)
        return self.start + (self.end - self.start) * done


def drawn(share: float, seed: int, attempt: str) -> bool:
    """Whether an attempt is among the share that is given its hint; the same in every run with the same seed."""
    return random.Random(f"{seed}/hint/{attempt}").random() < share
