"""Predictions: patches that exist already, read strictly from a file, or the reference fixes.

JSON lines, a JSON list, or a JSON object by instance id. Several predictions for one instance are its attempts, in the
file's order, and pass@k is counted over them.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym.errors import InputError
from swegym.tasks import TaskSet


@dataclass(frozen=True, slots=True)
class Prediction:
    """One patch to judge."""

    instance_id: str
    model: str
    patch: str
    attempt: int = 0  # among those for the same instance


def read_predictions(path: Path) -> list[Prediction]:
    """Read a predictions file. A null patch counts as an empty one.

    Raises `InputError` naming the file, the line and the field.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such predictions file. Check the path, or use `gold`.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(
            f"{path}: cannot be read as predictions: {error.strerror}. Name a .jsonl or .json file."
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}. Save the predictions as UTF-8.") from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty. Write one prediction per line: {_EXAMPLE}")
    rows = _rows(path, text)
    if not rows:
        raise InputError(f"{path}: there are no predictions in it. Write one per line: {_EXAMPLE}")
    predictions: list[Prediction] = []
    attempts: Counter[str] = Counter()
    for place, row in rows:
        prediction = _prediction(place, row, attempts)
        attempts[prediction.instance_id] += 1
        predictions.append(prediction)
    return predictions


_EXAMPLE = '{"instance_id": "...", "model_name_or_path": "...", "model_patch": "diff --git ..."}'


def _rows(path: Path, text: str) -> list[tuple[str, Any]]:
    """(place for messages, row) of each prediction in the file."""
    if path.suffix != ".json":
        rows = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    rows.append((f"{path}:{number}", json.loads(line)))
                except (ValueError, RecursionError) as error:
                    raise InputError(
                        f"{path}:{number}: not valid JSON: {error}. Correct or remove that line; was the file cut off?"
                    ) from None
        return rows
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}. If it holds JSON lines, name it .jsonl.") from None
    if isinstance(data, list):
        return [(f"{path}[{index}]", row) for index, row in enumerate(data)]
    if isinstance(data, dict):
        return [
            (f"{path}[{key!r}]", {"instance_id": key, **row} if isinstance(row, dict) else row)
            for key, row in data.items()
        ]
    raise InputError(f"{path}: holds a {type(data).__name__}. Expected a list or an object of predictions.")


def _prediction(place: str, row: Any, attempts: Counter[str]) -> Prediction:
    if not isinstance(row, dict):
        raise InputError(f"{place}: a prediction must be an object, this is {row!r:.80}. Write {_EXAMPLE}")
    for name in ("instance_id", "model_name_or_path", "model_patch"):
        if name not in row:
            raise InputError(f"{place}: {name} is missing; found {', '.join(map(str, row)) or 'nothing'}. Add it.")
    for name, empty in (("instance_id", False), ("model_name_or_path", False), ("model_patch", True)):
        value = row[name]
        if not (isinstance(value, str) and value) and not (empty and value in ("", None)):
            raise InputError.at(place, name, value, "must be text", "Correct the value.")
    name = row["instance_id"]
    return Prediction(name, row["model_name_or_path"], row["model_patch"] or "", attempts[name])


def gold_predictions(task_set: TaskSet) -> list[Prediction]:
    """The reference patch of each built task."""
    return [Prediction(name, "gold", task_set.load(name).gold_patch) for name in task_set]
