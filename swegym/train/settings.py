"""The settings that all trainers share, and the folder that belongs to one set of them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from swegym.config import Config, load, to_toml
from swegym.errors import RunError
from swegym.rollout.folder import write_atomically
from swegym.train import parallel
from swegym.train.model import ModelConfig
from swegym.train.optimiser import OptimiserConfig
from swegym.train.parallel import World


class TrainerConfig(Config):
    """What all trainers share."""

    model: str
    """Folder of the model to start from."""
    out: str
    """Folder for everything that comes out."""
    tokens_per_batch: int = Field(16384, ge=1)
    """Most tokens that go through the model at once."""
    max_length: int = Field(32768, ge=2)
    """Longest row, in tokens."""
    seed: int = 0
    save_every: int = Field(100, ge=1)
    """Steps between checkpoints."""
    keep: int = Field(2, ge=1)
    """So many checkpoints are kept."""
    parallel: str = Field("auto", pattern="^(auto|ddp|fsdp)$")
    track: str = Field("none", pattern="^(none|trackio|wandb)$")
    """Also log to this, where it is installed."""
    compute: ModelConfig = ModelConfig()
    optimiser: OptimiserConfig = OptimiserConfig()


class TrainConfig(TrainerConfig):
    """What trainers share that learn from files."""

    data: tuple[str, ...]
    """JSONL files; see docs/data.md."""
    epochs: int = Field(1, ge=1)
    steps: int | None = Field(None, ge=1)
    """Stop after so many steps; whole epochs if left out."""
    examples_per_step: int = Field(16, ge=1)
    """Over all processes."""
    too_long: str = Field("refuse", pattern="^(refuse|cut)$")
    """What becomes of a longer row: left out and counted, or cut at the end of a turn."""
    mask: str = Field("assistant", pattern="^(assistant|all)$")
    """What is trained: what the policy said, or everything after its first word, tool output included."""
    tokens: str = Field("auto", pattern="^(auto|only|ignore)$")
    """Recorded token ids: used where there are any, required, or ignored."""


MAY_CHANGE = frozenset({"out", "save_every", "keep", "track", "parallel", "tokens_per_batch"})
"""Settings that decide how training is carried out, not what comes out: they may differ when it is resumed."""


def begin(config: TrainerConfig, world: World, may_change: frozenset[str] = MAY_CHANGE) -> Path | None:
    """Claim OUT for this config. Returns the model's folder if training is over already, else None.

    Raises:
        RunError: OUT holds a run with other settings.
    """
    out = Path(config.out)
    file = out / "config.toml"
    if file.is_file():
        before, now = load(type(config), file).model_dump(mode="json"), config.model_dump(mode="json")
        different = next((name for name in now if name not in may_change and before[name] != now[name]), None)
        if different is not None:
            raise RunError(
                f"{file}: {different} = {before[different]!r}, but this run has {now[different]!r}. "
                "Give the same settings to go on, or choose another folder (out)."
            )
    elif world.first:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(file, to_toml(config.model_dump(mode="json")))
    parallel.wait_for_all(world)
    if (out / "train.json").is_file():
        return out / "model"
    return None
