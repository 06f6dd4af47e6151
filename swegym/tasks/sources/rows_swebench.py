"""Rows of SWE-bench (full, Lite, Verified), in their classic shape and in that of version 5, and of SWE-Gym.

The classic row has thirteen fields at most; version 5 adds image, eval_script, log_parser and eval_type. The folder of
one task in version 5's layout (task.yaml, tests.json, gold.patch, test.patch, eval.sh ...) reads as such a row.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from swegym.errors import InputError
from swegym.tasks.sources import fields
from swegym.tasks.sources.fields import Row

START, END = ">>>>> Start Test Output", ">>>>> End Test Output"
_ACTIVATES = re.compile(r"(source|\.)\s+\S*\bactivate(\s+[\w./-]+)?$|conda\s+activate(\s+[\w./-]+)?$")
_FILES = {
    "patch": "gold.patch",
    "test_patch": "test.patch",
    "eval_script": "eval.sh",
    "problem_statement": "problem_statement.md",
}


def matches(row: Row) -> bool:
    return {"instance_id", "base_commit", "patch", "test_patch"} <= row.keys()


def recipe(row: Row, place: str) -> dict[str, Any]:
    """The fields of a recipe."""
    script = fields.text(row, place, "eval_script", default="")
    return {
        "origin": "swe-bench-5" if script else "swe-bench",
        "package": fields.filled(row, place, "repo"),
        "version": fields.text(row, place, "version", default=""),
        "base_commit": fields.filled(row, place, "base_commit"),
        "created": fields.moment(row, place, "created_at"),
        "issue": fields.filled(row, place, "problem_statement"),
        "patch": fields.filled(row, place, "patch"),
        "test_patch": fields.filled(row, place, "test_patch"),
        "failing": fields.names(row, place, "FAIL_TO_PASS"),
        "passing": fields.names(row, place, "PASS_TO_PASS"),
        "only_failures": fields.text(row, place, "eval_type", default="") == "fail_only",
        "image": fields.text(row, place, "image", "image_name", "docker_image", default="") or None,
        "command": test_command(script),
        "activate": activation(script) or None,
        "parser": fields.text(row, place, "log_parser", default="") or None,
    }


def identity(row: Row, place: str) -> str:
    return fields.filled(row, place, "instance_id")


def test_command(script: str) -> str | None:
    """The line between the markers of an evaluation script, if there is exactly one."""
    if START not in script or END not in script:
        return None
    inside = script.split(START, 1)[1].split(END, 1)[0]
    lines = [line.strip() for line in inside.split("\n")[1:-1]]
    kept = [line for line in lines if line and not line.startswith(("SWEBENCH_", "set ", "#", "rc=", ": "))]
    return kept[0] if len(kept) == 1 else None


def activation(script: str) -> str:
    """The lines before the tests that activate an environment, in their order."""
    lines = (line.strip() for line in script.partition(START)[0].split("\n"))
    return "\n".join(line for line in lines if _ACTIVATES.match(line))


def read_folder(folder: Path) -> dict[str, Any]:
    """One task of version 5's layout as a row. Raises `InputError` for a file that is missing or damaged."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise InputError(f"{folder}: reading task.yaml needs PyYAML. Install it: pip install pyyaml.") from None
    try:
        row = yaml.safe_load((folder / "task.yaml").read_text("utf-8"))
        tests = json.loads((folder / "tests.json").read_text("utf-8"))
        if not isinstance(row, dict) or not isinstance(tests, dict):
            raise InputError(f"{folder}: task.yaml and tests.json must hold an object each. Correct them.")
        for name, file in _FILES.items():
            with (folder / file).open(encoding="utf-8", newline="") as stream:  # a patch keeps its line ends
                row[name] = stream.read()
    except FileNotFoundError as error:
        raise InputError(f"{folder}: {Path(error.filename).name} is missing. Add it.") from None
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder}: cannot be read: {error}. Correct the file.") from None
    return {**row, **tests, "instance_id": row.get("instance_id", folder.name)}
