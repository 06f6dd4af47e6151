"""`Record`: watches an env and has the trajectory when the episode is over. The outermost wrapper."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, SupportsFloat

import gymnasium
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import TimeLimit

from swegym.errors import InputError, RunError, SwegymError, cause_of
from swegym.messages import in_shape
from swegym.tasks.bait import took_bait
from swegym.types import Guidance, Message, Task, ToolSchema, Trajectory, Verdict

_Env = gymnasium.Env[list[Message], Message]


class Record(gymnasium.Wrapper[list[Message], Message, list[Message], Message], RecordConstructorArgs):
    """Passes an env through and keeps what happened. `trajectory` is the record of the last finished episode.

    `reset(options={...})` takes two more keys, which only end up in the record: `attempt` (0, 1, ...) and `parent` (id
    of the attempt that this one retries). `seconds`: reset, policy (the time between steps), tools, grade.
    """

    records_conversation = True  # GuidanceWrapper looks for it

    def __init__(self, env: _Env, *, policy: str = "", policy_version: str = "") -> None:
        RecordConstructorArgs.__init__(self, policy=policy, policy_version=policy_version)
        super().__init__(env)
        refuse_time_limit(env)
        self.policy = policy
        self.policy_version = policy_version
        self._finished: Trajectory | None = None
        self._wanted: dict[str, Any] = {}
        self._start({}, 0)

    def _start(self, options: dict[str, Any], seed: int) -> None:
        self._finished = None
        self._task: Task | None = None
        self._guidance: Guidance | None = options.get("guidance")
        self._attempt: int = options.get("attempt", 0)
        self._parent: str | None = options.get("parent")
        self._seed = seed
        self._messages: list[Message] = []
        self._info: dict[str, Any] = {}
        self._policy_seconds = 0.0
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._since = time.monotonic()

    @property
    def trajectory(self) -> Trajectory:
        """The record of the episode, once it is over."""
        if self._finished is None:
            raise RunError("the episode is not over, so there is no trajectory yet. Step on until it ends.")
        return self._finished

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[list[Message], dict[str, Any]]:
        options = dict(options or {})
        self._start(options, seed or 0)
        passed_on = {key: value for key, value in options.items() if key not in ("attempt", "parent")}
        opening, self._info = self.env.reset(seed=seed, options=passed_on or None)
        self._task = self.get_wrapper_attr("task")
        self._messages = copy.deepcopy(list(opening))
        self._since = time.monotonic()
        return opening, self._info

    def step(self, action: Message) -> tuple[list[Message], SupportsFloat, bool, bool, dict[str, Any]]:
        self._policy_seconds += time.monotonic() - self._since
        self._messages.append(in_shape(action))
        answers, reward, terminated, truncated, self._info = self.env.step(action)
        self._messages += copy.deepcopy(answers)
        if terminated or truncated:
            self._finished = self._built(self._info["stop_reason"], self._info["patch"], self._info["verdict"])
        self._since = time.monotonic()
        return answers, reward, terminated, truncated, self._info

    def take_over(self, conversation: list[Message], guidance: Guidance) -> None:
        """Go on in a conversation that was had before, with a hint at its end, instead of the one since `reset`."""
        self._messages = copy.deepcopy(conversation)
        self._guidance = guidance
        self._policy_seconds = 0.0
        self._since = time.monotonic()

    def abandoned(self, error: Exception, stop_reason: str, task: Task | None = None) -> Trajectory:
        """The record of an episode that an exception ended: what there is of it, and a verdict of None.

        `task` is needed when the exception came out of `reset`.
        """
        self._policy_seconds += time.monotonic() - self._since if stop_reason == "policy" else 0.0
        self._task = self._task or task
        reason = str(error) if isinstance(error, SwegymError) else f"{type(error).__name__}: {error}"
        self._finished = self._built(stop_reason, "", Verdict(None, cause_of(error), reason))
        return self._finished

    def never_began(self, error: Exception, task: Task, seed: int, options: dict[str, Any]) -> Trajectory:
        """The record of an episode that an exception ended before `reset` was called."""
        self._start(options, seed)
        return self.abandoned(error, "error", task)

    def _built(self, stop_reason: str, patch: str, verdict: Verdict) -> Trajectory:
        if self._task is None:
            raise RunError("no episode has begun. Call reset() first.")
        tools: list[ToolSchema] = self.get_wrapper_attr("tool_schemas")
        trajectory = Trajectory(
            id=trajectory_id(self._task.id, self._attempt, guided=self._guidance is not None),
            task=self._task.id,
            set=self._task.set,
            task_digest=self._task.digest,
            attempt=self._attempt,
            policy=self.policy,
            policy_version=self.policy_version,
            seed=self._seed,
            messages=tuple(self._messages),
            tools=tuple(tools),
            patch=patch,
            verdict=verdict,
            stop_reason=stop_reason,
            seconds={"reset": 0.0, "tools": 0.0, "grade": 0.0}
            | self._info.get("seconds", {})
            | {"policy": self._policy_seconds},
            guidance=self._guidance,
            parent=self._parent,
            created=self._created,
        )
        if self._task.bait is None:
            return trajectory
        return replace(trajectory, bait=took_bait(trajectory, self._task))


def trajectory_id(task: str, attempt: int, *, guided: bool) -> str:
    return f"{task}__{attempt}{'g' if guided else ''}"


def refuse_time_limit(env: gymnasium.Env[Any, Any]) -> None:
    """Gymnasium's own step limit would cut an episode before it is graded; only the outermost env knows of it."""
    limited = env.spec is not None and env.spec.max_episode_steps is not None
    layer = env
    while isinstance(layer, gymnasium.Wrapper):
        limited = limited or isinstance(layer, TimeLimit)
        layer = layer.env
    if limited:
        raise InputError(
            "this env has a Gymnasium TimeLimit, which would end episodes without grading them. "
            "Leave max_episode_steps out and set limits.turns of the env instead."
        )
