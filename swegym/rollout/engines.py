"""Engines: where the episodes of a run are carried out. The run itself, its folder and its order stay in one process.

An engine is handed one episode at a time by each of the run's threads and returns its trajectory. "threads" carries it
out on the spot; "ray" on some node of a cluster. Your own is an import path: a class with the methods of `Engine`.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium

from swegym.errors import GuidanceError, InputError, SandboxUnavailable, SwegymError, UnknownName
from swegym.guidance import GuidanceWrapper
from swegym.policies import make_policy
from swegym.rollout.branch import Branch, rollout_branch
from swegym.rollout.episode import rollout
from swegym.rollout.record import Record
from swegym.rollout.run_config import RunConfig
from swegym.types import Guidance, Message, Task, ToolSchema, Trajectory

MakeEnv = Callable[[], gymnasium.Env[list[Message], Message]]

ENGINES = {
    "threads": "swegym.rollout.threads:ThreadsEngine",
    "ray": "swegym.rollout.ray_engine:RayEngine",
}


class Stopped(Exception):
    """The run is being stopped."""


@dataclass(frozen=True, slots=True)
class Order:
    """One episode to carry out."""

    task: str
    attempt: int
    seed: int
    guidance: Guidance | None = None
    parent: str | None = None
    branch: Branch | None = None  # whose turns are taken over, if the hint does not stand at the start


class Engine(Protocol):
    """Carries out episodes; any thread may call it. Made from the config, what makes an env, and what says stop."""

    def __init__(self, config: RunConfig, make_env: MakeEnv, stop: threading.Event) -> None: ...

    @staticmethod
    def threads(config: RunConfig) -> int:
        """How many episodes the run hands over at once."""
        ...

    def episode(self, order: Order, task: Task) -> Trajectory:
        """The record of an episode, whatever became of it. Raises `Stopped`, and errors that concern the whole run."""
        ...

    def close(self) -> None:
        """End every episode that runs, and free what they use."""
        ...


def find_engine(name: str) -> type[Engine]:
    """An engine's class by name or by import path."""
    module, separator, attribute = ENGINES.get(name, name).partition(":")
    if not separator:
        raise UnknownName.among("engine", name, ENGINES, "Or give an import path: my_package.engine:MyEngine.")
    try:
        found: type[Engine] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"engine = {name!r}: cannot be imported: {error}. Check the path.") from error
    return found


def recorded(env: gymnasium.Env[Any, Any], config: RunConfig) -> Record:
    """An env as a run uses it: with hints where the run has some, and with a recorder outside."""
    guided = GuidanceWrapper(env, training=config.guide != "never")
    return Record(guided, policy=config.policy, policy_version=config.version)


def carry_out(env: Record, config: RunConfig, order: Order, task: Task, check: Callable[[], None]) -> Trajectory:
    """One episode in `env`. `check` is called before each turn and may raise to stop."""
    options = {"attempt": order.attempt, "parent": order.parent, "guidance": order.guidance}
    try:
        policy = make_policy(config.policy, task, seed=order.seed, options=config.policy_options)
    except InputError:
        raise  # its options are wrong, and will be for every episode
    except Exception as error:
        return env.never_began(error, task, order.seed, options)

    def ask(messages: list[Message], tools: list[ToolSchema]) -> Message:
        check()
        return policy(messages, tools)

    try:
        if order.branch is not None and order.guidance is not None:
            try:
                return rollout_branch(env, ask, order.branch, order.guidance, seed=order.seed, number=order.attempt)
            except GuidanceError:
                env.close()  # nothing can follow there: the hint stands at the start
        return rollout(
            env,
            ask,
            task=order.task,
            seed=order.seed,
            guidance=order.guidance,
            attempt=order.attempt,
            parent=order.parent,
        )
    except (SwegymError, Stopped) as error:
        lost = isinstance(error, SwegymError) and error.cause != "us" and not isinstance(error, SandboxUnavailable)
        if order.branch is not None and lost:
            return env.abandoned(error, "error", task)
        raise
    except Exception as error:  # the boundary of an episode: a bug in a policy or in us is a record, not a crash
        return env.abandoned(error, "error", task)
    finally:
        env.close()
