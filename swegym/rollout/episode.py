"""`rollout()`: one policy, one task, one episode, one trajectory."""

from __future__ import annotations

from typing import Any

import gymnasium

from swegym.errors import GuidanceError, SandboxUnavailable, SwegymError
from swegym.rollout.record import Record, refuse_time_limit
from swegym.types import Guidance, Message, Policy, Task, ToolSchema, Trajectory


def rollout(
    env: gymnasium.Env[list[Message], Message],
    policy: Policy,
    *,
    task: str,
    seed: int,
    guidance: Guidance | None = None,
    attempt: int = 0,
    parent: str | None = None,
) -> Trajectory:
    """Drive an episode to its end. `env` is a SWEEnv, wrapped in `Record` or not; a hint needs a `GuidanceWrapper`.

    When the task, the machine, a model's server or the grader fails, the trajectory says so: `verdict.resolved` is None
    and `verdict.cause` names it. Wrong input and bugs raise.
    """
    refuse_time_limit(env)
    record = env if isinstance(env, Record) else Record(env)
    options: dict[str, Any] = {"task": task, "attempt": attempt, "parent": parent}
    if guidance is not None:
        if not env.has_wrapper_attr("takes_guidance"):
            raise GuidanceError("a hint needs an env that takes one: Record(GuidanceWrapper(env)).")
        options["guidance"] = guidance
    tools: list[ToolSchema] = record.get_wrapper_attr("tool_schemas")
    at = "error"
    try:
        messages, _ = record.reset(seed=seed, options=options)
        over = False
        while not over:
            at = "policy"
            message = policy(list(messages), tools)
            at = "error"
            answers, _, terminated, truncated, _ = record.step(message)
            messages = [*messages, message, *answers]
            over = terminated or truncated
    except SandboxUnavailable:
        raise  # no episode will ever run here
    except SwegymError as error:
        loaded = _loaded(record, task)
        if error.cause == "us" or loaded is None:
            raise
        return record.abandoned(error, at, loaded)
    return record.trajectory


def _loaded(record: Record, task: str) -> Task | None:
    """The task that was asked for, if the env got as far as loading it."""
    loaded: Task | None = record.get_wrapper_attr("task")
    return loaded if loaded is not None and loaded.id == task else None
