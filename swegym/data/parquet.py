"""Rows as parquet, with one type for each column over all rows.

A column whose values have no one type, such as tool schemas or the arguments of any tool, is JSON text.
"""

from __future__ import annotations

import json
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
        raise InputError(f"{path}: no rows, so no columns. Write .jsonl for an empty file.")
    names = dict.fromkeys(name for row in rows for name in row)
    table = pyarrow.table({name: _column([row.get(name) for row in rows]) for name in names})
    temporary = path.with_name(path.name + ".new")
    try:
        pyarrow.parquet.write_table(table, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _column(values: list[Any]) -> Any:
    import pyarrow

    try:
        column = pyarrow.array(values)
        if not _has_empty_struct(column.type):
            return column
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError):
        pass  # its values have no one type
    return pyarrow.array([None if value is None else json.dumps(value) for value in values])


def _has_empty_struct(kind: Any) -> bool:
    """Whether a type holds a struct without fields, which parquet cannot write."""
    import pyarrow

    if pyarrow.types.is_struct(kind):
        return kind.num_fields == 0 or any(
            _has_empty_struct(kind.field(place).type) for place in range(kind.num_fields)
        )
    return bool(pyarrow.types.is_list(kind)) and _has_empty_struct(kind.value_type)
