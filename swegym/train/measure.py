"""What a training run measures of itself: arithmetic operations from the model's shape, tokens per second, and a log.

Model FLOPs utilisation (MFU) is what the weights and attention need by arithmetic, over what the card could do in that
time. Counted: 2 operations per weight and token forward and twice that backward (once for frozen weights), the head for
trained tokens only, attention for each pair of tokens that is not masked. Not counted: anything done twice
(checkpointing, the first pass over a split pair), and the reference pass of DPO.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from swegym.errors import InputError, RunError
from swegym.rollout.folder import write_atomically

# Dense bf16 tensor-core operations per second, as their makers state them.
_CARDS = {
    "H200": 989e12,
    "H100": 989e12,
    "GH200": 989e12,
    "A100": 312e12,
    "B200": 2250e12,
    "L40S": 362e12,
    "4090": 165e12,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the operations of a model: weights of its layers, width of the head, attention."""

    body: int  # weights that multiply each token's state, the head's left out
    head: int  # weights of the head
    attention: int  # heads * head width, over all layers
    frozen: bool = False  # adapters only: no gradient of the weights themselves

    def operations(self, tokens: int, scored: int, attended: int) -> float:
        """Forward and backward of `tokens` tokens, `scored` of them through the head; `attended` pairs of tokens."""
        weights = 2.0 * self.body * tokens + 2.0 * self.head * scored
        return 3 * (weights + 4.0 * self.attention * attended) - (weights if self.frozen else 0.0)


def shape_of(base: Any, *, frozen: bool = False) -> Shape:
    """From a transformers model whose weights are not sharded yet."""
    text = base.config.get_text_config()
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    embeddings = base.get_input_embeddings().weight.numel()
    head = dict(base.named_children()).get("score") or base.get_output_embeddings()
    inside = sum(weight.numel() for name, weight in base.base_model.named_parameters() if "lora_" not in name)
    return Shape(
        inside - embeddings, head.weight.numel(), text.num_attention_heads * width * text.num_hidden_layers, frozen
    )


def peak_of(device: torch.device) -> float | None:
    """Operations per second that the card's maker states for bf16; None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for card, peak in _CARDS.items() if card in name), None)


class Log:
    """metrics.jsonl, one line a step. Going on from step n drops the lines of later steps, which are done again."""

    def __init__(
        self, path: Path, *, step: int, track: str = "none", settings: Mapping[str, Any] | None = None
    ) -> None:
        self.path = path
        kept = [line for line in read_metrics(path) if line["step"] <= step]
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")
        self._tracker = _tracker(track, path.parent.name, dict(settings or {}))

    def append(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise RunError(
                f"{self.path}: cannot be written: {error}. Free some space and run the same command."
            ) from error
        if self._tracker is not None:
            self._tracker.log({key: value for key, value in line.items() if key != "step"}, step=line["step"])

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        if self._tracker is not None:
            self._tracker.finish()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; none where there is no file."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n") and line.strip()]


def _tracker(name: str, run: str, settings: dict[str, Any]) -> Any:
    if name == "none":
        return None
    from importlib import import_module

    try:
        module = import_module(name)
    except ModuleNotFoundError:
        raise InputError.at(
            "track", "track", name, "is not installed", f"pip install {name}, or track = 'none'."
        ) from None
    module.init(project="swegym", name=run, config=settings)
    return module
