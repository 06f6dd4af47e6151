"""A row set: the rows of one kind, and an account of every attempt that gave none."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swegym.errors import InputError
from swegym.rollout.folder import write_atomically

Row = dict[str, Any]

EXAMPLES = 5  # ids kept for each reason


@dataclass(frozen=True, slots=True)
class RowSet:
    """Rows, and what did not become one.

    `dropped` counts attempts (or pairs) by reason, `examples` names the first few of each. `notes` holds what else is
    worth knowing of the set, such as its length bias.
    """

    kind: str
    rows: tuple[Row, ...]
    dropped: Counter[str]
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def write(self, path: Path) -> None:
        """Write parquet where the name says so, else JSONL; the file is whole or not there."""
        if path.suffix == ".parquet":
            from swegym.data.parquet import write_parquet

            if not self.rows and self.dropped:
                why = ", ".join(f"{count} {reason}" for reason, count in self.dropped.most_common())
                raise InputError(f"{path}: no rows, so no columns. Not used: {why}. Write .jsonl for an empty file.")
            write_parquet(path, _readable(self.rows))
        else:
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in _readable(self.rows)))

    def report(self) -> dict[str, Any]:
        """The drop report, as JSON."""
        return {
            "kind": self.kind,
            "rows": len(self.rows),
            "tasks": len({row["task"] for row in self.rows if "task" in row}),
            "dropped": dict(self.dropped.most_common()),
            "examples": {reason: list(ids) for reason, ids in self.examples.items()},
            **self.notes,
        }


def _readable(rows: Sequence[Row]) -> Sequence[Row]:
    """Rows whose texts UTF-8 can carry, as a file's readers expect: records hold halves of surrogate pairs as well."""
    written = json.dumps(rows, ensure_ascii=False)
    try:
        written.encode()
        return rows
    except UnicodeEncodeError:
        found: list[Row] = json.loads(written.encode("utf-8", "replace"))
        return found


class Drops:
    """The account as it is written: why, and of which attempt."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._examples: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, id: str) -> None:
        self.counts[reason] += 1
        if len(self._examples[reason]) < EXAMPLES:
            self._examples[reason].append(id)

    def add_all(self, reasons: Mapping[str, int]) -> None:
        """Counts of what has no id, such as lines that cannot be read."""
        self.counts.update(reasons)

    def row_set(self, kind: str, rows: Sequence[Row], **notes: Any) -> RowSet:
        examples = {reason: tuple(ids) for reason, ids in self._examples.items()}
        return RowSet(kind, tuple(rows), self.counts, examples, notes)
