"""Gymnasium ids from `envs/*.toml`: one file per id, which only says what goes together.

    id = "swegym/PyPI-v0"
    description = "..."
    tasks = "pypi"               # a task set
    sandbox = "bubblewrap"       # optional, as are all below; names or import paths
    tools = ["bash", "read"]
    grader = "sealed"
    system_prompt = "..."
    [limits]                     # of the episode
    turns = 50
    [sandbox_limits]             # of the machine
    memory_bytes = 2147483648

Importing swegym reads no more than the ids; a file is checked when its id is made. Folders come from SWEGYM_PATH, then
the checkout, then the wheel; the first file with an id wins.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.envs.registration import parse_env_id

from swegym import paths

if TYPE_CHECKING:
    from swegym.env import SWEEnv

_ENTRY_POINT = "swegym.registration:make_env"
_ID_LINE = re.compile(r"""^\s*id\s*=\s*["']([^"'\n]+)["']\s*(?:#.*)?$""", re.MULTILINE)


def env_files() -> dict[str, Path]:
    """The file of every id. One whose id cannot be read is listed as swegym/<file name>, to fail when it is made."""
    files: dict[str, Path] = {}
    for folder in paths.data_folders("envs"):
        for file in sorted(folder.glob("*.toml")):
            files.setdefault(_id_of(file), file)
    return files


def _id_of(file: Path) -> str:
    try:
        found = _ID_LINE.search(file.read_text("utf-8"))
        if found:
            parse_env_id(found[1])
            return found[1]
    except (OSError, UnicodeDecodeError, gymnasium.error.Error):
        pass
    return "swegym/" + re.sub(r"[^\w.-]", "_", file.stem)


def register_envs() -> list[str]:
    """Register every id with Gymnasium, again if need be (after SWEGYM_PATH has changed). Ids of others stay theirs."""
    ids = []
    for identity in env_files():
        registered = gymnasium.registry.get(identity)
        if registered is not None and registered.entry_point != _ENTRY_POINT:
            continue
        gymnasium.registry.pop(identity, None)
        # Real machines are not deterministic; the opening is, for a given seed.
        gymnasium.register(identity, _ENTRY_POINT, nondeterministic=True, kwargs={"env_id": identity})
        ids.append(identity)
    return ids


def make_env(env_id: str, **overrides: Any) -> SWEEnv:
    """The env of an id. Keywords of `SWEEnv` override its file; `limits` and `sandbox_limits` field by field."""
    from pydantic import BaseModel

    from swegym.config import read_toml, validate
    from swegym.env import SWEEnv
    from swegym.envfile import EnvFile
    from swegym.errors import UnknownName

    files = env_files()
    if env_id not in files:
        raise UnknownName.among("env", env_id, files, "Ids come from envs/*.toml and the envs folders of SWEGYM_PATH.")
    file = files[env_id]
    composition = validate(EnvFile, read_toml(file), file)
    arguments = composition.arguments()
    for name in ("limits", "sandbox_limits"):
        given = overrides.pop(name, None)
        fields = given.model_dump() if isinstance(given, BaseModel) else dict(given or {})
        arguments[name] = arguments[name] | fields
    return SWEEnv(**(arguments | overrides))


make_env.metadata = {"render_modes": ["ansi", "human"], "render_fps": 1}  # type: ignore[attr-defined]
