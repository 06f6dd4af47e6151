"""Batching by rows: each step makes one token for every request under way; requests join and leave between steps.

A row is a request with its keys and values. Rows of different length stand in one batch, shorter ones padded on the
left. Each row draws from a generator of its own, so what is sampled follows from the seed and not from who else is
there. Keys and values of finished rows are kept for a while: the next turn of an episode only runs what is new in it,
and attempts at one task share its opening. Models whose cache is not one key and value for each token run row by row.

Imported only where a model is really used, so torch stands at the top.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from swegym.errors import ProviderError
from swegym.policies.hf_engine import Job

CHUNK = 2048  # prompt tokens run at once

Layers = list[tuple[torch.Tensor, torch.Tensor]]  # keys and values, (rows, heads, tokens, size), for each layer


class Row:
    def __init__(self, job: Job, cache: Any) -> None:
        self.job = job
        self.random = random.Random(job.request.seed)
        self.new: list[int] = []
        self.logprobs: list[float] = []
        self.cache = cache  # only while it runs alone

    @property
    def ids(self) -> tuple[int, ...]:
        return (*self.job.request.ids, *self.new)


class Rows:
    def __init__(self, model: Any, ends: Collection[int], counts: dict[str, int], kept_tokens: int) -> None:
        self.jobs: list[Job] = []
        self._model = model
        self._ends = frozenset(ends)
        self._counts = counts
        self._kept = Kept(kept_tokens)
        self._together: list[Row] = []  # rows of the batch, in the order of `_layers`
        self._layers: Layers = []
        self._alone: list[Row] = []  # rows whose caches cannot stand in one batch

    def add(self, job: Job) -> None:
        ids = torch.tensor([job.request.ids], device=self._model.device)
        layers, done = self._kept.longest(job.request.ids)
        cache = _cache_of(layers) if done else DynamicCache(config=self._model.config)
        self._counts["reused_tokens"] += done
        output: Any = None
        for start in range(done, ids.shape[1], CHUNK):
            output = self._run(ids[:, start : start + CHUNK], cache, None, None)
        row = Row(job, cache)
        ended = self._draw([row], output)
        self.jobs.append(job)
        if ended:
            self._finish(row, _layers_of(cache))
        elif _plain(cache):
            row.cache = None
            self._join(row, _layers_of(cache) or [])
        else:
            self._alone.append(row)

    def step(self) -> None:
        if self._together:
            self._step_together()
        for row in list(self._alone):
            last = torch.tensor([row.new[-1:]], device=self._model.device)
            if self._draw([row], self._run(last, row.cache, None, None)):
                self._alone.remove(row)
                self._finish(row, _layers_of(row.cache))

    def forget(self) -> None:
        self.jobs, self._together, self._layers, self._alone = [], [], [], []
        self._kept.clear()

    def _step_together(self) -> None:
        rows, device = self._together, self._model.device
        lengths = torch.tensor([len(row.ids) - 1 for row in rows], device=device)  # the last id is not in the cache yet
        width = self._layers[0][0].shape[2]
        mask = None
        if bool((lengths != width).any()):
            mask = (torch.arange(width + 1, device=device)[None] >= (width - lengths)[:, None]).long()
        last = torch.tensor([row.new[-1:] for row in rows], device=device)
        cache = _cache_of(self._layers)
        finished = self._draw(rows, self._run(last, cache, mask, lengths[:, None]))
        self._layers = _layers_of(cache) or []
        for row in finished:
            at = rows.index(row)
            length = len(row.ids) - 1
            self._finish(row, [(k[at : at + 1, :, -length:], v[at : at + 1, :, -length:]) for k, v in self._layers])
        if finished:
            left = [at for at, row in enumerate(rows) if row not in finished]
            self._together = [rows[at] for at in left]
            longest = max((len(row.ids) - 1 for row in self._together), default=0)
            self._layers = (
                [(k[left][:, :, -longest:], v[left][:, :, -longest:]) for k, v in self._layers] if left else []
            )

    def _run(self, ids: torch.Tensor, cache: Any, mask: torch.Tensor | None, positions: torch.Tensor | None) -> Any:
        """Logits after the last of `ids` in each row, (rows, vocabulary)."""
        more = {"attention_mask": mask} if mask is not None else {}
        more |= {"position_ids": positions} if positions is not None else {}
        output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **more)
        return output.logits[:, -1].float()

    def _draw(self, rows: Sequence[Row], logits: torch.Tensor) -> list[Row]:
        """Sample one token for each row and note it; returns the rows that end with it."""
        heat = torch.tensor([row.job.request.temperature for row in rows], device=logits.device)[:, None]
        logprobs = torch.log_softmax(logits / torch.where(heat > 0, heat, 1.0), dim=-1)
        # The inverse of the distribution function at a number of the row's own, in double for large vocabularies.
        steps = logprobs.double().exp().cumsum(dim=-1)
        points = torch.tensor([[row.random.random()] for row in rows], device=logits.device, dtype=torch.double)
        drawn = torch.searchsorted(steps, points * steps[:, -1:], right=True).clamp(max=logits.shape[1] - 1)
        chosen = torch.where(heat > 0, drawn, logits.argmax(dim=-1, keepdim=True))
        found = logprobs.gather(1, chosen)[:, 0]
        if not bool(torch.isfinite(found).all()):
            raise ProviderError("the model's logits are not finite. Its weights are broken, or need another dtype.")
        ended = []
        for row, token, logprob in zip(rows, chosen[:, 0].tolist(), found.tolist(), strict=True):
            row.new.append(token)
            row.logprobs.append(logprob)
            if token in self._ends or len(row.new) >= row.job.request.max_new_tokens:
                ended.append(row)
        self._counts["new_tokens"] += len(rows)
        return ended

    def _join(self, row: Row, layers: Layers) -> None:
        if not self._together:
            self._layers = layers
        else:
            self._layers = [
                (_stacked(keys, new_keys), _stacked(values, new_values))
                for (keys, values), (new_keys, new_values) in zip(self._layers, layers, strict=True)
            ]
        self._together.append(row)

    def _finish(self, row: Row, layers: Layers | None) -> None:
        if layers is not None:
            self._kept.put(row.ids[:-1], layers)
        self.jobs.remove(row.job)
        row.job.result.set_result((row.new, row.logprobs))


class Kept:
    """Keys and values of finished rows, the least recently used dropped first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[tuple[int, ...], Layers] = {}

    def put(self, ids: tuple[int, ...], layers: Layers) -> None:
        if len(ids) > self._most:
            return
        for other in [other for other in self._entries if ids[: len(other)] == other]:
            del self._entries[other]  # the new entry has all of it
        self._entries[ids] = [(keys.clone(), values.clone()) for keys, values in layers]
        while sum(map(len, self._entries)) > self._most:
            del self._entries[next(iter(self._entries))]

    def longest(self, ids: tuple[int, ...]) -> tuple[Layers, int]:
        """Keys and values of the longest known beginning of `ids`, at least one token short of all of it."""
        best, length = None, 0
        for known in self._entries:
            shared = _common(known, ids[:-1])
            if shared > length:
                best, length = known, shared
        if best is None:
            return [], 0
        layers = self._entries[best] = self._entries.pop(best)  # now the most recently used
        return [(keys[:, :, :length], values[:, :, :length]) for keys, values in layers], length

    def clear(self) -> None:
        self._entries.clear()


def _common(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    low, high = 0, min(len(first), len(second))
    while low < high:  # slices compare at the speed of C
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _plain(cache: Any) -> bool:
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def _layers_of(cache: Any) -> Layers | None:
    return [(layer.keys, layer.values) for layer in cache.layers] if _plain(cache) else None


def _cache_of(layers: Layers) -> Any:
    cache = DynamicCache()
    for index, (keys, values) in enumerate(layers):
        cache.update(keys, values, index)
    return cache


def _stacked(batch: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """One more row in a batch, the shorter of both padded on the left."""
    width = max(batch.shape[2], row.shape[2])
    return torch.cat([_padded(batch, width), _padded(row, width)])


def _padded(tensor: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(tensor, (0, 0, width - tensor.shape[2], 0))
