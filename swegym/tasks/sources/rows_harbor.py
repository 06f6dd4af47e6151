"""Folders with a Harbor `task.toml`. Those made from a SWE-bench row carry it in tests/config.json, and it is used.

Others are judged by a script of their own that runs in a container as it was built; there is no row in them, and they
are reported as such.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from swegym.errors import InputError

FILE = "task.toml"


def read_folder(folder: Path) -> dict[str, Any]:
    """The row of one folder; its instruction.md is the issue text where the row has none."""
    try:
        described = tomllib.loads((folder / FILE).read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / FILE}: cannot be read: {error}. Correct the file.") from None
    config = folder / "tests" / "config.json"
    if not config.is_file():
        raise InputError(
            f"{folder}: no tests/config.json, so its tests are a script that only its own container runs. Use harbor."
        )
    try:
        row = json.loads(config.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{config}: cannot be read: {error}. Correct the file.") from None
    if not isinstance(row, dict):
        raise InputError(f"{config}: holds a {type(row).__name__}, not a row. Correct the file.")
    instruction = folder / "instruction.md"
    if not row.get("problem_statement") and instruction.is_file():
        row["problem_statement"] = instruction.read_text("utf-8")
    image = (described.get("environment") or {}).get("docker_image")
    return {**({"image": image} if isinstance(image, str) else {}), "instance_id": folder.name, **row}
