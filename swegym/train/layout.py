"""How the rows of a step are laid out: which go through the model together, and as what kind of batch.

Attempts at one task begin alike, often for a turn or two. In packed batches such a family shares what all of it begins
with; a family that does not fit the budget is cut into smaller ones, which share less and compute the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from swegym.train.batch import Batch, Row, common_beginning, packed, padded, plan


def families(rows: Sequence[Row], of: Sequence[object], budget: int, *, packing: bool) -> list[list[list[int]]]:
    """Indices of rows: for each batch its families, for each family its members. Rows of equal `of` are relatives.

    The tokens of a packed batch stay within `budget`, unless a single row is longer. Padded batches hold each row as a
    family of its own.
    """
    if not packing:
        lengths = [len(row) for row in rows]
        return [[[index] for index in places] for places in plan(lengths, budget, packing=False)]
    by_kind: dict[object, list[int]] = {}
    for index, kind in enumerate(of):
        by_kind.setdefault(kind, []).append(index)
    cut = [family for members in by_kind.values() for family in _cut(rows, members, budget)]
    together = plan([_length(rows, family) for family in cut], budget, packing=True)
    return [[cut[place] for place in places] for places in together]


def _cut(rows: Sequence[Row], members: Sequence[int], budget: int) -> list[list[int]]:
    """Members in order, as many together as the budget holds."""
    found: list[list[int]] = []
    for member in members:
        if found and _length(rows, [*found[-1], member]) <= budget:
            found[-1].append(member)
        else:
            found.append([member])
    return found


def _length(rows: Sequence[Row], family: Sequence[int]) -> int:
    """Tokens that a family puts into a packed batch."""
    lengths = sum(len(rows[index]) for index in family)
    return lengths - (len(family) - 1) * common_beginning([rows[index] for index in family])


def laid_out(families: Sequence[Sequence[Row]], *, packing: bool, padding: int) -> Batch:
    """One batch of whole families, their members in order."""
    if packing:
        return packed(families)
    return padded([row for family in families for row in family], padding)
