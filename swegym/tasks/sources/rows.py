"""Rows: published task sets of the SWE-bench family read from a file, a folder or the hub, each row on its own.

One small module per shape (`rows_*.py`) says whether a row is of that shape, what its task is called, and which fields
its recipe has. To add a shape, write such a module and name it in `SHAPES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym import config
from swegym.errors import InputError, UnknownName
from swegym.tasks.row_recipe import RowRecipe
from swegym.tasks.sources import (
    rows_harbor,
    rows_multi,
    rows_r2e,
    rows_rebench,
    rows_smith,
    rows_swebench,
)
from swegym.tasks.sources.fields import Row

HUB = "hub:"
_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape of rows."""

    matches: Callable[[Row], bool]
    identity: Callable[[Row, str], str]
    recipe: Callable[[Row, str], dict[str, Any]]


# In the order in which a row is tried when its shape is not named.
SHAPES: dict[str, Shape] = {
    name: Shape(module.matches, module.identity, module.recipe)
    for name, module in {
        "r2e-gym": rows_r2e,
        "multi-swe-bench": rows_multi,
        "swe-smith": rows_smith,
        "swe-rebench": rows_rebench,
        "swe-bench": rows_swebench,
    }.items()
}


@dataclass(frozen=True, slots=True)
class Imported:
    """One row: its task's id and recipe, or why it is left out."""

    place: str  # where it stood, for messages
    id: str | None
    recipe: RowRecipe | None
    error: InputError | None = None


def read(source: str, shape: str = "auto") -> Iterator[Imported]:
    """Every row of a .json, .jsonl or .parquet file, a folder of tasks or of such files, or "hub:NAME[:SPLIT]".

    What is wrong with one row is in its result; what is wrong with the source as a whole is raised as `InputError`.
    """
    if shape != "auto" and shape not in SHAPES:
        raise UnknownName.among("shape of rows", shape, ("auto", *SHAPES))
    seen: dict[str, str] = {}
    for place, row in _rows(source):
        result = row if isinstance(row, InputError) else _imported(place, row, shape)
        if isinstance(result, InputError):
            yield Imported(place, None, None, result)
        elif result.id in seen:
            twice = InputError.at(place, "instance_id", result.id, f"already at {seen[result.id]}", "Keep one of them.")
            yield Imported(place, result.id, None, twice)
        else:
            seen[result.id or ""] = place
            yield result


def _imported(place: str, row: Any, shape: str) -> Imported | InputError:
    try:
        if not isinstance(row, dict):
            raise InputError(f"{place}: a row must be an object, this is a {type(row).__name__}.")
        chosen = SHAPES[shape] if shape != "auto" else _shape_of(row, place)
        name = chosen.identity(row, place)
        if not _is_file_name(name):
            raise InputError.at(place, "instance_id", name, "must be a plain file name", "Rename it.")
        fields = chosen.recipe(row, place)
        given = {key: value for key, value in fields.items() if value is not None}
        return Imported(place, name, config.validate(RowRecipe, {"source": "row", **given}, f"{place} ({name})"))
    except InputError as error:
        return error


def _shape_of(row: Row, place: str) -> Shape:
    for shape in SHAPES.values():
        if shape.matches(row):
            return shape
    shown = ", ".join(map(str, list(row)[:12])) or "nothing"
    raise InputError(f"{place}: no known shape of row has these fields: {shown}. Known: {', '.join(SHAPES)}.")


def _is_file_name(name: str) -> bool:
    return bool(name) and len(name) < 200 and name[0].isalnum() and not set(name) & set("/\\\0\n")


def _rows(source: str) -> Iterator[tuple[str, Any]]:
    """(place, row or error) of everything in a source."""
    if source.startswith(HUB):
        yield from _hub(source)
        return
    path = Path(source).expanduser()
    if path.is_dir():
        yield from _folder(path)
    elif path.is_file():
        yield from _file(path)
    else:
        raise InputError(f"{source}: no such file or folder. Give rows as .json, .jsonl or .parquet, or hub:NAME.")


def _folder(folder: Path) -> Iterator[tuple[str, Any]]:
    for marker, read_one in (("task.yaml", rows_swebench.read_folder), (rows_harbor.FILE, rows_harbor.read_folder)):
        found = sorted({*folder.glob(marker), *folder.glob(f"*/{marker}"), *folder.glob(f"tasks/*/{marker}")})
        for file in found:
            read_it = rows_harbor.read_folder if rows_harbor.is_old(file.parent) else read_one
            try:
                yield str(file.parent), read_it(file.parent)
            except InputError as error:
                yield str(file.parent), error
        if found:
            return
    files = sorted(file for file in folder.iterdir() if file.suffix in (".json", ".parquet", *_LINES))
    if not files:
        raise InputError(
            f"{folder}: holds neither tasks (task.yaml, task.toml) nor rows (.json, .jsonl, .parquet). Name another."
        )
    for file in files:
        yield from _file(file)


def _file(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix == ".parquet":
        yield from _parquet(path)
        return
    try:
        content = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}. Save the rows as UTF-8.") from None
    if path.suffix in _LINES:
        for number, line in enumerate(content.split("\n"), 1):
            if line.strip():
                yield f"{path}:{number}", _parsed(line, f"{path}:{number}")
        return
    data = _parsed(content, str(path))
    if isinstance(data, InputError):
        raise data
    if isinstance(data, dict) and not any(shape.matches(data) for shape in SHAPES.values()):
        yield from ((f"{path}[{key!r}]", row) for key, row in data.items())
    else:
        yield from ((f"{path}[{index}]", row) for index, row in enumerate(data if isinstance(data, list) else [data]))


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return InputError(f"{place}: not valid JSON: {error}. Correct or remove it; was the file cut off?")


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise InputError(f"{path}: reading parquet needs pyarrow. Install it: pip install 'swegym[data]'.") from None
    try:
        rows = parquet.read_table(path).to_pylist()
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as parquet: {error}. Download it again.") from None
    yield from ((f"{path}[{index}]", row) for index, row in enumerate(rows))


def _hub(source: str) -> Iterator[tuple[str, Any]]:
    try:
        import datasets
    except ImportError:
        raise InputError(f"{source}: the hub needs datasets. Install it: pip install 'swegym[data]'.") from None
    name, _, split = source.removeprefix(HUB).partition(":")
    try:
        rows = datasets.load_dataset(name, split=split or "test")
    except Exception as error:  # its errors are of a dozen kinds, some of them its dependencies'
        raise InputError(
            f"{source}: the hub gives no such rows: {error}. Or download them and name the file."
        ) from error
    yield from ((f"{source}[{index}]", dict(row)) for index, row in enumerate(rows))
