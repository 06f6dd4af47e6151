"""The `recorded` teacher: hints from a file, written by anybody, looked up by task.

JSON lines: `task`, any of `plan`, `environment_feedback`, `interaction`, and optionally `attempt`, which makes the hint
one for that attempt only. A trajectories.jsonl works too: its hints are given again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swegym.config import Config
from swegym.errors import InputError
from swegym.guidance.message import PARTS
from swegym.guidance.sight import Question
from swegym.messages import lines_of
from swegym.types import Guidance

Key = tuple[str, int | None]


class RecordedOptions(Config):
    file: Path
    """JSON lines of hints."""
    privileged: bool = True
    """Whether who wrote them may have seen the fix; it is noted beside each hint."""


def recorded(options: RecordedOptions) -> Mapping[Key, Guidance]:
    """The hints of a file, by task and attempt.

    Raises:
        InputError: The file cannot be read, or a line is no hint.
    """
    try:
        lines = lines_of(options.file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{options.file}: cannot be read: {error}. Give JSON lines of hints.") from None
    found: dict[Key, Guidance] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        origin = f"{options.file}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{origin}: not JSON: {error}. Write one object a line.") from None
        if not isinstance(row, dict) or not isinstance(row.get("task"), str):
            raise InputError(f"{origin}: no task. Write an object with `task` and parts: {', '.join(PARTS)}.")
        guidance = _guidance(row, options.privileged, origin)
        if guidance is not None:
            attempt = row.get("attempt")
            found[row["task"], attempt if isinstance(attempt, int) else None] = guidance
    return found


def _guidance(row: dict[str, Any], privileged: bool, origin: str) -> Guidance | None:
    kept = row.get("guidance", row)  # of a trajectory, its hint; None where it had none
    if kept is None:
        return None
    parts = kept.get("parts", kept)
    said = {name: parts[name] for name in PARTS if parts.get(name)}
    wrong = next((name for name, text in said.items() if not isinstance(text, str)), None)
    if wrong is not None:
        raise InputError.at(origin, wrong, said[wrong], "is no text", "Write a sentence or leave it out.")
    if not said:
        raise InputError(f"{origin}: says nothing. Give at least one of: {', '.join(PARTS)}.")
    return Guidance("recorded", said, privileged)


def look_up(hints: Mapping[Key, Guidance], question: Question) -> Guidance | None:
    task = question.task.id
    return hints.get((task, question.attempt.attempt)) or hints.get((task, None))
