"""Typed configs: a pydantic class per file, unknown keys refused, dotted overrides, and a TOML form that runs again."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from swegym.errors import InputError


class Config(pydantic.BaseModel):
    """Base of every config and file model."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=pydantic.BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; broken syntax or encoding is an `InputError` with the file and line."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}. Correct the file at that place.") from None


def validate(model: type[Model], data: Any, origin: str | Path) -> Model:
    """Check `data` against `model`; the first bad field is reported as FILE: field = value: problem."""
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "(whole file)"
        problem = first["msg"].removeprefix("Value error, ")
        problem = problem[0].lower() + problem[1:]
        if first["type"] == "extra_forbidden":
            remedy = f"Remove it, or use one of: {', '.join(model.model_fields)}."
        elif first["type"] == "missing":
            remedy = "Add it."
        else:
            remedy = "Correct the value."
        more = len(error.errors()) - 1
        remedy += f" ({more} more problem{'s' if more > 1 else ''} there.)" if more else ""
        if first["type"] == "missing":
            raise InputError(f"{origin}: {field} is missing. {remedy}") from None
        raise InputError.at(origin, field, first.get("input"), problem, remedy) from None


def load(model: type[Model], path: Path, overrides: Iterable[str] = ()) -> Model:
    """Read a TOML file, apply `a.b=value` overrides (values as TOML, else as text), and validate."""
    data = read_toml(path)
    for override in overrides:
        set_dotted(data, override)
    return validate(model, data, path)


def set_dotted(data: dict[str, Any], override: str) -> None:
    """Apply one `a.b=value` to nested dicts in place; the value is TOML or, failing that, plain text."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise InputError(f"--set {override!r}: expected KEY=VALUE, e.g. --set limits.turns=20.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise InputError(f"--set {override!r}: {parent} is a plain value, so nothing can be set below it.")
    data[last] = value


def to_toml(data: dict[str, Any], prefix: str = "") -> str:
    """Write nested plain data (None is left out) as TOML that `read_toml` reads back."""
    lines: list[str] = []
    tables: list[str] = []
    for key, value in data.items():
        name = key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)
        if isinstance(value, dict):
            path = f"{prefix}{name}"
            tables.append(f"\n[{path}]\n" + to_toml(value, path + "."))
        elif value is not None:
            lines.append(f"{name} = {_toml_value(value)}\n")
    return "".join(lines) + "".join(tables)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml_value(v)}" for k, v in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
