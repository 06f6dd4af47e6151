"""Harbor's folders (task.toml, instruction.md, environment/, tests/, solution/), and Terminal-Bench's older ones.

Those made from a row of the SWE-bench family carry it in tests/config.json, and it is used, with the published image
that the folder is built on: `docker_image` of task.toml, or the one that its Dockerfile starts from. Others are judged
by a script of their own that runs as root, with a network, in a container as their Dockerfile builds it. No list of
tests is in them, so there is nothing that a grader here could decide by; they are refused with what they lack.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from swegym.errors import InputError

FILE, OLD_FILE = "task.toml", "task.yaml"
ROW = Path("tests", "config.json")
_FROM = re.compile(r"^FROM\s+(?:--platform=\S+\s+)?(\S+)", re.MULTILINE | re.IGNORECASE)
_EXPECTED = {
    "instruction.md": "the task's text",
    "tests/test.sh": "its verifier",
    "environment/Dockerfile": "its image",
}


def is_old(folder: Path) -> bool:
    """Whether a folder with a task.yaml is Terminal-Bench's, and not one of SWE-bench 5."""
    return (folder / ROW).is_file() and not (folder / "tests.json").is_file()


def read_folder(folder: Path) -> dict[str, Any]:
    """The row of one folder; its instruction.md is the issue text where the row has none."""
    described: dict[str, Any] = {}
    if (folder / FILE).is_file():
        try:
            described = tomllib.loads((folder / FILE).read_text("utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{folder / FILE}: cannot be read: {error}. Correct the file.") from None
    if not (folder / ROW).is_file():
        raise InputError(_without_a_row(folder))
    try:
        row = json.loads((folder / ROW).read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / ROW}: cannot be read: {error}. Correct the file.") from None
    if not isinstance(row, dict):
        raise InputError(f"{folder / ROW}: holds a {type(row).__name__}, not a row. Correct the file.")
    instruction = folder / "instruction.md"
    if not row.get("problem_statement") and instruction.is_file():
        row["problem_statement"] = instruction.read_text("utf-8", "replace")
    image = _image(folder, described)
    return {**({"image": image} if image else {}), "instance_id": folder.name, **row}


def _image(folder: Path, described: dict[str, Any]) -> str | None:
    """The published image that the folder's own is built on; None where it has stages, and so is another one."""
    environment = described.get("environment")
    named = environment.get("docker_image") if isinstance(environment, dict) else None
    if named is not None:
        if not isinstance(named, str) or not named:
            raise InputError.at(folder / FILE, "environment.docker_image", named, "must be a reference", "Correct it.")
        return named
    for place in (folder / "environment" / "Dockerfile", folder / "Dockerfile"):
        if place.is_file():
            found = _FROM.findall(place.read_text("utf-8", "replace"))
            return found[0] if len(found) == 1 and "$" not in found[0] else None
    return None


def _without_a_row(folder: Path) -> str:
    missing = [f"{name} ({what})" for name, what in _EXPECTED.items() if not (folder / name).is_file()]
    if missing and (folder / FILE).is_file():
        return f"{folder}: {', '.join(missing)} missing, and no {ROW}. Is the folder whole?"
    return (
        f"{folder}: no {ROW} that lists the tests which decide, only a script that judges the container which it runs "
        "in. Run it with Harbor; what swegym can import are folders made of SWE-bench rows."
    )
