"""Gymnasium environments that wrap a sandboxed repository per task.

    import gymnasium, swegym

    env = gymnasium.make("swegym/PyPI-v0")
    messages, info = env.reset(options={"task": "sqlparse-0.5.1-0.5.2"})

Importing registers the ids of `envs/*.toml` and nothing else: no network, no model library, no sandbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swegym.registration import register_envs

if TYPE_CHECKING:
    from swegym.env import EpisodeLimits, SWEEnv
    from swegym.text import TextAction

__version__ = "0.1.0"
__all__ = ["EpisodeLimits", "SWEEnv", "TextAction", "register_envs"]

_LAZY = {"EpisodeLimits": "swegym.env", "SWEEnv": "swegym.env", "TextAction": "swegym.text"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'swegym' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


register_envs()
