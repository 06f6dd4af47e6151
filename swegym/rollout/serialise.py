"""A trajectory as one line of JSON and back. Lone surrogates and control characters survive; nothing else is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

from swegym.errors import InputError, RunError
from swegym.spaces import ROLES
from swegym.types import Cause, Guidance, Trajectory, Verdict

FORMAT = "swegym-trajectory-1"
_FIELDS = tuple(field.name for field in fields(Trajectory))
_VERDICT = tuple(field.name for field in fields(Verdict))
_LATER = ("tampering", "compatible", "integrity")
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("id", "task", "set", "task_digest", "policy", "policy_version", "patch", "stop_reason"), str),
    **dict.fromkeys(("messages", "tools"), list),
    **dict.fromkeys(("verdict", "seconds"), dict),
    **dict.fromkeys(("attempt", "seed"), int),
    "created": str,
    "guidance": dict | None,
    "parent": str | None,
}
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
        _check(row)
        verdict, guidance = row["verdict"], row["guidance"]
        values = {name: row[name] for name in _FIELDS if name != "bait"} | {
            "bait": None if row.get("bait") is None else tuple(row["bait"]),
            "messages": tuple(row["messages"]),
            "tools": tuple(row["tools"]),
            "verdict": _verdict(verdict),
            "guidance": guidance and Guidance(**{name: guidance[name] for name in _GUIDANCE}),
        }
        return Trajectory(**values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise RunError(f"{origin}: not a trajectory ({problem}). Move that line out of the file.") from None


def _check(row: Mapping[str, Any]) -> None:
    """Raise TypeError for a part of another kind: who reads trajectories relies on these, whoever wrote the file."""
    for name, kinds in _KINDS.items():
        if not isinstance(row[name], kinds):
            raise TypeError(f"{name} is {row[name]!r:.60}")
    verdict = row["verdict"]
    if type(verdict["resolved"]) not in (bool, type(None)) or verdict["cause"] not in (None, *get_args(Cause)):
        raise TypeError(f"verdict.resolved is {verdict['resolved']!r:.60} and its cause {verdict['cause']!r:.60}")
    for name in ("notes", "tampering"):
        if not _is_list_of(verdict.get(name, []), str):
            raise TypeError(f"verdict.{name} is {verdict[name]!r:.60}")
    if not all(type(value) in (int, float) for value in row["seconds"].values()):
        raise TypeError(f"seconds is {row['seconds']!r:.60}")
    hint = row["guidance"]
    if hint is not None and not _is_list_of([*hint["parts"], *hint["parts"].values(), hint["teacher"]], str):
        raise TypeError(f"guidance is {hint!r:.60}")
    for number, message in enumerate(row["messages"]):
        if not _is_shaped(message):
            raise TypeError(f"message {number} is {message!r:.60}")


def _is_shaped(message: Any) -> bool:
    """Whether a message has the parts of one; their texts may be any, also ones that UTF-8 cannot carry."""
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        return False
    calls = message.get("tool_calls") or []
    return (
        isinstance(message.get("content"), str | None)
        and isinstance(message.get("extra", {}), dict)
        and _is_list_of(calls, dict)
        and all(isinstance(call.get("id"), str) and isinstance(call.get("function"), dict) for call in calls)
        and all(isinstance(call["function"].get(part), str) for call in calls for part in ("name", "arguments"))
    )


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _verdict(row: dict[str, Any]) -> Verdict:
    """A verdict as it was written; rows of an older swegym lack what later ones say besides."""
    values = {name: row[name] for name in _VERDICT if name in row or name not in _LATER}
    return Verdict(**values | {"notes": tuple(row["notes"]), "tampering": tuple(row.get("tampering", ()))})
