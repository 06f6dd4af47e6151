"""Divergences between student and teacher, and the teacher's own loss, for SDPO and VPD: pure functions.

`_NV` are log-probabilities over the vocabulary (or some of it) for each trained token. The teacher is never given a
gradient by a divergence. BCO is the unpaired preference loss that makes the teacher better (VP-9).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def divergence(student_NV: Tensor, teacher_NV: Tensor, *, alpha: float = 0.5) -> Tensor:
    """Generalised Jensen-Shannon divergence of each token; both are log-probabilities that sum to one.

    alpha = 0: forward KL(teacher || student). alpha = 1: reverse KL(student || teacher). Between: with the mixture
    (1 - alpha) student + alpha teacher, alpha KL(teacher || mixture) + (1 - alpha) KL(student || mixture).
    """
    teacher_NV = teacher_NV.detach()
    if alpha == 0:
        return _kl(teacher_NV, student_NV)
    if alpha == 1:
        return _kl(student_NV, teacher_NV)
    mixture_NV = torch.logaddexp(student_NV + math.log(1 - alpha), teacher_NV + math.log(alpha))
    return alpha * _kl(teacher_NV, mixture_NV) + (1 - alpha) * _kl(student_NV, mixture_NV)


def _kl(p_NV: Tensor, q_NV: Tensor) -> Tensor:
    """Sum of p (log p - log q); where p is 0 the term is 0."""
    return torch.where(p_NV > -torch.inf, p_NV.exp() * (p_NV - q_NV), torch.zeros_like(p_NV)).sum(-1)


def with_tail(top_NK: Tensor) -> Tensor:
    """Log-probabilities of some words, and one more entry for all the others: log(1 - sum p), at most just below 0."""
    taken_N = torch.logsumexp(top_NK, dim=-1).clamp_max(-1e-7)
    tail_N = torch.log(-torch.expm1(taken_N))
    return torch.cat([top_NK, tail_N[:, None]], dim=-1)


def renormalised(top_NK: Tensor) -> Tensor:
    """Log-probabilities of some words, made to sum to one."""
    return top_NK - torch.logsumexp(top_NK, dim=-1, keepdim=True)


def top_words(student_NV: Tensor, teacher_NV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Both at the student's `count` likeliest words."""
    words_NK = student_NV.topk(min(count, student_NV.shape[-1]), dim=-1).indices
    return student_NV.gather(-1, words_NK), teacher_NV.gather(-1, words_NK)


def importance_factor(logps_N: Tensor, old_N: Tensor, *, most: float = 2.0) -> Tensor:
    """Pi / pi_old of each token, detached; its logarithm is kept within 20 and its value below `most`."""
    return (logps_N - old_N).detach().clamp(-20, 20).exp().clamp_max(most)


def bco(rewards_plus: Tensor, rewards_minus: Tensor, delta: float) -> Tensor:
    """Unpaired preference loss (VP-9): mean -log sigmoid(r - delta) over successes, and of -(r - delta) over failures.

    A class that is missing adds nothing.
    """
    terms = [-F.logsigmoid(rewards_plus - delta).mean()] if len(rewards_plus) else []
    terms += [-F.logsigmoid(delta - rewards_minus).mean()] if len(rewards_minus) else []
    return torch.stack(terms).sum() if terms else rewards_plus.sum() + rewards_minus.sum()


class Midpoint:
    """delta of BCO: a moving average of the middle between the means of both classes.

    A batch that lacks a class takes that class's last running mean; before both were seen, the one that was.
    """

    def __init__(self, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self.plus: float | None = None
        self.minus: float | None = None

    def update(self, rewards_plus: Tensor, rewards_minus: Tensor) -> float:
        self.plus = self._moved(self.plus, rewards_plus)
        self.minus = self._moved(self.minus, rewards_minus)
        return self.value

    @property
    def value(self) -> float:
        known = [mean for mean in (self.plus, self.minus) if mean is not None]
        return sum(known) / len(known) if known else 0.0

    def _moved(self, before: float | None, rewards: Tensor) -> float | None:
        if not len(rewards):
            return before
        now = float(rewards.detach().mean())
        return now if before is None else self.momentum * before + (1 - self.momentum) * now


def moved_average(teacher: Tensor, student: Tensor, rate: float) -> Tensor:
    """(1 - rate) teacher + rate student: a teacher's weights after an update of the student's."""
    return torch.lerp(teacher, student, rate)
