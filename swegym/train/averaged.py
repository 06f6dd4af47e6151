"""The teacher of self-distillation that is a second network: its weights are a moving average of the student's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from swegym.train import common
from swegym.train.divergences import moved_average
from swegym.train.model import Loaded
from swegym.train.parallel import World, as_sharded
from swegym.train.settings import TrainerConfig
from swegym.train.twins import Teacher


class Average:
    """Weights that follow the student's: theta_T <- (1 - rate) theta_T + rate theta.

    With rate 0 there is no second network: `scorer` is None, the student is its own teacher, and nothing is kept.
    """

    def __init__(self, config: TrainerConfig, student: Loaded, world: World, rate: float) -> None:
        self.rate = rate
        self.scorer: Teacher | None = None
        self._sharded = world.sharded
        self._student = student.module
        if rate:
            teacher = common.load(config, world)
            teacher.module.requires_grad_(False)
            self._weights = teacher.module.named_parameters
            self.scorer = Teacher(teacher)
            common.spread(self.scorer, teacher, world)

    def move(self) -> None:
        """After an update of the student."""
        if self.scorer is None:
            return
        if self._sharded:
            self.scorer.reshard()  # a forward pass leaves its root gathered
        student = dict(self._student.named_parameters())
        with torch.no_grad():
            for name, weight in self._weights():
                weight.copy_(moved_average(weight, student[name].to(weight.dtype), self.rate))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {} if self.scorer is None else {"average": dict(self._weights())}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with what `state` gave; what else stands beside it is another's."""
        if self.scorer is None or "average" not in state:
            return
        with torch.no_grad():
            for name, weight in self._weights():
                weight.copy_(as_sharded(state["average"][name], weight))
