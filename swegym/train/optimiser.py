"""AdamW whose state and updates are in float32 whatever the model computes in, with a schedule and clipping.

A bfloat16 weight is too coarse for an update of 1e-6 of its size: it would not change. So each has a float32 master
copy. A gradient is added to its master's as soon as the backward pass has made it and then dropped, which also sums
the parts of a step in float32.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from swegym.config import Config


class OptimiserConfig(Config):
    learning_rate: float = Field(1e-6, gt=0)
    schedule: str = Field("cosine", pattern="^(cosine|constant|linear)$")
    """What becomes of the learning rate after the warm-up; cosine and linear fall to a tenth."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps over which the learning rate rises."""
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = Field(1.0, gt=0)
    """Longest gradient; a longer one is scaled down."""


def rate_at(step: int, steps: int, config: OptimiserConfig) -> float:
    """The learning rate of step 0, 1, ... of `steps`."""
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - warmup) / max(1, steps - warmup)
    fall = (1 + math.cos(math.pi * done)) / 2 if config.schedule == "cosine" else 1 - done
    return config.learning_rate * (0.1 + 0.9 * fall)


class Optimiser:
    """AdamW over the trainable weights of a module."""

    def __init__(self, module: nn.Module, config: OptimiserConfig, *, steps: int) -> None:
        self.config = config
        self.steps = steps
        self.weights = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
        self.masters = {name: self._master(weight) for name, weight in self.weights.items()}
        decayed = [master for master in self.masters.values() if master.ndim > 1]
        kept = [master for master in self.masters.values() if master.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": kept, "weight_decay": 0.0}]
        on_gpu = all(weight.is_cuda for weight in self.weights.values())
        self.adam = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=config.learning_rate,
            betas=config.betas,
            fused=on_gpu,
            foreach=None if on_gpu else False,
        )

    def _master(self, weight: Tensor) -> Tensor:
        if weight.dtype == torch.float32:
            return weight
        master = weight.detach().to(torch.float32, copy=True)

        def keep(parameter: Tensor) -> None:
            assert parameter.grad is not None
            if master.grad is None:
                master.grad = parameter.grad.to(torch.float32)
            else:
                master.grad += parameter.grad
            parameter.grad = None

        weight.register_post_accumulate_grad_hook(keep)
        return master

    def gradients(self) -> list[Tensor]:
        """Of all weights, in order; zeros where nothing reached one."""
        found = []
        for master in self.masters.values():
            if master.grad is None:
                master.grad = torch.zeros_like(master)
            found.append(master.grad)
        return found

    def step(self, number: int) -> tuple[float, float]:
        """One update; returns the gradient's length before clipping and the learning rate."""
        rate = rate_at(number, self.steps, self.config)
        for group in self.adam.param_groups:
            group["lr"] = rate
        from torch.distributed.tensor import DTensor

        self.gradients()
        masters = list(self.masters.values())
        length = torch.nn.utils.clip_grad_norm_(masters, self.config.clip, foreach=masters[0].is_cuda or None)
        if isinstance(length, DTensor):  # of sharded weights
            length = length.full_tensor()
        if math.isfinite(float(length)):
            self.adam.step()
            for name, weight in self.weights.items():
                if self.masters[name] is not weight:
                    with torch.no_grad():
                        weight.copy_(self.masters[name])
        self.adam.zero_grad(set_to_none=True)
        return float(length), rate

    def state(self) -> dict[str, Any]:
        """Master weights and AdamW's state, for a checkpoint."""
        return {
            "masters": {name: master.detach() for name, master in self.masters.items()},
            "adam": self.adam.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, master in self.masters.items():
                master.copy_(state["masters"][name])
                if self.weights[name] is not master:
                    self.weights[name].copy_(master)
        self.adam.load_state_dict(state["adam"])
