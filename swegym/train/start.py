"""A start for reinforcement learning: a small model from nothing that knows the tools and is not sure of the fixes.

    OUT/
    ├── demonstrations.jsonl   short episodes of generated tasks, see swegym.data.demonstrations
    ├── new/                   tokenizer and random weights, see scratch.py
    └── sft/model/             the start; the rest of sft/ is that of any SFT

Each stage is skipped where its result is there, and SFT resumes. On one machine the same settings give the same model.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from swegym.config import Config, to_toml
from swegym.config import load as load_config
from swegym.data.demonstrations import DemonstrationOptions, write_demonstrations
from swegym.errors import RunError
from swegym.rollout.folder import write_atomically
from swegym.train.common import Watcher
from swegym.train.model import ModelConfig
from swegym.train.optimiser import OptimiserConfig
from swegym.train.scratch import SIZES, make_model
from swegym.train.sft import SftConfig, sft


class StartConfig(Config):
    out: str
    """Folder for everything that comes out."""
    size: str = "mini"
    """Of the model: mini, small or medium (swegym.train.scratch.SIZES)."""
    demonstrations: DemonstrationOptions = DemonstrationOptions()
    steps: int = Field(1000, ge=1)
    """Updates, however often they go through the demonstrations."""
    examples_per_step: int = Field(8, ge=1)
    tokens_per_batch: int = Field(8192, ge=1)
    mask: str = Field("all", pattern="^(assistant|all)$")
    """What is trained. Tool output is full of names that stand above, which may help to learn copying."""
    learning_rate: float | None = Field(None, gt=0)
    """That of the size, if left out."""
    weight_decay: float = Field(0.01, ge=0)
    compute: ModelConfig = ModelConfig(checkpointing=False, attention="sdpa")
    """Padding, since rows are short and much alike in length."""
    seed: int = 0


def make_start(config: StartConfig, *, on_step: Watcher | None = None) -> Path:
    """Carry out what is left to do and return the model's folder.

    Raises:
        RunError: OUT holds a start with other settings.
    """
    out = Path(config.out)
    _claim(out, config)
    rows = out / "demonstrations.jsonl"
    if not rows.is_file():
        write_demonstrations(config.demonstrations, rows)
    if not (out / "new").is_dir():
        make_model(out / "new", [rows], size=config.size, seed=config.seed)
    rate = config.learning_rate or SIZES[config.size].rate
    training = SftConfig(
        model=str(out / "new"),
        data=(str(rows),),
        out=str(out / "sft"),
        steps=config.steps,
        examples_per_step=config.examples_per_step,
        tokens_per_batch=config.tokens_per_batch,
        mask=config.mask,
        optimiser=OptimiserConfig(learning_rate=rate, weight_decay=config.weight_decay),
        compute=config.compute,
        seed=config.seed,
    )
    return sft(training, on_step=on_step)


def _claim(out: Path, config: StartConfig) -> None:
    file = out / "start.toml"
    if file.is_file():
        before = load_config(StartConfig, file)
        if before.model_copy(update={"out": config.out}) != config:
            raise RunError(f"{file}: this folder holds a start with other settings. Choose another one (out).")
        return
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(file, to_toml(config.model_dump(mode="json")))
