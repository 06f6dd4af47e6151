"""What a pair's row looks like, whoever chose its two sides."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from swegym.data.rows import Drops, Row
from swegym.data.sides import Side, written
from swegym.data.tokens import TokenRow, has_tokens, token_rows

BALANCE = "left out to balance lengths"


def pair_row(chosen: Side, rejected: Side, kind: str, *, shared: int = 0, one_turn: bool = False) -> Row:
    """The row of two sides.

    Args:
        chosen: Of a success.
        rejected: Of a failure with the same opening and tools.
        kind: How the chosen side came about.
        shared: So many messages of the completions, the same on both sides, belong to the prompt.
        one_turn: Both sides end with their first message after the prompt.
    """
    success, failure = chosen.trajectory, rejected.trajectory
    end = shared + 1 if one_turn else None
    turns = sum(message["role"] == "assistant" for message in chosen.completion[:shared])
    sides = [_pair_tokens(side, turns, one_turn) for side in (chosen, rejected)]
    if None not in sides and _prompt(sides[0], turns) != _prompt(sides[1], turns):
        sides = [None, None]
    return {
        "prompt": [*chosen.opening, *chosen.completion[:shared]],
        "chosen": chosen.completion[shared:end],
        "rejected": rejected.completion[shared:end],
        # As text: TRL decodes it, and a column of JSON schemas does not survive a table's one type for all rows.
        "tools": json.dumps(success.tools),
        "kind": kind,
        "task": success.task,
        "task_digest": success.task_digest,
        "set": success.set,
        "chosen_id": success.id,
        "rejected_id": failure.id,
        "chosen_policy": success.policy,
        "rejected_policy": failure.policy,
        "chosen_policy_version": success.policy_version,
        "rejected_policy_version": failure.policy_version,
        "chosen_tokens": sides[0] and _masked(sides[0], turns) if None not in sides else None,
        "rejected_tokens": sides[1] and _masked(sides[1], turns) if None not in sides else None,
    }


def _pair_tokens(side: Side, turns: int, one_turn: bool) -> TokenRow | None:
    """A side's one sequence under the plain prompt, cut behind its first own turn if only that counts."""
    if not has_tokens(side.trajectory):
        return None
    rows = token_rows(side.trajectory, guidance=False)
    if len(rows) != 1 or len(_spans(rows[0])) <= turns:
        return None
    if not one_turn:
        return rows[0]
    row, end = rows[0], _spans(rows[0])[turns][1]
    kept = tuple(span for span in row.turns if span[1] <= end)
    replayed = tuple(span for span in row.replayed if span[1] <= end)
    return TokenRow(row.ids[:end], row.mask[:end], row.logprobs[:end], kept, (), replayed=replayed)


def _spans(row: TokenRow) -> list[tuple[int, int]]:
    return sorted([*row.turns, *row.replayed])


def _prompt(row: TokenRow | None, turns: int) -> Sequence[int]:
    return row.ids[: _spans(row)[turns][0]] if row is not None else ()


def _masked(row: TokenRow, turns: int) -> dict[str, Any]:
    """The row as columns, its mask cleared in the prompt, which both sides share."""
    start = _spans(row)[turns][0]
    columns = row.as_json()
    columns["mask"] = [0] * start + columns["mask"][start:]
    columns["logprobs"] = [0.0] * start + columns["logprobs"][start:]
    columns["turns"] = [span for span in columns["turns"] if span[0] >= start]
    return columns


def length_of(row: Row, side: str) -> int:
    """Sampled tokens of a side where they are known, else characters that the policy wrote."""
    tokens = row.get(f"{side}_tokens")
    return sum(tokens["mask"]) if tokens else len(written(row[side]))


def length_bias(rows: Sequence[Row]) -> dict[str, Any]:
    """How the lengths of the two sides compare: what a trainer would learn of length alone.

    `chosen_longer` is the share of pairs whose chosen side is longer, ties as one half; 0.5 is no bias. `deviations` is
    how many standard deviations of a fair coin that is away from one half.
    """
    if not rows:
        return {"pairs": 0}
    lengths = [(length_of(row, "chosen"), length_of(row, "rejected")) for row in rows]
    longer = sum(1.0 if mine > yours else 0.5 if mine == yours else 0.0 for mine, yours in lengths)
    return {
        "pairs": len(rows),
        "unit": "tokens" if all(row.get("chosen_tokens") for row in rows) else "characters",
        "chosen_mean": round(sum(mine for mine, _ in lengths) / len(rows), 1),
        "rejected_mean": round(sum(yours for _, yours in lengths) / len(rows), 1),
        "chosen_longer": round(longer / len(rows), 4),
        "deviations": round((longer - len(rows) / 2) / (math.sqrt(len(rows)) / 2), 2),
    }


def balanced(rows: Sequence[Row], drops: Drops) -> list[Row]:
    """As many pairs with a longer as with a shorter chosen side; the most unequal ones of the surplus are left out."""

    def ratio(row: Row) -> float:
        return math.log((1 + length_of(row, "chosen")) / (1 + length_of(row, "rejected")))

    longer = [row for row in rows if ratio(row) > 0]
    shorter = [row for row in rows if ratio(row) < 0]
    more, fewer = (longer, shorter) if len(longer) > len(shorter) else (shorter, longer)
    surplus = sorted(more, key=lambda row: (-abs(ratio(row)), row["chosen_id"]))[: len(more) - len(fewer)]
    for row in surplus:
        drops.add(BALANCE, row["chosen_id"])
    out = {id(row) for row in surplus}
    return [row for row in rows if id(row) not in out]
