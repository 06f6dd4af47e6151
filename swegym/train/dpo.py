"""Direct preference optimisation on pairs of attempts: one that solved its task against one that did not.

Agent-RLVR's training step (papers: AR-2): one epoch at 1e-6 from the model that was fine-tuned first, which is also the
frozen reference. Pairs are as `swegym pairs` makes them: without hints, both sides under the same plain prompt.

Deviations from the paper, and choices where it is silent:
* Only assistant tokens count, on both sides (mask = "all" is what trainers without role masks do).
* beta = 0.1; the paper does not give it.
* A whole attempt is one side, not each stage of a staged policy; a policy that restarts its prompt gives several rows,
  of which pair files hold the one that was kept.
* Off unless set: kind = "sigmoid_norm" divides each side by its length, because sums over thousands of tokens saturate
  the sigmoid; nll adds the chosen side's likelihood, because its log-probability may fall otherwise.

Chosen and rejected are laid out together and share their common beginning; a pair that does not fit the token budget is
split, one side in memory at a time, with the same gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor

from swegym.train import losses, parallel
from swegym.train.batch import Batch, Refused, Row, common_beginning, packed, padded, plan
from swegym.train.common import Part, Watcher, note_refused, prepare, spread, train
from swegym.train.model import TokenScorer
from swegym.train.optimiser import OptimiserConfig
from swegym.train.reading import Pair, digest_of, read_pairs
from swegym.train.reference import reference_sums
from swegym.train.settings import TrainConfig, begin


class DpoConfig(TrainConfig):
    beta: float = Field(0.1, gt=0)
    """How far the model may move from its reference: smaller is farther."""
    kind: str = Field("sigmoid", pattern="^(sigmoid|sigmoid_norm|ipo)$")
    nll: float = Field(0.0, ge=0)
    """Weight of the chosen side's mean negative log-likelihood per token."""
    share_beginnings: bool = True
    """Compute what chosen and rejected begin with once."""
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-6)


def dpo(config: DpoConfig, *, on_step: Watcher | None = None) -> Path:
    """Train and return the folder of the new model. The same config on the same folder resumes."""
    world = parallel.join(config.parallel)
    finished = begin(config, world)
    if finished is not None:
        return finished
    loaded, rules = prepare(config, world)
    refused = Refused()
    pairs = read_pairs([Path(file) for file in config.data], loaded.tokenizer, rules, refused)
    note_refused(config, refused, world)
    scorer = TokenScorer(loaded)
    spread(scorer, loaded, world)
    rows = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
    sums, computed = reference_sums(loaded, scorer, rows, config.tokens_per_batch, world)
    recipe = Dpo(config, pairs, sums, packing=loaded.packing, padding=loaded.padding)
    report = {"pairs": len(pairs), "refused": dict(refused), "reference_rows_computed": computed}
    return train(config, loaded, scorer, recipe, world, on_step=on_step, report=report)


class Dpo:
    """The recipe. `reference_sums` are of chosen, rejected, chosen, ... in the order of the pairs."""

    def __init__(
        self,
        config: DpoConfig,
        pairs: Sequence[Pair],
        reference_sums: Sequence[float],
        *,
        packing: bool,
        padding: int = 0,
    ) -> None:
        self.config = config
        self.pairs = pairs
        self.packing = packing
        self.padding = padding
        self.count = len(pairs)
        self.digest = digest_of([row for pair in pairs for row in (pair.chosen, pair.rejected)])
        self._reference_P2 = torch.tensor(reference_sums, dtype=torch.float32).view(-1, 2)
        self._lengths = [self._length(pair) for pair in pairs]

    def _length(self, pair: Pair) -> int:
        """Tokens that a pair puts into a batch."""
        if not self.packing:
            return 2 * max(len(pair.chosen), len(pair.rejected))
        shared = common_beginning((pair.chosen, pair.rejected)) if self.config.share_beginnings else 0
        return len(pair.chosen) + len(pair.rejected) - shared

    def parts(self, items: Sequence[int]) -> list[Part]:
        budget = self.config.tokens_per_batch
        split = [item for item in items if self._lengths[item] > budget]
        whole = [item for item in items if self._lengths[item] <= budget]
        parts = [
            Part(tuple(self._batch([[side]]) for side in (self.pairs[i].chosen, self.pairs[i].rejected)), (i,))
            for i in split
        ]
        for places in plan([self._lengths[item] for item in whole], budget, packing=self.packing):
            together = tuple(whole[place] for place in places)
            groups = [(self.pairs[item].chosen, self.pairs[item].rejected) for item in together]
            parts.append(Part((self._batch(groups),), together))
        return parts

    def _batch(self, groups: Sequence[Sequence[Row]]) -> Batch:
        if self.packing:
            return packed(groups, share=self.config.share_beginnings)
        return padded([row for group in groups for row in group], self.padding)

    def totals(self, items: Sequence[int]) -> Mapping[str, float]:
        return {"pairs": float(len(items))}

    def loss(
        self, outputs: Sequence[Tensor], part: Part, totals: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over the pairs of the step, and the usual metrics."""
        config = self.config
        both = zip(outputs, part.batches, strict=True)
        sums = torch.cat([losses.sequence_sums(out, batch.owners_N, batch.sequences) for out, batch in both])
        chosen_P, rejected_P = sums.view(-1, 2).unbind(1)
        reference = self._reference_P2[list(part.items)].to(sums.device)
        lengths = torch.tensor(
            [(self.pairs[item].chosen.trained, self.pairs[item].rejected.trained) for item in part.items],
            dtype=torch.float32,
            device=sums.device,
        )
        loss_P = losses.dpo(
            chosen_P,
            rejected_P,
            reference[:, 0],
            reference[:, 1],
            beta=config.beta,
            kind=config.kind,
            chosen_lengths_P=lengths[:, 0],
            rejected_lengths_P=lengths[:, 1],
        )
        if config.nll:
            loss_P = loss_P - config.nll * chosen_P / lengths[:, 0]
        with torch.no_grad():
            gain_P2 = sums.view(-1, 2) - reference
            margin_P = gain_P2[:, 0] - gain_P2[:, 1]
            metrics_P = {
                "accuracy": (margin_P > 0).float(),
                "margin": config.beta * margin_P,
                "margin_per_token": gain_P2[:, 0] / lengths[:, 0] - gain_P2[:, 1] / lengths[:, 1],
                "chosen_gain": gain_P2[:, 0],
                "rejected_gain": gain_P2[:, 1],
                "chosen_logp_per_token": sums.view(-1, 2)[:, 0] / lengths[:, 0],
            }
        pairs = totals["pairs"]
        return loss_P.sum() / pairs, {name: value_P.sum() / pairs for name, value_P in metrics_P.items()}

    def names(self, items: Sequence[int]) -> list[str]:
        return [self.pairs[item].name for item in items]
