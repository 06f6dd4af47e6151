"""Guide-GRPO: where every plain attempt of a task fails, attempts with a hint take their place, off-policy corrected.

Papers 2.3 and 2.4. Plain attempts come first; where the trigger fires, each failed one is followed by one with a hint.
What is trained is always the policy without hints: a guided row is scored without its hint, and its ratio

    w = pi(o | task) / pi_old(o | task, hint)

has what was sampled under the hint below the line. It is not clipped; it is shaped, w / (w + P90(w)), with the detached
quantile over the guided tokens of the update. How a guided group is put together (`mode`):

    replace   the hinted attempts alone (the released code's default)
    append    plain failures and hinted attempts in one group of twice the size, each with its own branch
    mixin     hinted successes, and plain failures in the place of hinted ones; all are guided, as in that code
    balanced  the first half of the plain and of the hinted attempts; with trigger = "always"

Groups that were not hinted, and those whose rewards do not differ, are as in filter_grpo.

Ablations: `trigger`; correction = "plain" (the denominator without the hint, too); clip_guided; `shape`.
Deviation from the released code: its quantile is over each micro-batch, padding included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from swegym.train.frozen import frozen_start
from swegym.train.grpo import PolicyGradientConfig, climb, gradient_of, weighed
from swegym.train.model import Loaded, TokenScorer
from swegym.train.online import Learner, learn_online
from swegym.train.parallel import World
from swegym.train.policy_gradient import Weighed
from swegym.train.samples import Group, Sample, varied


class GuideGrpoConfig(PolicyGradientConfig):
    trigger: str = Field("all_fail", pattern="^(all_fail|mostly_fail|always|never)$")
    threshold: float = Field(0.25, ge=0, lt=1)
    """Of a group, what may have succeeded for it to have mostly failed."""
    mode: str = Field("replace", pattern="^(replace|append|mixin|balanced)$")
    shape: str = Field("p90", pattern="^(p90|constant|power|none)$")
    correction: str = Field("hinted", pattern="^(hinted|plain)$")
    clip_guided: bool = False


def guide_grpo(config: GuideGrpoConfig, **told: Any) -> Path:
    """Train and return the folder of the new model; see `swegym.train.online.learn_online`."""

    def make(loaded: Loaded, world: World) -> tuple[GuideGrpo, TokenScorer]:
        return GuideGrpo(config, frozen_start(config, world) if config.kl else None), TokenScorer(loaded)

    return learn_online(config, make, **told)


class GuideGrpo:
    def __init__(self, config: GuideGrpoConfig, start: TokenScorer | None = None) -> None:
        self.config = config
        self.start = start
        self.guide = {
            "all_fail": "all-fail",
            "mostly_fail": f"mostly-fail:1:{config.threshold}",
            "always": "always",
            "never": "never",
        }[config.trigger]

    def usable(self, group: Group) -> bool:
        return varied([sample for sample, _ in self.composed(group)])

    def composed(self, group: Group) -> list[tuple[Sample, bool]]:
        """The samples that are trained as one group, and whether each takes the guided branch."""
        return composed(group.plain, group.guided, self.config.mode)

    def learn(self, groups: Sequence[Group], learner: Learner) -> Mapping[str, float]:
        taken: list[tuple[Group, list[Weighed]]] = []
        for group in groups:
            members = self.composed(group)
            samples, guided = [sample for sample, _ in members], [off for _, off in members]
            taken.append((group, weighed(samples, group.task, self.config, guided)))
        examples = [one for _, rows in taken for one in rows]
        off_policy = [one for one in examples if one.guided]
        facts: dict[str, float] = {"guided_groups_used": float(sum(any(o.guided for o in rows) for _, rows in taken))}
        if off_policy and self.config.correction == "plain":
            # These are the weights that sampled: nothing has been updated in this step.
            for one, logps in zip(off_policy, learner.score([one.row for one in off_policy]), strict=True):
                one.old = logps
        if off_policy:
            facts |= self._ratios(off_policy, learner)
        recipe = gradient_of(
            examples, learner, self.config, shape=self.config.shape, clip_guided=self.config.clip_guided
        )
        climb(taken, learner, self.config, self.start, recipe)
        return facts

    def _ratios(self, guided: Sequence[Weighed], learner: Learner) -> dict[str, float]:
        """Quantiles of w before any update."""
        logps = learner.score([one.row for one in guided])
        ratios_N = torch.cat([new - one.old for new, one in zip(logps, guided, strict=True)]).exp()
        places = torch.tensor([0.1, 0.5, 0.9])
        low, middle, high = torch.quantile(ratios_N[:: -(-len(ratios_N) // (1 << 20))], places).tolist()
        share = float(sum(len(one.old) for one in guided))
        return {"w_p10": low, "w_p50": middle, "w_p90": high, "guided_tokens": share}

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


def composed(plain: Sequence[Sample], guided: Sequence[Sample], mode: str) -> list[tuple[Sample, bool]]:
    """One group of a plain and a guided one; see the module. Without guided samples it is the plain group."""
    if not guided:
        return [(sample, False) for sample in plain]
    if mode == "replace":
        return [(sample, True) for sample in guided]
    if mode == "append":
        return [*((sample, False) for sample in plain), *((sample, True) for sample in guided)]
    if mode == "mixin":
        wrong = iter([sample for sample in plain if sample.reward <= 0])
        kept = [sample if sample.reward > 0 else next(wrong, sample) for sample in guided]
        return [(sample, True) for sample in kept]
    if mode == "balanced":
        half = max(1, min(len(plain), len(guided)) // 2)
        return [*((sample, False) for sample in plain[:half]), *((sample, True) for sample in guided[:half])]
    raise ValueError(f"no group mode named {mode!r}; use replace, append, mixin or balanced")
