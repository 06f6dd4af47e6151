"""Importing: published rows become the recipes of a task set, a file each. Rows with faults are reported and left out.

A set is a folder; importing into one that is there adds rows and replaces those that changed. What a person knows
better than a project's files stands in an overrides file, a table for each pattern of task ids or repositories:

    ["pydicom__pydicom-901"]
    python = "3.6"

    ["psf/*"]
    date = "2016-12-31"
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swegym import config
from swegym.errors import InputError
from swegym.images import store
from swegym.tasks import published
from swegym.tasks.recipe import SetFile, read_set_file
from swegym.tasks.row_recipe import BuildOptions, RowRecipe
from swegym.tasks.sources import rows
from swegym.tasks.sources.rows import Imported

Overrides = dict[str, dict[str, Any]]  # pattern -> fields of `[build]`


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the rows."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    refused: tuple[Imported, ...]  # with the reason

    @property
    def kept(self) -> int:
        return len(self.written) + len(self.unchanged)


def import_rows(
    source: str,
    folder: Path,
    *,
    shape: str = "auto",
    only: Iterable[str] = (),
    limit: int | None = None,
    overrides: Overrides | None = None,
    images: str | None = None,
    on_row: Callable[[Imported], None] = lambda row: None,
) -> ImportReport:
    """Write the rows of a source into the set at `folder`, which is made where it is not there.

    `only` are glob patterns of task ids. `images` says from which image each row is built (`published.spelled`), where
    rows are not built from clones. Raises `InputError` for a source, a folder or an override that cannot be used
    at all; what is wrong with a single row is in the report.
    """
    described = (
        SetFile(name=folder.name, version="1", description=f"Imported from {Path(source).name or source}")
        if (not (folder / "set.toml").is_file())
        else read_set_file(folder / "set.toml")
    )
    if not (folder / "set.toml").is_file() and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty and has no set.toml. Choose another folder with -o.")
    patterns = tuple(only)
    written: list[str] = []
    unchanged: list[str] = []
    refused: list[Imported] = []
    for row in rows.read(source, shape):
        if row.id is not None and patterns and not any(fnmatch.fnmatchcase(row.id, pattern) for pattern in patterns):
            continue
        if limit is not None and len(written) + len(unchanged) >= limit:
            break
        on_row(row)
        if row.recipe is None or row.id is None:
            refused.append(row)
            continue
        recipe = row.recipe
        if images is not None:
            place = published.spelled(images, row.id, recipe.image)
            if place is None:
                remedy = "Say how images are called: --images 'docker://NAME/{docker_id}:latest'."
                refused.append(replace(row, error=InputError(f"{row.place} ({row.id}): names no image. {remedy}")))
                continue
            recipe = recipe.model_copy(update={"build": recipe.build.model_copy(update={"image": place})})
        recipe = overridden(row.id, recipe, overrides or {})
        if not (folder / "set.toml").is_file():
            _write_set(folder, described)
        (written if _write(folder / f"{row.id}.toml", recipe) else unchanged).append(row.id)
    return ImportReport(tuple(written), tuple(unchanged), tuple(refused))


def read_overrides(path: Path) -> Overrides:
    """Read and check an overrides file; what is wrong with it is an `InputError` with file, field and value."""
    data = config.read_toml(path)
    for pattern, fields in data.items():
        if not isinstance(fields, dict):
            remedy = 'Write a table for each pattern, e.g. ["owner/name"].'
            raise InputError.at(path, pattern, fields, "must be a table of build options", remedy)
        config.validate(BuildOptions, fields, f"{path}: [{pattern!r}]")
    return data


def override_set(folder: Path, ids: Iterable[str], overrides: Overrides) -> tuple[str, ...]:
    """Apply overrides to recipes that are there; returns the ids of those that changed."""
    changed = []
    for task in ids:
        file = folder / f"{task}.toml"
        data = config.read_toml(file)
        if data.get("source") != "row":
            continue
        recipe = config.validate(RowRecipe, data, file)
        if _write(file, overridden(task, recipe, overrides)):
            changed.append(task)
    return tuple(changed)


def overridden(task: str, recipe: RowRecipe, overrides: Overrides) -> RowRecipe:
    """The recipe with every table that is meant for it, in the file's order."""
    fields = recipe.build.model_dump(exclude_defaults=True)
    for pattern, more in overrides.items():
        if fnmatch.fnmatchcase(task, pattern) or fnmatch.fnmatchcase(recipe.package, pattern):
            fields |= more
    return recipe.model_copy(update={"build": BuildOptions(**fields)})


def _write_set(folder: Path, described: SetFile) -> None:
    fields = described.model_dump(include={"name", "version", "description"})
    store.write_atomically(folder / "set.toml", config.to_toml(fields).encode())


def _write(file: Path, recipe: RowRecipe) -> bool:
    """Write a recipe; returns whether it differs from what was there."""
    fields = {"source": "row", **recipe.model_dump(mode="json", exclude_defaults=True)}
    text = config.to_toml(fields).encode("utf-8", "replace")
    if file.is_file() and file.read_bytes() == text:
        return False
    store.write_atomically(file, text)
    return True
