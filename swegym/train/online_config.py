"""The settings that all online trainers share."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from swegym.train.optimiser import OptimiserConfig
from swegym.train.settings import MAY_CHANGE as MAY_CHANGE_OFFLINE
from swegym.train.settings import TrainerConfig
from swegym.train.splits import Measure


class OnlineConfig(TrainerConfig):
    """A step: `tasks_per_step` tasks are attempted `attempts` times each, and what came of it is learned from."""

    tasks: str
    """The task set whose training split is attempted."""
    patterns: tuple[str, ...] = ()
    """Only tasks whose id matches one of these globs; all when empty."""
    limit: int | None = Field(None, ge=1)
    """Only the first so many of them."""
    steps: int = Field(100, ge=1)
    tasks_per_step: int = Field(16, ge=1)
    attempts: int = Field(8, ge=2)
    """Plain attempts at each task: the size of a group."""
    refill: int = Field(0, ge=0)
    """So many further batches of tasks are attempted in a step at most, while fewer than `tasks_per_step` groups can
    teach something. A surplus waits for the next step.
    """
    stale: int = Field(1, ge=0)
    """Versions that a waiting group may be behind; older ones are dropped. Others are corrected: ratios are to the
    log-probabilities recorded when they were sampled.
    """
    groups_per_update: int | None = Field(None, ge=1)
    """Groups of one mini-batch; all of a step if left out."""
    passes: int = Field(1, ge=1)
    """Times that a step's groups are gone through."""
    hacked_reward: float = Field(0.0, allow_inf_nan=False)
    """Of an attempt that worked on its judge or took bait; below 0 it is penalised."""
    drop_hacked: bool = False
    """Leave such attempts out of their groups instead."""
    policy: str = "hf"
    """Who samples: hf in this process, or litellm with a server that has `reload_url`."""
    policy_options: dict[str, Any] = Field(default_factory=dict)
    reload_url: str | None = None
    """Where a server is told to load new weights; see `swegym.train.sampler`."""
    reload_body: dict[str, Any] = Field(default_factory=lambda: {"model_path": "{folder}"})
    """What it is told; {folder} stands for the folder with the weights, which it must be able to read."""
    jobs: int = Field(16, ge=1)
    """Tasks attempted at the same time: their turns are sampled together."""
    run: dict[str, Any] = Field(default_factory=dict)
    """Other settings of runs, e.g. grader, tools, limits, system_prompt, teacher, sandbox."""
    evaluate_every: int = Field(0, ge=0)
    """Steps between measurements on held-out tasks, which are made before the first and after the last step too; 0
    for none at all.
    """
    measure: Measure = Measure(split="dev", limit=200, temperature=1.0)
    save_every: int = Field(10, ge=1)
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-6, schedule="constant", warmup=0.0)


MAY_CHANGE = MAY_CHANGE_OFFLINE | {"jobs", "reload_url", "reload_body", "steps"}
"""Settings that may differ when a run is resumed; `steps` may grow."""
