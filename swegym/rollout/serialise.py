"""A trajectory as one line of JSON and back. Lone surrogates and control characters survive; nothing else is stored."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from swegym.errors import InputError, RunError
from swegym.types import Guidance, Trajectory, Verdict

FORMAT = "swegym-trajectory-1"
_FIELDS = tuple(field.name for field in fields(Trajectory))
_VERDICT = tuple(field.name for field in fields(Verdict))
_LATER = ("tampering", "compatible", "integrity")
_GUIDANCE = tuple(field.name for field in fields(Guidance))


def to_line(trajectory: Trajectory) -> bytes:
    """One line, newline included, plain ASCII.

    Raises:
        InputError: A message holds something that JSON cannot, such as a tensor in `extra`.
    """
    row: dict[str, Any] = {"format": FORMAT} | {name: getattr(trajectory, name) for name in _FIELDS}
    row["seconds"] = dict(trajectory.seconds)
    verdict = {name: getattr(trajectory.verdict, name) for name in _VERDICT}
    maps = {name: dict(verdict[name]) for name in ("statuses", "seconds", "integrity")}
    row["verdict"] = verdict | maps
    if trajectory.guidance is not None:
        hint = {name: getattr(trajectory.guidance, name) for name in _GUIDANCE}
        row["guidance"] = hint | {"parts": dict(trajectory.guidance.parts)}
    try:
        return json.dumps(row).encode("ascii") + b"\n"
    except (TypeError, ValueError) as error:
        raise InputError(
            f"trajectory {trajectory.id}: cannot be written as JSON: {error}. "
            "A policy's messages, `extra` included, must be made of dicts, lists, texts and numbers."
        ) from None


def from_line(line: bytes, origin: str) -> Trajectory:
    """The trajectory of a line; `origin` (file and line number) is named when it is not one."""
    try:
        row = json.loads(line)
        if row["format"] != FORMAT:
            raise RunError(f"{origin}: format = {row['format']!r}, but this swegym reads {FORMAT!r}. Update swegym.")
        verdict, guidance = row["verdict"], row["guidance"]
        values = {name: row[name] for name in _FIELDS if name != "bait"} | {
            "bait": None if row.get("bait") is None else tuple(row["bait"]),
            "messages": tuple(row["messages"]),
            "tools": tuple(row["tools"]),
            "verdict": _verdict(verdict),
            "guidance": guidance and Guidance(**{name: guidance[name] for name in _GUIDANCE}),
        }
        return Trajectory(**values)
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise RunError(f"{origin}: not a trajectory ({problem}). Move that line out of the file.") from None


def _verdict(row: dict[str, Any]) -> Verdict:
    """A verdict as it was written; rows of an older swegym lack what later ones say besides."""
    values = {name: row[name] for name in _VERDICT if name in row or name not in _LATER}
    return Verdict(**values | {"notes": tuple(row["notes"]), "tampering": tuple(row.get("tampering", ()))})
