"""Hybrids of reward and self-distillation: the baselines of VPD (papers 3.6).

    joint     w_opd L_SDPO + w_rl L_GRPO
    reshape   the clipped policy gradient with advantages w_rl A + w_opd (log q - log pi)
    reweight  with advantages A ((1 - a) + a clip(exp(sign(A) (log q - log pi)), 1 - eps, 1 + eps)), a falling to 0

q is the network under the prompt with feedback, stopped; a sample without feedback has only its advantage. The paper
gives neither the weights nor eps: they are 1, 1 and 0.2 here; a falls linearly over all steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from swegym.train.advantages import reshaped, reweighted
from swegym.train.common import Part
from swegym.train.feedback_prompt import FeedbackPrompt
from swegym.train.grpo import PolicyGradientConfig, climb, gradient_of, weighed
from swegym.train.model import Loaded, TokenScorer
from swegym.train.online import Learner, learn_online
from swegym.train.parallel import World
from swegym.train.policy_gradient import PolicyGradient, Weighed
from swegym.train.samples import Group, varied
from swegym.train.sdpo import prompt_of, twin_scorer
from swegym.train.self_distillation import DistillationConfig, Taught, taught, twin_batches


class HybridConfig(DistillationConfig, PolicyGradientConfig):
    mix: Literal["joint", "reshape", "reweight"] = "joint"
    reward_weight: float = Field(1.0, ge=0)
    gap_weight: float = Field(1.0, ge=0)
    most: float = Field(0.2, gt=0, lt=1)
    """How far reweight may scale an advantage: eps."""
    share: float = Field(1.0, ge=0, le=1)
    """Of an advantage, what reweight scales in the first step: a."""


def hybrid(config: HybridConfig, **told: Any) -> Path:
    """Train and return the folder of the new model; see `swegym.train.online.learn_online`."""

    def make(loaded: Loaded, world: World) -> tuple[Hybrid, TokenScorer]:
        return Hybrid(config, prompt_of(config, loaded)), twin_scorer(config, loaded)

    return learn_online(config, make, **told)


class Hybrid:
    guide = "never"

    def __init__(self, config: HybridConfig, prompt: FeedbackPrompt) -> None:
        self.config, self.prompt = config, prompt

    def usable(self, group: Group) -> bool:
        return True

    def learn(self, groups: Sequence[Group], learner: Learner) -> Mapping[str, float]:
        config = self.config
        rows, facts = taught(groups, self.prompt, config, learner)
        by_name = {row.student.name: row for row in rows}
        taken = [(group, weighed(group.plain, group.task, config)) for group in groups]
        examples = [one for _, members in taken for one in members]
        if config.mix == "joint":
            twins = [by_name.get(one.row.name) or _alone(one) for one in examples]
            known = [one.row.name in by_name for one in examples]
            if by_name or any(varied(group.plain) for group in groups):
                climb(taken, learner, config, None, Joint(examples, twins, known, learner, config), still=not by_name)
            return facts
        gaps = self._gaps([one for one in examples if one.row.name in by_name], by_name, learner)
        share = config.share * (1 - learner.step / max(1, config.steps))
        for one in examples:
            gap = gaps.get(one.row.name)
            if gap is not None:
                one.advantage = (
                    reshaped(one.advantages_n, gap, reward_weight=config.reward_weight, gap_weight=config.gap_weight)
                    if config.mix == "reshape"
                    else reweighted(one.advantages_n, gap, share=share, most=config.most)
                )
        climb(taken, learner, config, None, gradient_of(examples, learner, config))
        return facts

    def _gaps(self, known: Sequence[Weighed], by_name: Mapping[str, Taught], learner: Learner) -> dict[str, Tensor]:
        """Log q - log pi of each sampled token, under the weights before the step's updates."""
        student = learner.score([one.row for one in known])
        teacher = learner.score([by_name[one.row.name].teacher for one in known])
        return {one.row.name: q - pi for one, q, pi in zip(known, teacher, student, strict=True)}

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


def _alone(one: Weighed) -> Taught:
    """A row that is its own teacher: no divergence."""
    return Taught(one.row, one.row, one.old, 0.0, one.row.name, one.family)


class Joint(PolicyGradient):
    """The recipe of the sum of both losses, from one twin batch."""

    def __init__(
        self,
        examples: Sequence[Weighed],
        twins: Sequence[Taught],
        known: Sequence[bool],
        learner: Learner,
        config: HybridConfig,
    ) -> None:
        super().__init__(
            examples,
            budget=config.tokens_per_batch,
            packing=learner.loaded.packing,
            padding=learner.loaded.padding,
            clip=(config.clip_low, config.clip_high),
        )
        self.twins, self.known = twins, known
        self.reward_weight, self.gap_weight = config.reward_weight, config.gap_weight

    def parts(self, items: Sequence[int]) -> list[Part]:
        made = twin_batches(self.twins, items, self.budget, self.packing, self.padding)
        return [Part((batch,), order) for batch, order in made]  # type: ignore[arg-type]

    def totals(self, items: Sequence[int]) -> Mapping[str, float]:
        taught_tokens = sum(self.examples[item].row.trained for item in items if self.known[item])
        return {**super().totals(items), "taught": float(max(1, taught_tokens))}

    def loss(
        self, outputs: Sequence[Tensor], part: Part, totals: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        (compared_N4,) = outputs
        apart_N, own_N, _, kl_N = compared_N4.unbind(1)
        loss_N, metrics = self.token_losses(own_N, part, totals)
        known = [torch.full((self.examples[i].row.trained,), float(self.known[i])) for i in part.items]
        known_N = torch.cat(known).to(own_N.device)
        apart = (apart_N * known_N).sum() / totals["taught"]
        metrics["kl_teacher_student"] = (kl_N * known_N).detach().sum() / totals["taught"]
        return self.reward_weight * loss_N.sum() / totals["trained"] + self.gap_weight * apart, metrics
