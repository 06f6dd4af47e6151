"""Rows of nebius' SWE-rebench and SWE-rebench-V2: SWE-bench's fields, and `install_config`, which a model wrote.

Of the configuration, interpreter, requirements, install lines, command and parser are taken over as `[build]`; what
names a conda package or an apt-get line is left out, for nothing here runs as root.
"""

from __future__ import annotations

from typing import Any

from swegym.errors import InputError
from swegym.tasks.sources import fields, rows_swebench
from swegym.tasks.sources.fields import Row


def matches(row: Row) -> bool:
    return "install_config" in row and rows_swebench.matches(row)


def recipe(row: Row, place: str) -> dict[str, Any]:
    language = fields.text(row, place, "language", default="python").lower()
    if language not in ("", "python"):
        raise InputError.at(place, "language", language, "only Python rows can be built", "Leave this row out.")
    config = fields.table(row, place, "install_config")
    python = str(config.get("python") or "")
    commands = config.get("test_cmd")
    command = commands[-1] if isinstance(commands, list) and commands else commands
    build: dict[str, Any] = {
        "python": ".".join(python.split(".")[:2]) or None,
        "requirements": _listed(config, place, "pip_packages"),
        "requirement_files": _listed(config, place, "reqs_path") or None,
        "environment": {str(name): str(value) for name, value in (config.get("env_vars") or {}).items()},
        "command": f"{command} {{files}}" if isinstance(command, str) and command else None,
    }
    parser = config.get("log_parser")
    return {
        **rows_swebench.recipe(row, place),
        "origin": "swe-rebench",
        "parser": parser if isinstance(parser, str) and parser.startswith("parse_log_pytest") else None,
        "build": {name: value for name, value in build.items() if value},
    }


def identity(row: Row, place: str) -> str:
    return rows_swebench.identity(row, place)


def _listed(config: dict[str, Any], place: str, name: str) -> tuple[str, ...]:
    value = config.get(name)
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    return fields.names(config, f"{place}: install_config", name)
