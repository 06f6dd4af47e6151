"""The language-model head, a few tokens at a time: log-probabilities of given tokens without ever holding all logits.

At 32k tokens and 150k words the logits of one row are 20 GB in fp32. Here a block of them is made, used and dropped, in
the forward pass and again in the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from swegym.train import divergences

BLOCK = 1024  # tokens whose logits exist at the same time


def token_logps(
    hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, *, temperature: float = 1.0, block: int = BLOCK
) -> Tensor:
    """Log softmax(hidden @ weight.T / temperature) at the targets, in fp32; shape (N,). Differentiable in both inputs.

    The products run in the dtype of `hidden`, or in that of an active autocast, as the head itself would.
    """
    result: Tensor = _TokenLogps.apply(hidden_ND, weight_VD, targets_N, temperature, block)
    return result


def token_entropies(hidden_ND: Tensor, weight_VD: Tensor, *, temperature: float = 1.0, block: int = BLOCK) -> Tensor:
    """Entropy of each predicted distribution in nats, in fp32; not differentiable."""
    found = []
    with torch.no_grad():
        for start in range(0, len(hidden_ND), block):
            logps = torch.log_softmax((hidden_ND[start : start + block] @ weight_VD.T).float() / temperature, dim=-1)
            found.append(-(logps.exp() * logps).sum(-1))
    return torch.cat(found)


class _TokenLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, temperature: float, block: int
    ) -> Tensor:
        weight = weight_VD.to(hidden_ND.dtype)
        logps = torch.empty(len(hidden_ND), dtype=torch.float32, device=hidden_ND.device)
        normalisers = torch.empty_like(logps)
        for start in range(0, len(hidden_ND), block):
            part = slice(start, start + block)
            logits = (hidden_ND[part] @ weight.T).float() / temperature
            normalisers[part] = torch.logsumexp(logits, dim=-1)
            logps[part] = logits.gather(1, targets_N[part, None])[:, 0] - normalisers[part]
        ctx.save_for_backward(hidden_ND, weight_VD, targets_N, normalisers)
        ctx.temperature, ctx.block = temperature, block
        return logps

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """D logp / d logits = (one-hot - softmax) / temperature, with the softmax made again block by block."""
        (gradient_N,) = gradients
        hidden_ND, weight_VD, targets_N, normalisers = ctx.saved_tensors
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        weight = weight_VD.to(hidden_ND.dtype)
        to_hidden = torch.empty_like(hidden_ND) if needs_hidden else None
        # Summed in fp32: blocks add up, and bf16 would lose the small ones.
        to_weight = torch.zeros(weight_VD.shape, dtype=torch.float32, device=weight.device) if needs_weight else None
        for start in range(0, len(hidden_ND), ctx.block):
            part = slice(start, start + ctx.block)
            logits = (hidden_ND[part] @ weight.T).float() / ctx.temperature
            slope = (logits - normalisers[part, None]).exp_().neg_()
            slope.scatter_add_(1, targets_N[part, None], torch.ones_like(slope[:, :1]))
            slope = (slope * (gradient_N[part, None] / ctx.temperature)).to(weight.dtype)
            if to_hidden is not None:
                to_hidden[part] = slope @ weight
            if to_weight is not None:
                to_weight += slope.T @ hidden_ND[part]
        return to_hidden, None if to_weight is None else to_weight.to(weight_VD.dtype), None, None, None


def token_divergences(
    student_ND: Tensor,
    teacher_ND: Tensor,
    weight_VD: Tensor,
    teacher_weight_VD: Tensor,
    targets_N: Tensor,
    *,
    alpha: float,
    top: int | None = None,
    tail: bool = True,
    block: int = BLOCK,
) -> Tensor:
    """What two hidden states predict, compared at each token; shape (N, 4), in fp32, differentiable in the student.

    The columns: the divergence (`divergences.divergence` with `alpha`), the student's log-probability of the target,
    the teacher's, and KL(teacher || student). Only the first two have a gradient. With `top`, divergences are taken
    over the student's likeliest words, and over one more entry for all others (`tail`) or renormalised; None takes
    the whole vocabulary.
    """

    def compared(student: Tensor, teacher: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        student_NV = torch.log_softmax((student @ weight.to(student.dtype).T).float(), dim=-1)
        with torch.no_grad():
            teacher_NV = torch.log_softmax((teacher @ teacher_weight_VD.to(teacher.dtype).T).float(), dim=-1)
        own, others = (logps.gather(1, targets[:, None])[:, 0] for logps in (student_NV, teacher_NV))
        if top is not None and top < student_NV.shape[1]:
            closed = divergences.with_tail if tail else divergences.renormalised
            student_NV, teacher_NV = (closed(part) for part in divergences.top_words(student_NV, teacher_NV, top))
        apart = divergences.divergence(student_NV, teacher_NV, alpha=alpha)
        kl = divergences.divergence(student_NV.detach(), teacher_NV, alpha=0.0)
        return torch.stack([apart, own, others, kl], dim=1)

    found = []
    for start in range(0, len(student_ND), block):
        part = slice(start, start + block)
        arguments = (student_ND[part], teacher_ND[part].detach(), weight_VD, targets_N[part])
        if torch.is_grad_enabled():  # the block's logits are made again in the backward pass
            found.append(checkpoint(compared, *arguments, use_reentrant=False))
        else:
            found.append(compared(*arguments))
    return torch.cat(found) if found else torch.zeros(0, 4, device=student_ND.device)
