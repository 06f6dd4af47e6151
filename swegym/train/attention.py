"""Attention over the segments of a packed batch: no T x T mask exists, and no pair that is masked is computed.

A segment attends causally to itself and to all of its prefix. With the prefix's keys laid before its own that is causal
attention aligned at the lower right, which flash kernels do. On a GPU one variable-length kernel does all segments; in
other places one call of scaled_dot_product_attention does each.

`ATTENTION` is the name under which transformers finds it; the batch's segments travel through the model's forward as
the keyword `segments`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swegym.train.batch import Segment

ATTENTION = "swegym_segments"


def register() -> None:
    """Make the attention known to transformers. It registers no mask function, so no mask is built for it."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, segment_attention)


def segment_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: Sequence[Segment] | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer. Shapes (B, heads, T, D) in, (B, T, heads, D) out.

    Without segments, a batch is padded on the right and plainly causal. A sliding window that is longer than every
    context changes nothing; a shorter one is refused.
    """
    if attention_mask is not None or dropout:
        raise ValueError("this attention takes neither a mask nor dropout")
    longest = (
        query.shape[2] if segments is None else max(s.stop - s.start + s.prefix_stop - s.prefix_start for s in segments)
    )
    if sliding_window is not None and sliding_window < longest:
        raise ValueError(
            f"the model's sliding window of {sliding_window} tokens is shorter than a row of {longest}. "
            f"Set max_length to at most {sliding_window}, or attention = 'sdpa'."
        )
    if segments is None:
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
        return out.transpose(1, 2), None
    if query.is_cuda and _varlen() is not None:
        return _in_one_kernel(query, key, value, segments, scaling), None
    return _one_by_one(query, key, value, segments, scaling), None


def _one_by_one(
    query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment], scaling: float | None
) -> Tensor:
    outs = []
    for segment in segments:
        own = slice(segment.start, segment.stop)
        q, k, v = query[:, :, own], key[:, :, own], value[:, :, own]
        if segment.prefix_stop == segment.prefix_start:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
        else:
            before = slice(segment.prefix_start, segment.prefix_stop)
            k = torch.cat([key[:, :, before], k], dim=2)
            v = torch.cat([value[:, :, before], v], dim=2)
            mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril(k.shape[2] - q.shape[2])
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling, enable_gqa=True)
        outs.append(out)
    return torch.cat(outs, dim=2).transpose(1, 2)


def _in_one_kernel(
    query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment], scaling: float | None
) -> Tensor:
    """All segments by torch's variable-length flash kernel, the keys of shared prefixes gathered."""
    varlen, takes_window, takes_scale, takes_groups = _varlen() or (None, False, False, False)
    assert varlen is not None
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))  # (T, heads, D)
    gathered, starts_q, starts_k, longest_q, longest_k = _kernel_plan(tuple(segments), query.device)
    if gathered is not None:
        k, v = k[gathered], v[gathered]
    options: dict[str, Any] = {"window_size": (-1, 0)} if takes_window else {"is_causal": True}
    if scaling is not None and scaling != q.shape[-1] ** -0.5:
        if takes_scale:
            options["scale"] = scaling
        else:
            q = q * (scaling * q.shape[-1] ** 0.5)
    if k.shape[1] != q.shape[1]:
        if takes_groups:
            options["enable_gqa"] = True
        else:
            k, v = (tensor.repeat_interleave(q.shape[1] // tensor.shape[1], dim=1) for tensor in (k, v))
    out: Tensor = varlen(q, k, v, starts_q, starts_k, longest_q, longest_k, **options)
    return out[None]


@functools.lru_cache(maxsize=4)
def _kernel_plan(segments: tuple[Segment, ...], device: torch.device) -> tuple[Tensor | None, Tensor, Tensor, int, int]:
    """Made once for all layers of a batch: gathered keys (None: as they lie), starts of queries and keys, longest."""
    lengths_q = [segment.stop - segment.start for segment in segments]
    lengths_k = [segment.stop - segment.start + segment.prefix_stop - segment.prefix_start for segment in segments]
    gathered = None
    if lengths_q != lengths_k:
        parts = [
            torch.cat([torch.arange(s.prefix_start, s.prefix_stop), torch.arange(s.start, s.stop)]) for s in segments
        ]
        gathered = torch.cat(parts).to(device)
    starts = [
        F.pad(torch.tensor(lengths).cumsum(0), (1, 0)).to(device, torch.int32) for lengths in (lengths_q, lengths_k)
    ]
    return gathered, starts[0], starts[1], max(lengths_q), max(lengths_k)


@functools.cache
def _varlen() -> tuple[Any, bool, bool, bool] | None:
    """Torch's kernel and which of its later arguments this torch has: window_size, scale, enable_gqa."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    return varlen_attn, "window_size" in known, "scale" in known, "enable_gqa" in known
