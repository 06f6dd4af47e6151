"""Secrets: kept out of a run's folder. Refused in options, blotted out of everything else that is written.

A secret is the value of a variable of this process's environment whose name says so (OPENAI_API_KEY, HF_TOKEN ...).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from swegym.errors import InputError

BLOT = "[secret]"
SHORTEST = 8  # characters; shorter values are too common to be told from ordinary text
_NAME = re.compile(
    r"(^|[_-])(api[_-]?key|access[_-]?key|secret|token|password|passwd|credentials?|authorization|bearer)($|[_-])", re.I
)
_VALUE = re.compile(r"^(sk-|ghp_|github_pat_|hf_|xox[abp]-|Bearer\s)\S{12,}|^AKIA[A-Z0-9]{12,}|://[^/\s:@]+:[^/\s@]+@")


def secret_values() -> tuple[str, ...]:
    """Values of secret-looking variables of the environment, longest first."""
    found = {value for name, value in os.environ.items() if _NAME.search(name) and len(value) >= SHORTEST}
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def redact(text: str) -> str:
    """`text` with every secret of the environment blotted out, also where JSON has escaped it."""
    for value in secret_values():
        text = text.replace(value, BLOT).replace(json.dumps(value)[1:-1], BLOT)
    return text


def refuse_secrets(options: Mapping[str, Any], field: str) -> None:
    """Raise `InputError` for an option that is named like a secret, looks like one, or is one of the environment."""
    known = secret_values()
    for name, value in _leaves(options, field):
        last = name.rpartition(".")[2]
        named = isinstance(value, str) and _NAME.search(last) and not last.lower().endswith("_env")
        if named or (isinstance(value, str) and (_VALUE.search(value) or value in known)):
            raise InputError(
                f"{name}: looks like a secret, and options are written to the run's folder. "
                "Leave it out and set the provider's environment variable (such as OPENAI_API_KEY) instead."
            )


def _leaves(value: Any, name: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{name}.{key}")]
    if isinstance(value, list | tuple):
        return [leaf for number, inner in enumerate(value) for leaf in _leaves(inner, f"{name}[{number}]")]
    return [(name, value)]
