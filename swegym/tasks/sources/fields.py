"""Reading the fields of somebody's row: each by name and type, and what is wrong is said with row, field and value."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

from swegym.errors import InputError

Row = Mapping[str, Any]


def text(row: Row, place: str, *names: str, default: str | None = None) -> str:
    """The first of these fields that the row has, as text; null and absence give the default, where there is one."""
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InputError.at(place, name, value, "must be text", "Correct the row.")
        return value
    if default is not None:
        return default
    raise InputError(f"{place}: {names[0]} is missing. Found: {', '.join(map(str, row)) or 'nothing'}.")


def filled(row: Row, place: str, *names: str) -> str:
    """As `text`, and it must not be empty."""
    value = text(row, place, *names)
    if not value.strip():
        raise InputError.at(place, names[0], value, "must not be empty", "Correct the row.")
    return value


def names(row: Row, place: str, *fields: str, required: bool = True) -> tuple[str, ...]:
    """A list of names: a list of text, or JSON text of one, as many published rows have it."""
    for name in fields:
        if row.get(name) is None:
            continue
        value = decoded(row[name], place, name)
        if hasattr(value, "tolist"):  # parquet gives arrays
            value = value.tolist()
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise InputError.at(place, name, row[name], "must be a list of names, or JSON text of one", "Correct it.")
        return tuple(value)
    if required:
        raise InputError(f"{place}: {fields[0]} is missing. Found: {', '.join(map(str, row)) or 'nothing'}.")
    return ()


def table(row: Row, place: str, *fields: str) -> dict[str, Any]:
    """An object, or JSON text of one; empty where the row has none."""
    for name in fields:
        if row.get(name) in (None, ""):
            continue
        value = decoded(row[name], place, name)
        if not isinstance(value, dict):
            raise InputError.at(place, name, row[name], "must be an object, or JSON text of one", "Correct the row.")
        return value
    return {}


def decoded(value: Any, place: str, name: str) -> Any:
    """JSON text decoded; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise InputError.at(place, name, value, f"is text, and no JSON ({error})", "Correct the row.") from None


def moment(row: Row, place: str, *fields: str) -> str:
    """A point in time as ISO text; empty where the row has none. Numbers are seconds, dates are taken as they are."""
    for name in fields:
        value = row.get(name)
        if value in (None, ""):
            continue
        if isinstance(value, datetime.datetime | datetime.date):
            return value.isoformat()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.datetime.fromtimestamp(value, datetime.UTC).isoformat()
        try:
            datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError:
            raise InputError.at(place, name, value, "must be a date", "Correct the row.") from None
        return str(value)
    return ""
