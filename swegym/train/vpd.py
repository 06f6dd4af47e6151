"""VPD, variational policy distillation: teacher and student in one network, improved in turns by EM (papers 3.1, 3.2).

E-step, every `every`-th step and on the same samples: the network *with feedback in its prompt* learns to tell its
successes from its failures, by the unpaired loss BCO (VP-9) on the implicit reward

    r = beta (log q(y | x, C) - log pi(y | x))                                                          (VP-7)

whose prior pi is the student as it is now, computed once and frozen for the step (`prior` = "fixed" takes the start of
training instead). Gradients go through the prompt with feedback only. delta is a moving average of the middle between
both classes' means; a batch that lacks a class takes its last mean.

M-step, every step: the student is drawn to the stopped teacher, token by token, on its own samples (VP-10).

Deviations, and choices where the paper is silent: both steps use one optimiser and rate; momentum of delta 0.9; token
mean in the M-step; no importance factor; no moving average of weights (`rate` gives one to the M-step's teacher). Off
unless set: per_token divides r by the answer's length, because sums over long answers saturate the sigmoid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from swegym.train import divergences, losses, parallel
from swegym.train.averaged import Average
from swegym.train.batch import Batch
from swegym.train.common import Part
from swegym.train.feedback_prompt import FeedbackPrompt
from swegym.train.frozen import frozen_start
from swegym.train.layout import families, laid_out
from swegym.train.model import Loaded, TokenScorer
from swegym.train.online import Learner, chunks, learn_online
from swegym.train.parallel import World
from swegym.train.samples import Group
from swegym.train.sdpo import prompt_of, twin_scorer
from swegym.train.self_distillation import DistillationConfig, Taught, draw_to_teacher, margins, taught


class VpdConfig(DistillationConfig):
    every: int = Field(5, ge=1)
    """An E-step comes with every so many steps (F)."""
    prior: Literal["dynamic", "fixed"] = "dynamic"
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of delta."""
    teacher_passes: int = Field(1, ge=1)
    """Times that an E-step goes through its samples."""
    per_token: bool = False
    rate: float = Field(0.0, ge=0, le=1)
    """Of a moving average that is the M-step's teacher; 0: the network itself."""


def vpd(config: VpdConfig, **told: Any) -> Path:
    """Train and return the folder of the new model; see `swegym.train.online.learn_online`."""

    def make(loaded: Loaded, world: World) -> tuple[Vpd, TokenScorer]:
        average = Average(config, loaded, world, config.rate)
        start = frozen_start(config, world) if config.prior == "fixed" else None
        return Vpd(config, prompt_of(config, loaded), average, start), twin_scorer(config, loaded, average.scorer)

    return learn_online(config, make, **told)


class Vpd:
    guide = "never"

    def __init__(
        self, config: VpdConfig, prompt: FeedbackPrompt, average: Average, start: TokenScorer | None = None
    ) -> None:
        self.config, self.prompt, self.average, self.start = config, prompt, average, start
        self.middle = divergences.Midpoint(config.momentum)

    def usable(self, group: Group) -> bool:
        return True

    def learn(self, groups: Sequence[Group], learner: Learner) -> Mapping[str, float]:
        rows, facts = taught(groups, self.prompt, self.config, learner)
        if not rows:
            return facts
        facts |= margins(rows, learner, self.config.beta)
        if learner.step % self.config.every == 0:
            facts |= self.expectation(rows, learner)
            after = margins(rows, learner, self.config.beta)
            facts |= {f"{name}_after_e": value for name, value in after.items()}
        draw_to_teacher(rows, learner, self.config, self.average.move)
        return facts

    def expectation(self, rows: Sequence[Taught], learner: Learner) -> dict[str, float]:
        """The E-step. With failures only, or successes only, the term of the other class is missing."""
        config = self.config
        prior = learner.score([row.student for row in rows], self.start)
        recipe = TeacherPreference(rows, [float(logps.sum()) for logps in prior], learner.loaded, config, self.middle)
        for number in range(config.teacher_passes):
            seed = (config.seed + 1, learner.step * config.teacher_passes + number)
            for items in chunks(len(rows), config.samples_per_update, seed):
                if number == 0 and self.middle.plus is None and self.middle.minus is None:
                    teacher = learner.score([rows[item].teacher for item in items])
                    recipe.begin(teacher, items, learner.world)
                learner.update(recipe, items, "e")
                recipe.settle(learner.world)
                self.average.move()
        won = sum(row.reward > 0 for row in rows)
        return {"delta": self.middle.value, "e_successes": float(won), "e_failures": float(len(rows) - won)}

    def state(self) -> Mapping[str, Any]:
        return {"plus": self.middle.plus, "minus": self.middle.minus, **self.average.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.middle.plus, self.middle.minus = state.get("plus"), state.get("minus")
        self.average.restore(state)


class TeacherPreference:
    """The recipe of the E-step: rows under the prompt with feedback, and the frozen prior of each."""

    def __init__(
        self,
        rows: Sequence[Taught],
        prior: Sequence[float],
        loaded: Loaded,
        config: VpdConfig,
        middle: divergences.Midpoint,
    ) -> None:
        self.rows, self.prior, self.config, self.middle = rows, prior, config, middle
        self.packing, self.padding = loaded.packing, loaded.padding
        self.count = len(rows)
        self.digest = ""
        self._seen: dict[int, float] = {}  # implicit rewards of the update under way

    def parts(self, items: Sequence[int]) -> list[Part]:
        rows, kinds = [self.rows[item].teacher for item in items], [self.rows[item].family for item in items]
        parts = []
        for batch in families(rows, kinds, self.config.tokens_per_batch, packing=self.packing):
            order = tuple(items[place] for family in batch for place in family)
            chosen = [[self.rows[items[place]].teacher for place in family] for family in batch]
            parts.append(Part((laid_out(chosen, packing=self.packing, padding=self.padding),), order))
        return parts

    def totals(self, items: Sequence[int]) -> Mapping[str, float]:
        won = sum(self.rows[item].reward > 0 for item in items)
        return {"plus": float(max(1, won)), "minus": float(max(1, len(items) - won)), "rows": float(len(items))}

    def implicit(self, sums: Tensor, items: Sequence[int]) -> Tensor:
        prior = torch.tensor([self.prior[item] for item in items], device=sums.device)
        rewards = self.config.beta * (sums - prior)
        if self.config.per_token:
            rewards = rewards / torch.tensor([self.rows[item].student.trained for item in items], device=sums.device)
        return rewards

    def loss(
        self, outputs: Sequence[Tensor], part: Part, totals: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Of each class the mean over the update, so that a part's share is its sum over the class's size."""
        (logps_N,) = outputs
        batch: Batch = part.batches[0]
        rewards_S = self.implicit(losses.sequence_sums(logps_N, batch.owners_N, batch.sequences), part.items)
        won_S = torch.tensor([self.rows[item].reward > 0 for item in part.items], device=rewards_S.device)
        self._seen |= dict(zip(part.items, rewards_S.tolist(), strict=True))
        plus, minus = rewards_S[won_S], rewards_S[~won_S]
        delta = self.middle.value
        loss = divergences.bco(plus, plus[:0], delta) * (len(plus) / totals["plus"])
        loss = loss + divergences.bco(minus[:0], minus, delta) * (len(minus) / totals["minus"])
        right = ((rewards_S > delta) == won_S).float().sum()
        return loss, {"accuracy": right / totals["rows"], "implicit_reward": rewards_S.detach().sum() / totals["rows"]}

    def begin(self, teacher: Sequence[Tensor], items: Sequence[int], world: World) -> None:
        """Where delta begins: at the rewards of the very first update, before it is made."""
        rewards = self.implicit(torch.stack([logps.sum() for logps in teacher]), items)
        self._seen = dict(zip(items, rewards.tolist(), strict=True))
        self.settle(world)

    def settle(self, world: World) -> None:
        """Move delta by what an update has seen, in all processes."""
        seen: dict[int, float] = {}
        for part in parallel.everyone(self._seen, world):
            seen |= part
        self._seen = {}
        plus = torch.tensor([seen[item] for item in sorted(seen) if self.rows[item].reward > 0])
        minus = torch.tensor([seen[item] for item in sorted(seen) if self.rows[item].reward <= 0])
        self.middle.update(plus, minus)

    def names(self, items: Sequence[int]) -> list[str]:
        return [self.rows[item].teacher.name for item in items]
