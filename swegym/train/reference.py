"""Log-probabilities of a frozen reference model, computed once and kept on disk.

    $SWEGYM_HOME/reference/<model>-<dtype>.jsonl     {"row": digest of ids and mask, "logp": sum over trained tokens}

The file belongs to the model's weights and to the dtype of the computation; a row that another round, run or epoch asks
for again is looked up. What was computed before an interruption is kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from swegym import paths
from swegym.errors import RunError
from swegym.train import parallel
from swegym.train.batch import Row, packed, padded, plan
from swegym.train.losses import sequence_sums
from swegym.train.model import Loaded, TokenScorer, model_hash
from swegym.train.parallel import World
from swegym.train.reading import row_digest


def reference_sums(
    loaded: Loaded, scorer: TokenScorer, rows: Sequence[Row], budget: int, world: World
) -> tuple[list[float], int]:
    """Summed log-probabilities of each row under the model as it was loaded, and how many had to be computed.

    With adapters the model is their base, because new adapters change nothing.
    """
    known = _Cache(
        paths.home() / "reference", f"{model_hash(loaded.folder)[:32]}-{str(loaded.dtype).removeprefix('torch.')}"
    )
    digests = [row_digest(row) for row in rows]
    found = known.read()
    missing = {digest: row for digest, row in zip(digests, rows, strict=True) if digest not in found}
    todo = list(missing.items())
    # Every process must see the same list, whatever another one writes meanwhile.
    parallel.wait_for_all(world)
    together = plan([len(row) for _, row in todo], budget, packing=loaded.packing)
    for places in parallel.share(together, world):
        part = [todo[place] for place in (places or together[0])]
        chosen = [row for _, row in part]
        batch = packed([[row] for row in chosen]) if loaded.packing else padded(chosen, loaded.padding)
        batch = batch.to(world.device)
        try:
            with torch.no_grad():
                sums = sequence_sums(scorer(batch), batch.owners_N, batch.sequences)
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"out of memory, {batch.ids_BT.numel()} tokens of the reference ({str(error).partition('.')[0]}). "
                f"Lower tokens_per_batch (now {budget}) or max_length. What is scored already is kept."
            ) from error
        made = {digest: float(value) for (digest, _), value in zip(part, sums, strict=True)}
        if places is not None:
            known.add(made)
        found |= made
    for made in parallel.everyone({digest: found[digest] for digest in missing if digest in found}, world):
        found |= made
    return [found[digest] for digest in digests], len(todo)


class _Cache:
    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.jsonl"

    def read(self) -> dict[str, float]:
        if not self.path.is_file():
            return {}
        lines: list[dict[str, Any]] = []
        for line in self.path.read_text("utf-8").splitlines(keepends=True):
            if line.endswith("\n"):  # else it is being written, or was torn
                lines.append(json.loads(line))
        return {line["row"]: line["logp"] for line in lines}

    def add(self, sums: dict[str, float]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps({"row": digest, "logp": value}) + "\n" for digest, value in sums.items())
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
