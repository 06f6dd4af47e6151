"""Supervised fine-tuning: raise the likelihood of what solved attempts said.

Agent-RLVR warms up on a fifth of the solved attempts that had no hint (`swegym loop` selects it), five epochs at 1e-5.

Deviations from the paper, which says little of this step:
* Only assistant tokens are trained (mask = "all" trains tool output, too).
* The mean is over the tokens of a step, so a long attempt weighs more than a short one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field
from torch import Tensor

from swegym.train import losses, parallel
from swegym.train.batch import Batch, Refused, Row, packed, padded, plan
from swegym.train.common import Part, Watcher, note_refused, prepare, spread, train
from swegym.train.model import TokenScorer
from swegym.train.optimiser import OptimiserConfig
from swegym.train.reading import digest_of, read_conversations
from swegym.train.settings import TrainConfig, begin


class SftConfig(TrainConfig):
    epochs: int = Field(5, ge=1)
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-5)


def sft(config: SftConfig, *, on_step: Watcher | None = None) -> Path:
    """Train and return the folder of the new model. The same config on the same folder resumes."""
    world = parallel.join(config.parallel)
    finished = begin(config, world)
    if finished is not None:
        return finished
    loaded, rules = prepare(config, world)
    refused = Refused()
    rows = read_conversations([Path(file) for file in config.data], loaded.tokenizer, rules, refused)
    note_refused(config, refused, world)
    recipe = Sft(config, rows, packing=loaded.packing, padding=loaded.padding)
    report = {"rows": len(rows), "refused": dict(refused)}
    scorer = TokenScorer(loaded)
    spread(scorer, loaded, world)
    return train(config, loaded, scorer, recipe, world, on_step=on_step, report=report)


class Sft:
    """The recipe."""

    def __init__(self, config: TrainConfig, rows: Sequence[Row], *, packing: bool, padding: int = 0) -> None:
        self.config = config
        self.rows = rows
        self.packing = packing
        self.padding = padding
        self.count = len(rows)
        self.digest = digest_of(rows)

    def parts(self, items: Sequence[int]) -> list[Part]:
        together = plan([len(self.rows[item]) for item in items], self.config.tokens_per_batch, packing=self.packing)
        chosen = [tuple(items[place] for place in places) for places in together]
        return [Part((self._batch([self.rows[item] for item in part]),), part) for part in chosen]

    def _batch(self, rows: Sequence[Row]) -> Batch:
        return packed([[row] for row in rows]) if self.packing else padded(rows, self.padding)

    def totals(self, items: Sequence[int]) -> Mapping[str, float]:
        return {"trained": float(sum(self.rows[item].trained for item in items))}

    def loss(
        self, outputs: Sequence[Tensor], part: Part, totals: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        (logps_N,) = outputs
        return losses.nll(logps_N, totals["trained"]), {}

    def names(self, items: Sequence[int]) -> list[str]:
        return [self.rows[item].name for item in items]
