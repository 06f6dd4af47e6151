"""A built task on disk: task.json, gold.patch, hidden/ and pristine.git/ under the store's tasks/<set>/<id>/.

The folder appears whole or not at all. `stamp` says from which recipe, on which kind of machine, it was built; a task
whose stamp is not today's counts as not built.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swegym import paths
from swegym.errors import NotBuilt, TaskError, UnknownName
from swegym.images import store
from swegym.sandbox.base import load_base
from swegym.types import Bait, HiddenTests, Image, OfficialTests, Task, TestSetup

_FORMAT = 1


def folder_of(set_name: str, task: str) -> Path:
    return paths.built_tasks() / set_name / task


def save(task: Task, stamp: str) -> None:
    """Write a task whose `pristine` lies in the store's scratch space (it is moved away); replaces an older build."""
    target = folder_of(task.set, task.id)
    with store.scratch() as scratch:
        staged = scratch / task.id
        (staged / "hidden").mkdir(parents=True)
        for path, data in task.hidden.files.items():
            file = staged / "hidden" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        (staged / "gold.patch").write_bytes(task.gold_patch.encode("utf-8", "surrogateescape"))
        shutil.move(task.pristine, staged / "pristine.git")
        (staged / "task.json").write_text(json.dumps(_record(task, stamp), indent=1, ensure_ascii=True))
        store.flush(staged)
        if target.exists():
            target.rename(scratch / "replaced")
        store.move_into_place(staged, target)


def is_current(set_name: str, task: str, stamp: str) -> bool:
    """Whether the task is built from this very input and all that it stands on is in the store."""
    try:
        record = _read(folder_of(set_name, task))
    except NotBuilt:
        return False
    if record["stamp"] != stamp or not all((paths.layers() / layer).is_dir() for layer in record["image"]["layers"]):
        return False
    try:
        return bool(load_base(record["image"]["base"]))
    except (NotBuilt, UnknownName):
        return False


def load(set_name: str, task: str) -> Task:
    """The task as it was built; whether it is current is for `is_current` to say."""
    folder = folder_of(set_name, task)
    record = _read(folder)
    hidden = record["hidden"]
    return Task(
        id=task,
        set=set_name,
        repo=record["repo"],
        issue=record["issue"],
        image=Image(**{**record["image"], "layers": tuple(record["image"]["layers"])}),
        tests=TestSetup(**_with_tuples(record["tests"])),
        hidden=HiddenTests(
            files={path: (folder / "hidden" / path).read_bytes() for path in hidden["files"]},
            owned=tuple(hidden["owned"]),
            fail_to_pass=tuple(hidden["fail_to_pass"]),
            pass_to_pass=tuple(hidden["pass_to_pass"]),
            official=OfficialTests(**_with_tuples(hidden["official"])) if hidden.get("official") else None,
        ),
        gold_patch=(folder / "gold.patch").read_bytes().decode("utf-8", "surrogateescape"),
        pristine=folder / "pristine.git",
        base_commit=record["base_commit"],
        source=tuple(record["source"]),
        digest=record["digest"],
        bait=None if record.get("bait") is None else Bait(**_with_tuples(record["bait"])),
    )


def _record(task: Task, stamp: str) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "stamp": stamp,
        "repo": task.repo,
        "issue": task.issue,
        "image": {**asdict(task.image), "environment": dict(task.image.environment)},
        "tests": {**asdict(task.tests), "ini": dict(task.tests.ini)},
        "hidden": {
            "files": list(task.hidden.files),
            "owned": task.hidden.owned,
            "fail_to_pass": task.hidden.fail_to_pass,
            "pass_to_pass": task.hidden.pass_to_pass,
            "official": task.hidden.official and asdict(task.hidden.official),
        },
        "base_commit": task.base_commit,
        "source": task.source,
        "digest": task.digest,
        "bait": task.bait and {**asdict(task.bait), "canaries": dict(task.bait.canaries)},
    }


def _read(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / "task.json").read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise NotBuilt(f"task {folder.name} is not built. Run `swegym tasks build {folder.parent.name}`.") from None
    except json.JSONDecodeError as error:
        raise TaskError(
            f"{folder / 'task.json'} is damaged ({error}). Remove {folder} and build the task again."
        ) from None
    if record.get("format") != _FORMAT:
        raise NotBuilt(f"task {folder.name} was built by another version of swegym. Build it again.")
    return dict(record)


def _with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
