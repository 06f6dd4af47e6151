"""Where things lie. No other module joins these paths by hand.

$SWEGYM_HOME (default: the user's cache folder)
├── layers/<sha256>/           one read-only directory tree per layer, by content
├── keys/<sha256>.json         build input -> layer digest, so that nothing is built twice
├── downloads/<sha256>-<name>  source archives
├── packages/                  what workshops have downloaded and built; uv's cache, used by nothing else
├── used/<sha256>             touched when a layer is used; how large it is
├── images/<name>.json         which layer is the base image of this name
├── tasks/<set>/<id>/          built tasks: task.json, gold.patch, hidden/, pristine.git/
├── integrity/<sha256>.json    what the reference fix of a task answers to the grader's questions; private
├── integrity/<digest>.gate    lock of a task: its tests and its questions never run side by side
├── redteam/NAME.jsonl        what attacks came to, so that a campaign can go on; see swegym/redteam/journal.py
├── answers/<sha256>.json      what models answered to teachers, by request
├── snapshots/<id>/          frozen layers of snapshots, kept while something uses them
└── machines/<lease>/          running sandboxes, one folder per owning process; swept when it is dead

runs/<name>/                   see swegym/rollout/folder.py
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def home() -> Path:
    """The store; SWEGYM_HOME moves it. It must lie on ext4, xfs, btrfs or tmpfs, which can carry overlay layers."""
    chosen = os.environ.get("SWEGYM_HOME")
    return Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_cache_dir("swegym"))


def layers() -> Path:
    return home() / "layers"


def keys() -> Path:
    return home() / "keys"


def used() -> Path:
    return home() / "used"


def downloads() -> Path:
    return home() / "downloads"


def packages() -> Path:
    return home() / "packages"


def images() -> Path:
    return home() / "images"


def built_tasks() -> Path:
    return home() / "tasks"


def integrity() -> Path:
    return home() / "integrity"


def redteam_journal(name: str) -> Path:
    return home() / "redteam" / f"{name}.jsonl"


def machines() -> Path:
    return home() / "machines"


def answers() -> Path:
    return home() / "answers"


def snapshots() -> Path:
    return home() / "snapshots"


def data_folders(kind: str) -> list[Path]:
    """Folders in which to look for `kind` ("tasks", "envs", "images"), first match wins.

    SWEGYM_PATH (colon-separated) comes first, then the checkout this package runs from, then what the wheel carries.
    """
    extra = [Path(part) / kind for part in os.environ.get("SWEGYM_PATH", "").split(":") if part]
    shipped = [_PACKAGE.parent / kind, _PACKAGE / "_data" / kind]
    return [folder for folder in [*extra, *shipped] if folder.is_dir()]
