"""The clipped policy gradient over sampled rows: the recipe that GRPO, Guide-GRPO and the hybrids have in common.

A row is scored without its hint. A plain row's ratio is to the policy that sampled it, and is clipped; a guided row's
is to the policy that sampled it with the hint, and is shaped instead (`advantages.guided_loss`). The loss is the mean
over the trained tokens of an update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from swegym.train import advantages
from swegym.train.batch import Batch, Row
from swegym.train.common import Part
from swegym.train.layout import families, laid_out


@dataclass(slots=True)
class Weighed:
    """A row with what weighs its tokens.

    Attributes:
        row: Without any hint.
        advantage: Of its attempt, the same for all of its tokens; or one for each trained token, shape (n,).
        old: Log-probabilities that ratios are taken to, of trained tokens, shape (n,).
        family: Rows of equal family begin alike.
        guided: Shaped and not clipped.
        reference: Log-probabilities under the frozen start, where there is a KL term.
    """

    row: Row
    advantage: float | Tensor
    old: Tensor
    family: str
    guided: bool = False
    reference: Tensor | None = field(default=None)

    @property
    def advantages_n(self) -> Tensor:
        if isinstance(self.advantage, Tensor):
            return self.advantage
        return torch.full((self.row.trained,), self.advantage)


class PolicyGradient:
    """The recipe; see common.py.

    Args:
        examples: All rows of a step.
        budget: Most tokens of a batch.
        packing, padding: Of the model.
        clip: How far a ratio may leave 1, below and above.
        kl: Weight of the divergence from the start (the k3 estimate: ratio - 1 - log ratio, of start to present).
        shape: Of guided ratios.
        clip_guided: Clip guided ratios as plain ones instead; an ablation.
    """

    def __init__(
        self,
        examples: Sequence[Weighed],
        *,
        budget: int,
        packing: bool,
        padding: int,
        clip: tuple[float, float] = (0.2, 0.2),
        kl: float = 0.0,
        shape: str = "p90",
        clip_guided: bool = False,
    ) -> None:
        self.examples = examples
        self.budget, self.packing, self.padding = budget, packing, padding
        self.clip, self.kl, self.shape, self.clip_guided = clip, kl, shape, clip_guided
        self.gamma: Tensor | None = None  # of the update under way; `guided_gamma` over all of it
        self.count = len(examples)
        self.digest = ""

    def parts(self, items: Sequence[int]) -> list[Part]:
        rows, kinds = [self.examples[item].row for item in items], [self.examples[item].family for item in items]
        parts = []
        for batch in families(rows, kinds, self.budget, packing=self.packing):
            order = tuple(items[place] for family in batch for place in family)
            parts.append(Part((self.batch([[items[place] for place in family] for family in batch]),), order))
        return parts

    def batch(self, families: Sequence[Sequence[int]]) -> Batch:
        rows = [[self.examples[item].row for item in family] for family in families]
        return laid_out(rows, packing=self.packing, padding=self.padding)

    def totals(self, items: Sequence[int]) -> Mapping[str, float]:
        chosen = [self.examples[item] for item in items]
        return {
            "trained": float(sum(one.row.trained for one in chosen)),
            "plain": float(max(1, sum(one.row.trained for one in chosen if not one.guided))),
            "guided": float(max(1, sum(one.row.trained for one in chosen if one.guided))),
        }

    def loss(
        self, outputs: Sequence[Tensor], part: Part, totals: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over the trained tokens of the update, and what became of the ratios."""
        (logps_N,) = outputs
        loss_N, metrics = self.token_losses(logps_N, part, totals)
        return loss_N.sum() / totals["trained"], metrics

    def token_losses(
        self, logps_N: Tensor, part: Part, totals: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        chosen = [self.examples[item] for item in part.items]
        device = logps_N.device
        old_N = torch.cat([one.old for one in chosen]).to(device)
        weights_N = torch.cat([one.advantages_n for one in chosen]).to(device)
        guided_N = torch.cat([torch.full((one.row.trained,), one.guided) for one in chosen]).to(device)
        low, high = self.clip
        loss_N = advantages.ppo_clip(logps_N, old_N, weights_N, low=low, high=high)
        if bool(guided_N.any()) and not self.clip_guided:
            shaped_N = advantages.guided_loss(
                logps_N, old_N, weights_N, gamma=None if self.gamma is None else self.gamma.to(device), shape=self.shape
            )
            loss_N = torch.where(guided_N, shaped_N, loss_N)
        with torch.no_grad():
            log_ratio_N = logps_N - old_N
            outside_N = ((log_ratio_N.exp() < 1 - low) | (log_ratio_N.exp() > 1 + high)) & ~guided_N
            metrics = {
                "clipped": outside_N.float().sum() / totals["plain"],
                # The k3 estimate of KL(sampler || present): how far updates, and other arithmetic, have led.
                "from_sampler": ((log_ratio_N.exp() - 1 - log_ratio_N) * ~guided_N).sum() / totals["plain"],
            }
            if totals["guided"] > 1:
                metrics["guided_log_ratio"] = (log_ratio_N * guided_N).sum() / totals["guided"]
        if self.kl:
            apart_N = torch.cat([one.reference for one in chosen if one.reference is not None]).to(device) - logps_N
            k3_N = apart_N.exp() - 1 - apart_N
            loss_N = loss_N + self.kl * k3_N
            metrics["kl"] = k3_N.detach().sum() / totals["trained"]
        return loss_N, metrics

    def names(self, items: Sequence[int]) -> list[str]:
        return [self.examples[item].row.name for item in items]
