"""The line about a training run: its step, what that measured, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from swegym.cli.live_line import LiveLine
from swegym.cli.progress import clock

if TYPE_CHECKING:
    from swegym.train.common import StepDone


class StepLine(LiveLine):
    shown: ClassVar[Mapping[str, str]] = {
        "loss": "loss {:.4f}",
        "accuracy": "accuracy {:.2f}",
        "tokens_per_second": "{:,.0f} tokens/s",
        "mfu": "MFU {:.0%}",
    }
    """Of a step's metrics, those that are told where there are any, and how."""

    _first: int | None = None
    _where = ""

    def step(self, done: StepDone) -> None:
        now, line = time.monotonic(), done.line
        if self._first is None:  # what came before was loading, and steps of an earlier start
            self._first = done.step - 1
            self.begun = now - line.get("seconds", 0.0) - line.get("rollout_seconds", 0.0)
        left = (now - self.begun) / (done.step - self._first) * (done.steps - done.step)
        self._where = f"step {done.step}/{done.steps}"
        told = [form.format(line[name]) for name, form in self.shown.items() if name in line]
        told += [] if "loss" in line else ["nothing to learn from"]
        told += [f"about {clock(left)} left" if done.step < done.steps else clock(now - self.begun)]
        self.show("  ".join([self.title, self._where, *told]), last=done.step == done.steps)
