"""Rows as parquet, with one type for each column over all rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swegym.errors import InputError


def write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows to `path`, which is whole or not there.

    Raises:
        InputError: There is no row to take the columns from, or pyarrow is missing.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(f"{path}: parquet needs pyarrow. Run `pip install 'swegym[data]'`, or write .jsonl.") from None
    if not rows:
        raise InputError(
            f"{path}: no rows, so parquet would have no columns. See why rows were dropped, or write .jsonl."
        )
    temporary = path.with_name(path.name + ".new")
    try:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
