"""What an `envs/*.toml` may say. The fields are those of `SWEEnv`; a field that is left out keeps its default there."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from swegym.config import Config
from swegym.env import EpisodeLimits
from swegym.sandbox import Limits
from swegym.tools import DEFAULT_TOOLS


class EnvFile(Config):
    id: str
    """Gymnasium's: namespace/Name-vN. Changed behaviour is a new N."""
    tasks: str
    """A task set: its name, or the path of its folder."""
    description: str = ""
    sandbox: str = "bubblewrap"
    tools: tuple[str, ...] = Field(DEFAULT_TOOLS, min_length=1)
    grader: str = "sealed"
    system_prompt: str | None = None
    limits: EpisodeLimits = EpisodeLimits()
    sandbox_limits: Limits = Limits()

    def arguments(self) -> dict[str, Any]:
        """Keywords of `SWEEnv`, limits as plain dicts of what the file sets."""
        return {
            "tasks": self.tasks,
            "sandbox": self.sandbox,
            "tools": self.tools,
            "grader": self.grader,
            "system_prompt": self.system_prompt,
            "limits": self.limits.model_dump(exclude_unset=True),
            "sandbox_limits": self.sandbox_limits.model_dump(exclude_unset=True),
        }
