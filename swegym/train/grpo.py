"""GRPO, group-relative policy optimisation: attempts at a task are compared with each other, no critic is needed.

A rollout's advantage is its reward less its group's mean, over the group's standard deviation (papers 2.4); the loss is
PPO's with a clipped ratio, the mean over tokens. `arm` says which groups are learned from:

    grpo         all of a step's; those without variance add zeros and count in the mean
    filter_grpo  only those with both outcomes; with `refill` more are sampled until there are enough

Deviations from usual practice: the ratio's denominator is what the sampler recorded, so it is exact for several passes,
for a surplus of the step before, and for a sampler that computes a little differently from the trainer. KL is off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from swegym.train.advantages import group_advantages, guided_gamma
from swegym.train.frozen import frozen_start
from swegym.train.model import Loaded, TokenScorer
from swegym.train.online import Learner, chunks, learn_online, recorded_logps
from swegym.train.online_config import OnlineConfig
from swegym.train.parallel import World
from swegym.train.policy_gradient import PolicyGradient, Weighed
from swegym.train.samples import Group, Sample, rewards_of, varied


class PolicyGradientConfig(OnlineConfig):
    """What algorithms with a policy gradient share."""

    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.2, gt=0)
    normalise: bool = True
    """Divide advantages by the group's standard deviation."""
    kl: float = Field(0.0, ge=0)
    """Weight of the divergence from the start."""


class GrpoConfig(PolicyGradientConfig):
    arm: str = Field("grpo", pattern="^(grpo|filter_grpo)$")


def grpo(config: GrpoConfig, **told: Any) -> Path:
    """Train and return the folder of the new model; see `swegym.train.online.learn_online`."""

    def make(loaded: Loaded, world: World) -> tuple[Grpo, TokenScorer]:
        return Grpo(config, frozen_start(config, world) if config.kl else None), TokenScorer(loaded)

    return learn_online(config, make, **told)


class Grpo:
    guide = "never"

    def __init__(self, config: GrpoConfig, start: TokenScorer | None = None) -> None:
        self.config = config
        self.start = start

    def usable(self, group: Group) -> bool:
        return self.config.arm == "grpo" or varied(group.plain)

    def learn(self, groups: Sequence[Group], learner: Learner) -> Mapping[str, float]:
        taken = [(group, weighed(group.plain, group.task, self.config)) for group in groups]
        climb(taken, learner, self.config, self.start)
        return {"groups_varied": float(sum(varied(group.plain) for group in groups))}

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


def weighed(
    samples: Sequence[Sample], family: str, config: PolicyGradientConfig, guided: Sequence[bool] | None = None
) -> list[Weighed]:
    """The rows of one group with their advantages; `guided` says which samples take the guided branch."""
    rewards_G = torch.tensor(rewards_of(samples), dtype=torch.float32)
    advantages_G = group_advantages(rewards_G, normalise=config.normalise).tolist()
    found = []
    for sample, advantage, off in zip(samples, advantages_G, guided or [False] * len(samples), strict=True):
        for row, old in zip(sample.rows, recorded_logps(sample.rows), strict=True):
            found.append(Weighed(row, advantage, old, family, off))
    return found


def climb(
    groups: Sequence[tuple[Group, list[Weighed]]],
    learner: Learner,
    config: PolicyGradientConfig,
    start: TokenScorer | None,
    recipe: PolicyGradient | None = None,
    still: bool = True,
) -> None:
    """Updates over a step's groups, whole groups together, in a drawn order.

    With `still`, none where all groups are solved or all failed: momentum alone should not move the weights.
    """
    examples = [one for _, rows in groups for one in rows]
    if still and not any(bool((one.advantages_n != 0).any()) for one in examples):
        return
    if start is not None:
        for one, logps in zip(examples, learner.score([one.row for one in examples], start), strict=True):
            one.reference = logps
    recipe = recipe or gradient_of(examples, learner, config)
    starts = [0]
    for _, rows in groups:
        starts.append(starts[-1] + len(rows))
    for number in range(config.passes):
        seed = (config.seed, learner.step * config.passes + number)
        for together in chunks(len(groups), config.groups_per_update, seed):
            items = [item for place in together for item in range(starts[place], starts[place + 1])]
            if items:
                prepare_gamma(recipe, items, learner)
                learner.update(recipe, items)


def gradient_of(
    examples: Sequence[Weighed], learner: Learner, config: PolicyGradientConfig, **more: Any
) -> PolicyGradient:
    return PolicyGradient(
        examples,
        budget=config.tokens_per_batch,
        packing=learner.loaded.packing,
        padding=learner.loaded.padding,
        clip=(config.clip_low, config.clip_high),
        kl=config.kl,
        **more,
    )


def prepare_gamma(recipe: PolicyGradient, items: Sequence[int], learner: Learner) -> None:
    """Gamma over all guided tokens of an update, which may be cut into parts that see only their own."""
    guided = [recipe.examples[item] for item in items if recipe.examples[item].guided]
    if not guided or recipe.shape != "p90" or recipe.clip_guided:
        recipe.gamma = None
        return
    logps = learner.score([one.row for one in guided])
    recipe.gamma = guided_gamma(torch.cat([new - one.old for new, one in zip(logps, guided, strict=True)]))
