"""Losses as pure functions of log-probabilities or scores: tensors in, one scalar out, nothing read or kept.

Letters in names: `_N` one entry for each trained token, `_S` one for each sequence, `_P` one for each pair. Sums over a
step are divided by what the caller says the whole step holds, so a step may be cut into parts of any size and order and
its gradient stays the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sequence_sums(values_N: Tensor, owners_N: Tensor, sequences: int) -> Tensor:
    """Sum of each sequence's trained tokens; `owners_N` says whose a token is. Shape (sequences,)."""
    return torch.zeros(sequences, dtype=values_N.dtype, device=values_N.device).index_add(0, owners_N, values_N)


def nll(logps_N: Tensor, total: float) -> Tensor:
    """Negative log-likelihood, divided by the number of trained tokens in the whole step."""
    return -logps_N.sum() / total


def dpo(
    chosen_P: Tensor,
    rejected_P: Tensor,
    reference_chosen_P: Tensor,
    reference_rejected_P: Tensor,
    *,
    beta: float = 0.1,
    kind: str = "sigmoid",
    chosen_lengths_P: Tensor | None = None,
    rejected_lengths_P: Tensor | None = None,
) -> Tensor:
    """Preference loss of each pair, from log-probabilities summed over each side (papers: AR-2).

    sigmoid: -log sigmoid(beta * h), h = (chosen - reference) - (rejected - reference).
    sigmoid_norm: the same with each side's log-ratio divided by its number of trained tokens.
    ipo: (h - 1 / (2 beta))^2, each side divided by its number of trained tokens.
    """
    gain_chosen_P = chosen_P - reference_chosen_P
    gain_rejected_P = rejected_P - reference_rejected_P
    if kind in ("sigmoid_norm", "ipo"):
        if chosen_lengths_P is None or rejected_lengths_P is None:
            raise ValueError(f"{kind} needs the number of trained tokens of each side")
        gain_chosen_P = gain_chosen_P / chosen_lengths_P
        gain_rejected_P = gain_rejected_P / rejected_lengths_P
    margin_P = gain_chosen_P - gain_rejected_P
    if kind == "ipo":
        return (margin_P - 1 / (2 * beta)) ** 2
    if kind in ("sigmoid", "sigmoid_norm"):
        return -F.logsigmoid(beta * margin_P)
    raise ValueError(f"no preference loss named {kind!r}; use sigmoid, sigmoid_norm or ipo")


def bradley_terry(chosen_P: Tensor, rejected_P: Tensor, *, centre: float = 0.0) -> Tensor:
    """-log sigmoid(chosen - rejected) of each pair, plus `centre` times (chosen + rejected)^2, for a mean near 0."""
    loss_P = -F.logsigmoid(chosen_P - rejected_P)
    return loss_P + centre * (chosen_P + rejected_P) ** 2 if centre else loss_P


def binary_cross_entropy(scores_S: Tensor, labels_S: Tensor) -> Tensor:
    """Of each score taken as the logit of having solved the task; labels are 1.0 or 0.0."""
    return F.binary_cross_entropy_with_logits(scores_S, labels_S, reduction="none")
