"""Advantages of a group, and the losses of GRPO and Guide-GRPO: pure functions, see losses.py for the letters.

`_G` has one entry for each rollout of a group, `_N` one for each trained token. Numbers in brackets are those of the
papers' formulas as our tests compute them by hand.
"""

from __future__ import annotations

import torch
from torch import Tensor

QUANTILE_LIMIT = 1 << 24  # torch.quantile takes no more values
SMALLEST_GAMMA = 1e-4


def group_advantages(rewards_G: Tensor, *, normalise: bool = True) -> Tensor:
    """(r - mean) / (std + 1e-6) within one group, with the sample's standard deviation; zeros where all are equal.

    A group of one has no deviation: its advantage is zero, never NaN.
    """
    centred_G = rewards_G - rewards_G.mean()
    if not normalise or len(rewards_G) < 2:
        return centred_G
    return centred_G / (rewards_G.std() + 1e-6)


def ppo_clip(logps_N: Tensor, old_N: Tensor, advantages_N: Tensor, *, low: float = 0.2, high: float = 0.2) -> Tensor:
    """Loss of each plain token: -min(rho A, clip(rho, 1 - low, 1 + high) A), rho the ratio to the sampling policy."""
    ratio_N = (logps_N - old_N).exp()
    return -torch.minimum(ratio_N * advantages_N, ratio_N.clamp(1 - low, 1 + high) * advantages_N)


def guided_gamma(log_ratios_N: Tensor, quantile: float = 0.9) -> Tensor:
    """The quantile of w over the guided tokens of a mini-batch, detached, at least 1e-4; 1 where there are none.

    Hand in guided tokens only: padding and plain tokens would pull it to 1. Of more than torch can sort at once, every
    n-th is taken.
    """
    ratios_N = log_ratios_N.detach().float().exp()
    if not len(ratios_N):
        return torch.ones((), device=ratios_N.device)
    stride = -(-len(ratios_N) // QUANTILE_LIMIT)
    return torch.quantile(ratios_N[::stride], quantile).clamp_min(SMALLEST_GAMMA)


def guided_loss(
    logps_N: Tensor, hinted_old_N: Tensor, advantages_N: Tensor, *, gamma: Tensor | None = None, shape: str = "p90"
) -> Tensor:
    """Loss of each guided token: -s(w) A, without a clip. w = pi(o | task) / pi_old(o | task, hint).

    The numerator is scored without the hint, the denominator was sampled with it. s(w) = w / (w + gamma): its slope in
    log pi is gamma w / (w + gamma)^2, positive, at most 1/4, largest at w = gamma.

    shape: p90 (gamma from `guided_gamma`), constant (gamma = 1), power (the root of w), none (w itself).
    """
    log_ratio_N = logps_N - hinted_old_N
    ratio_N = log_ratio_N.exp()
    if shape == "none":
        return -ratio_N * advantages_N
    if shape == "power":
        return -(log_ratio_N / 2).exp() * advantages_N
    if shape == "constant":
        gamma = torch.ones((), device=ratio_N.device)
    elif shape != "p90":
        raise ValueError(f"no shape named {shape!r}; use p90, constant, power or none")
    gamma = guided_gamma(log_ratio_N) if gamma is None else gamma.detach()
    # w / (w + gamma) = sigmoid(log w - log gamma), which neither overflows nor loses small ratios.
    return -torch.sigmoid(log_ratio_N - gamma.log()) * advantages_N


def reshaped(advantages_N: Tensor, gap_N: Tensor, *, reward_weight: float = 1.0, gap_weight: float = 1.0) -> Tensor:
    """Advantages to which the teacher's log-ratio is added (VPD B.3): w_rl A + w_opd (log q - log pi), detached."""
    return reward_weight * advantages_N + gap_weight * gap_N.detach()


def reweighted(advantages_N: Tensor, gap_N: Tensor, *, share: float = 1.0, most: float = 0.2) -> Tensor:
    """Advantages scaled by what the teacher thinks of each token (VPD B.3), detached.

    w = exp(sign(A) (log q - log pi)), kept within 1 - most and 1 + most; A ((1 - share) + share w). So a token that the
    teacher likes gets more of a success and less of a failure.
    """
    scale_N = (torch.sign(advantages_N) * gap_N.detach()).clamp(-20, 20).exp().clamp(1 - most, 1 + most)
    return advantages_N * ((1 - share) + share * scale_N)
