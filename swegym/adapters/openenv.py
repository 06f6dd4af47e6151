"""OpenEnv: a server whose sessions are swegym episodes, for its clients and for the trainers that use those.

    uvicorn --factory my_app:make      # with: def make(): return create_app("demo")

An action is an assistant message in OpenAI's shape, or the name of a tool and its arguments; an observation holds the
messages that answer it. Rewards are None until the end, and stay None where nobody could judge.
"""

from __future__ import annotations

from typing import Any

from openenv.core.env_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State
from pydantic import Field

from swegym.adapters.episode import ToolEpisode, open_env
from swegym.errors import InputError
from swegym.policies.messages import call, say


class RepositoryAction(Action):
    """One of `message` and `tool`."""

    message: dict[str, Any] | None = Field(None, description="An assistant message in OpenAI's shape")
    tool: str | None = Field(None, description="The name of a tool")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Its arguments")


class RepositoryObservation(Observation):
    messages: list[dict[str, Any]] = Field(default_factory=list, description="The opening, or what answers the action")
    tools: list[dict[str, Any]] = Field(default_factory=list, description="OpenAI's `tools`; with the opening only")
    verdict: dict[str, Any] | None = Field(None, description="At the end: resolved, cause and reason")


class RepositoryEnvironment(Environment[RepositoryAction, RepositoryObservation, State]):
    """One episode at a time; sessions have one each, in sandboxes of their own."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, tasks: str, **overrides: Any) -> None:
        super().__init__()
        self._episode = ToolEpisode(open_env(tasks, **overrides))
        self._state = State()

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, task: str | None = None, **other: Any
    ) -> RepositoryObservation:
        if other:
            raise InputError(f"reset: unknown {', '.join(sorted(other))}. Known: seed, episode_id, task.")
        opening = self._episode.reset(task=task, seed=seed)
        self._state = State(episode_id=episode_id, step_count=0)
        tools = self._episode.env.get_wrapper_attr("tool_schemas")
        return RepositoryObservation(messages=[dict(message) for message in opening], tools=tools)

    def step(self, action: RepositoryAction, timeout_s: float | None = None, **other: Any) -> RepositoryObservation:
        if (action.message is None) == (action.tool is None):
            raise InputError("action: give either a message or a tool.")
        message: Any = action.message
        if action.tool is not None:
            message = say("", call(action.tool, **action.arguments), turn=self._episode.turn)
        answers = self._episode.step(message)
        self._state.step_count = self._episode.turn
        verdict = self._episode.verdict
        shown = verdict and {"resolved": verdict.resolved, "cause": verdict.cause, "reason": verdict.reason}
        return RepositoryObservation(
            messages=[dict(answer) for answer in answers],
            done=self._episode.over,
            reward=self._episode.reward,
            verdict=shown,
        )

    @property
    def state(self) -> State:
        return self._state

    def close(self) -> None:
        self._episode.close()


def create_app(tasks: str, *, sessions: int = 8, **overrides: Any) -> Any:
    """A FastAPI app over a Gymnasium id, or a task set's name or folder; `overrides` are keywords of `SWEEnv`."""
    return create_fastapi_app(
        lambda: RepositoryEnvironment(tasks, **overrides),
        RepositoryAction,
        RepositoryObservation,
        max_concurrent_envs=sessions,
    )
