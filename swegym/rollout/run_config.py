"""`RunConfig`: everything that decides a run. Saved resolved as config.toml, which runs again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from swegym.config import Config
from swegym.env import EpisodeLimits
from swegym.errors import InputError, UnknownName
from swegym.guidance import TRIGGERS, make_trigger
from swegym.rollout.redaction import refuse_secrets
from swegym.sandbox import Limits
from swegym.tools import DEFAULT_TOOLS


class Bounds(Config):
    """How many episodes may be in a phase at once; `jobs` where left out. With run or grade set, tasks worked on at
    the same time are as many as fill both.
    """

    reset: int | None = Field(None, ge=1)
    run: int | None = Field(None, ge=1)
    grade: int | None = Field(None, ge=1)


class RunConfig(Config):
    tasks: str
    """A task set: its name or its folder."""
    patterns: tuple[str, ...] = ()
    """Only tasks whose id matches one of these globs; all when empty."""
    limit: int | None = Field(None, ge=1)
    """Only the first so many of them."""
    policy: str
    """Name or import path of the student."""
    policy_options: dict[str, Any] = Field(default_factory=dict)
    """The student's own settings. Never a key or a password: those come from the environment."""
    policy_version: str = ""
    """Names the student's state, e.g. a checkpoint; the model that `policy_options` name if left out."""
    attempts: int = Field(1, ge=1)
    """Plain attempts at each task."""
    guide: str = "never"
    """Which attempts are followed by one with a hint: never, on-failure, all-fail[:K], mostly-fail[:K[:SHARE]] or
    always.
    """
    hint_at: str = "start"
    """Where the hint stands: start (a new attempt from the opening), feedback (behind the failed submission, from which
    the attempt goes on), takeover (behind the turn before its first change), or takeover:N (behind its turn N). Where
    nothing could follow, it stands at the start.
    """
    hint_budget: int | None = Field(None, ge=0)
    """Hints asked for at most, over all starts of the run."""
    hint_share: float = Field(1.0, ge=0, le=1)
    """Of the attempts that the trigger picks, the share that is given a hint; see `swegym.guidance.Schedule`."""
    teacher: str = "oracle"
    """Name or import path of who writes the hints."""
    teacher_options: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    """Decides the seed of every episode."""
    grader: str = "sealed"
    sandbox: str = "bubblewrap"
    sandbox_limits: Limits = Limits()
    limits: EpisodeLimits = EpisodeLimits()
    tools: tuple[str, ...] = tuple(DEFAULT_TOOLS)
    system_prompt: str | None = None
    """None for the env's own."""
    retries: int | None = Field(None, ge=0)
    """At most so many further tries of what could not be judged, in each start; the table of causes says how many."""
    backoff: float = Field(1.0, ge=0, le=100, allow_inf_nan=False)
    """Multiplies the waits between tries."""
    jobs: int = Field(2, ge=1)
    """Tasks worked on at the same time."""
    bounds: Bounds = Bounds()
    """Finer than `jobs`: how many open, run and are graded at the same time."""
    engine: str = "threads"
    """Where episodes run: threads, ray, or the import path of an engine."""
    engine_options: dict[str, Any] = Field(default_factory=dict)
    out: Path
    """The run's folder."""

    @field_validator("guide")
    @classmethod
    def _known_trigger(cls, guide: str) -> str:
        try:
            make_trigger(guide)
        except UnknownName:
            raise ValueError(f"no such trigger; use one of {', '.join(TRIGGERS)}") from None
        except InputError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return guide

    @field_validator("hint_at")
    @classmethod
    def _known_place(cls, hint_at: str) -> str:
        if not re.fullmatch(r"start|feedback|takeover(:\d+)?", hint_at):
            raise ValueError("no such place; use start, feedback, takeover or takeover:N")
        return hint_at

    @property
    def version(self) -> str:
        """What names the student's state in trajectories, so that attempts of two models are never one group."""
        inner = self.policy_options.get("policy_options")  # of the policy that the staged one drives
        named = self.policy_options.get("model") or (inner.get("model") if isinstance(inner, dict) else None)
        return self.policy_version or str(named or "")

    def refuse_secrets(self) -> None:
        """Raise `InputError` for a key among the options; not a validator, because those quote what they refuse."""
        refuse_secrets(self.policy_options, "policy_options")
        refuse_secrets(self.teacher_options, "teacher_options")
        refuse_secrets(self.engine_options, "engine_options")


MAY_CHANGE = frozenset({"jobs", "bounds", "engine", "engine_options", "retries", "backoff", "out"})
"""Fields that decide how a run is carried out, not what it holds: they may differ when it is resumed."""


def first_difference(saved: RunConfig, asked: RunConfig) -> tuple[str, Any, Any] | None:
    """The first field that tells two runs apart, dotted, with both values."""
    before, after = saved.model_dump(mode="json"), asked.model_dump(mode="json")
    for dumped in (before, after):
        for options in ("policy_options", "teacher_options"):
            dumped[options].pop("max_cost", None)  # a budget may be raised
    for name in RunConfig.model_fields:
        if name not in MAY_CHANGE and before[name] != after[name]:
            return _deepest(name, before[name], after[name])
    return None


def _deepest(name: str, before: Any, after: Any) -> tuple[str, Any, Any]:
    if isinstance(before, dict) and isinstance(after, dict):
        key = next(key for key in [*before, *after] if before.get(key) != after.get(key))
        return _deepest(f"{name}.{key}", before.get(key), after.get(key))
    return name, before, after
