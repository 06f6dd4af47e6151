"""A row is one sequence of token ids with a mask of the tokens that are trained; a batch is rows laid out for a model.

The mask is by role: only what the policy itself said is trained, never a prompt, a tool's answer or a hint. A row is
made once and never rendered again. Two layouts, both without an attention mask:

padded   (B, T), padding on the right, where causal attention never looks at it;
packed   (1, T), rows one after the other; `segments` says what each token may attend to. Rows of one group share the
         longest common beginning of their ids, which is laid out once: for a pair, the prompt.

A token is predicted from the hidden state of the token before it, so the layouts differ only in where that lies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swegym.errors import InputError


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids; `mask` is true where the policy's own token is trained; `name` says in messages where it comes from.

    `logprobs` are those under which the tokens were sampled, one for each id, meaningless where the mask is false.
    """

    ids: NDArray[np.int32]
    mask: NDArray[np.bool_]
    name: str = ""
    logprobs: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def trained(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens start..stop of a packed batch: they attend to prefix_start..prefix_stop, and causally to themselves."""

    start: int
    stop: int
    prefix_start: int = 0
    prefix_stop: int = 0

    @property
    def attended(self) -> int:
        """Pairs of a token and one that it attends to."""
        own = self.stop - self.start
        return own * (own + 1) // 2 + own * (self.prefix_stop - self.prefix_start)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as one model input. `places_N` are flat indices of the hidden states that predict the trained tokens."""

    ids_BT: Tensor
    positions_BT: Tensor
    segments: tuple[Segment, ...] | None  # None: padded
    places_N: Tensor
    targets_N: Tensor
    owners_N: Tensor  # which sequence a trained token belongs to
    ends_S: Tensor  # flat index of each sequence's last trained token
    sequences: int
    tokens: int  # that go through the model, padding not counted
    row_tokens: int  # of all rows; more than `tokens` where a beginning is shared
    attended: int  # pairs of a token and one that it attends to

    def to(self, device: torch.device) -> Batch:
        moved: dict[str, Any] = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("ids_BT", "positions_BT", "places_N", "targets_N", "owners_N", "ends_S")
        }
        return replace(self, **moved)


def make_row(
    ids: Sequence[int],
    mask: Sequence[int],
    name: str,
    *,
    vocabulary: int,
    logprobs: Sequence[float] | None = None,
) -> Row:
    """A checked row.

    Raises:
        InputError: Lengths differ, nothing is trained, or an id is not of the model's vocabulary.
    """
    if len(ids) != len(mask) or (logprobs is not None and len(logprobs) != len(ids)):
        raise InputError.at(
            name, "mask", len(mask), f"there are {len(ids)} ids; ids, mask and logprobs go together", "Write it again."
        )
    if len(ids) and not 0 <= min(ids) <= max(ids) < vocabulary:
        wrong = next(i for i in ids if not 0 <= i < vocabulary)
        raise InputError.at(
            name,
            "ids",
            wrong,
            f"the model's vocabulary has {vocabulary} tokens, so these ids are of another tokenizer",
            "Train the model that sampled them, or leave the ids out of the file so that the text is used.",
        )
    if any(entry not in (0, 1) for entry in mask):
        raise InputError.at(name, "mask", next(m for m in mask if m not in (0, 1)), "not 0 or 1", "Write it again.")
    trained = np.asarray(mask, dtype=np.bool_)
    row = Row(
        np.asarray(ids, dtype=np.int64).astype(np.int32),
        trained,
        name,
        None if logprobs is None else _numbers(logprobs, name),
    )
    if not trained[1:].any():
        raise InputError.at(
            name,
            "mask",
            f"{int(trained.sum())} of {len(ids)}",
            "no token of an assistant to train on",
            "Leave that line out; a row needs at least one assistant message.",
        )
    row.mask[0] = False  # nothing comes before it from which it could be predicted
    return row


def _numbers(logprobs: Sequence[float], name: str) -> NDArray[np.float32]:
    """One that is no number would make the loss none, and no later step would mend that."""
    try:
        found = np.asarray(logprobs, dtype=np.float32)
    except (TypeError, ValueError):
        found = np.asarray([np.nan], dtype=np.float32)
    if not np.isfinite(found).all():
        raise InputError.at(name, "logprobs", logprobs, "not a list of numbers", "Write it again.")
    return found


def fitted(row: Row, longest: int, too_long: str) -> Row | None:
    """The row if it has at most `longest` tokens; else, with `cut`, its beginning up to the end of a turn, or None.

    Nothing is ever cut inside a turn: a turn ends where trained tokens do.
    """
    if len(row) <= longest:
        return row
    if too_long == "refuse":
        return None
    ends = np.flatnonzero(row.mask[:-1] & ~row.mask[1:]) + 1
    ends = ends[ends <= longest]
    if not len(ends):
        return None
    end = int(ends[-1])
    return replace(
        row,
        ids=row.ids[:end],
        mask=row.mask[:end],
        logprobs=None if row.logprobs is None else row.logprobs[:end],
    )


def all_trained(row: Row) -> Row:
    """The row with everything after its first trained token trained, as trainers without role masks do."""
    mask = row.mask.copy()
    mask[int(np.argmax(mask)) :] = True
    return replace(row, mask=mask)


def common_beginning(rows: Sequence[Row]) -> int:
    """How many ids all rows begin with."""
    shortest = min(len(row) for row in rows)
    same = np.ones(shortest, dtype=np.bool_)
    for row in rows[1:]:
        same &= row.ids[:shortest] == rows[0].ids[:shortest]
    return shortest if same.all() else int(np.argmin(same))


def packed(groups: Sequence[Sequence[Row]], *, share: bool = True) -> Batch:
    """Groups of rows one after the other; with `share`, the rows of a group share their common beginning.

    Sequences are numbered in the order of the rows.
    """
    ids: list[NDArray[np.int32]] = []
    positions: list[NDArray[np.int64]] = []
    segments: list[Segment] = []
    layout = _Layout()
    used = 0
    for group in groups:
        shared = common_beginning(group) if share and len(group) > 1 else 0
        first = used
        for number, row in enumerate(group):
            skipped = shared if number else 0
            added = len(row) - skipped
            # Where token t of this row lies: in the first row's beginning, or behind it.
            where = np.arange(len(row)) + (used - skipped)
            where[:skipped] = np.arange(skipped) + first
            layout.add(row, where)
            if added:
                ids.append(row.ids[skipped:])
                positions.append(np.arange(skipped, len(row), dtype=np.int64))
                segments.append(Segment(used, used + added, first, first + skipped))
            used += added
    return layout.batch(np.concatenate(ids)[None], np.concatenate(positions)[None], tuple(segments), used)


def padded(rows: Sequence[Row], padding: int) -> Batch:
    """Rows below each other, filled on the right with `padding`, which no token attends to and nothing trains."""
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), padding, dtype=np.int32)
    layout = _Layout()
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row.ids
        layout.add(row, np.arange(len(row)) + number * longest)
    positions = np.broadcast_to(np.arange(longest, dtype=np.int64), ids.shape).copy()
    return layout.batch(ids, positions, None, sum(len(row) for row in rows))


class _Layout:
    """Collects where trained tokens are predicted while rows are laid out."""

    def __init__(self) -> None:
        self.places: list[NDArray[np.int64]] = []
        self.targets: list[NDArray[np.int32]] = []
        self.owners: list[NDArray[np.int64]] = []
        self.ends: list[int] = []
        self.lengths: list[int] = []

    def add(self, row: Row, where: NDArray[np.int64]) -> None:
        trained = np.flatnonzero(row.mask)
        self.places.append(where[trained - 1])
        self.targets.append(row.ids[trained])
        self.owners.append(np.full(len(trained), len(self.ends), dtype=np.int64))
        self.ends.append(int(where[trained[-1]]))
        self.lengths.append(len(row))

    def batch(
        self,
        ids: NDArray[np.int32],
        positions: NDArray[np.int64],
        segments: tuple[Segment, ...] | None,
        tokens: int,
    ) -> Batch:
        alone = [Segment(0, length) for length in self.lengths]
        return Batch(
            torch.from_numpy(ids.astype(np.int64)),
            torch.from_numpy(positions),
            segments,
            torch.from_numpy(np.concatenate(self.places)),
            torch.from_numpy(np.concatenate(self.targets).astype(np.int64)),
            torch.from_numpy(np.concatenate(self.owners)),
            torch.tensor(self.ends, dtype=torch.int64),
            len(self.ends),
            tokens,
            sum(self.lengths),
            sum(segment.attended for segment in (alone if segments is None else segments)),
        )


def plan(lengths: Sequence[int], budget: int, *, packing: bool) -> list[list[int]]:
    """Which of these lengths go through the model together, longest first.

    Packed: the sum stays within `budget` (first fit, decreasing). Padded: rows times the longest does. One that is
    longer than the budget goes alone: it was admitted by its length, so it is not dropped here.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    together: list[list[int]] = []
    filled: list[int] = []
    for index in order:
        length = lengths[index]
        if packing:
            place = next((place for place, used in enumerate(filled) if used + length <= budget), None)
        else:
            last = len(together) - 1
            # Lengths only fall, so a batch is as wide as its first row.
            fits = last >= 0 and lengths[together[last][0]] * (len(together[last]) + 1) <= budget
            place = last if fits else None
        if place is None:
            together.append([index])
            filled.append(length)
        else:
            together[place].append(index)
            filled[place] += length
    return together


def order_of(count: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """The order in which an epoch goes through `count` examples: the same for any number of processes."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class Refused(Counter[str]):
    """How many rows were left out, by reason; and which."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[tuple[str, str]] = []

    def note(self, name: str, reason: str) -> None:
        self[reason] += 1
        self.names.append((name, reason))
