"""Where the repositories of a set of rows lie on this machine: noted in the set's folder, never part of a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from swegym.errors import InputError, TaskError
from swegym.images import store
from swegym.tasks import checkout

FILE = "clones.json"


def note_clones(set_folder: Path, clones: dict[str, Path]) -> None:
    """Remember where repositories lie on this machine. Raises `InputError` for what is no repository."""
    for clone in clones.values():
        checkout.directory(clone)
    known = {**_noted(set_folder), **{name: str(clone.absolute()) for name, clone in clones.items()}}
    store.write_atomically(set_folder / FILE, json.dumps(known, indent=1, sort_keys=True).encode())


def clone_of(set_folder: Path, package: str) -> Path:
    """The clone of owner/name. Raises `TaskError`, which says how to name one."""
    noted = _noted(set_folder).get(package)
    if noted is None or not Path(noted).is_dir():
        raise TaskError(
            f"no clone of {package} is known here. Clone it, and name it: "
            f"swegym tasks build {set_folder} --clone {package}=DIR"
        )
    return Path(noted)


def found_clones(folder: Path, packages: Iterable[str]) -> dict[str, Path]:
    """Those of the repositories that lie below a folder, under one of the names that people give to clones."""
    found: dict[str, Path] = {}
    for package in packages:
        owner, _, name = package.partition("/")
        for candidate in (f"{owner}/{name}", f"{owner}__{name}", f"{owner}+{name}", f"{owner}-{name}", name):
            for place in (folder / candidate, folder / f"{candidate}.git", folder / candidate / "repo"):
                try:
                    checkout.directory(place)
                except InputError:
                    continue
                found.setdefault(package, place)
    return found


def _noted(set_folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((set_folder / FILE).read_text("utf-8")))
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, ValueError) as error:
        raise InputError(
            f"{set_folder / FILE}: cannot be read: {error}. Remove it and name the clones again."
        ) from None
