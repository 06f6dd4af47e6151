"""One episode behind plain method calls, for loops that call tools instead of passing messages."""

from __future__ import annotations

from typing import Any

import gymnasium

from swegym.policies.messages import call, say
from swegym.types import Message, Verdict


class ToolEpisode:
    """Holds an env; every tool call is one step of it. After the end, calls are answered with a note.

    `reward` is None until the end, and where nobody could judge; `verdict` says why.
    """

    def __init__(self, env: gymnasium.Env[list[Message], Message]) -> None:
        self.env = env
        self.verdict: Verdict | None = None
        self.opening: list[Message] = []
        self.turn = 0
        self.over = True

    @property
    def reward(self) -> float | None:
        return None if self.verdict is None else self.verdict.reward

    def reset(self, task: str | None = None, seed: int | None = None) -> list[Message]:
        """Begin an episode on a task, or on one that the seed chooses; returns the opening messages."""
        options = {"task": task} if task is not None else None
        self.opening, _ = self.env.reset(seed=seed, options=options)
        self.verdict, self.turn, self.over = None, 0, False
        return self.opening

    def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """Carry out one tool call; what the policy reads in answer."""
        return self.step(say("", call(tool, **arguments), turn=self.turn))[-1].get("content", "")

    def step(self, message: Message) -> list[Message]:
        """Carry out one assistant message; the messages that answer it."""
        if self.over:
            return [{"role": "user", "content": "The episode is over."}]
        answers, _, terminated, truncated, info = self.env.step(message)
        self.turn += 1
        if terminated or truncated:
            self.over, self.verdict = True, info["verdict"]
        return answers

    def finish(self) -> float | None:
        """Submit if the policy has not, and return the reward; None where nobody could judge."""
        if not self.over:
            self.call("submit", {})
        return self.reward

    def close(self) -> None:
        self.over = True
        self.env.close()


def open_env(env_id: str, **overrides: Any) -> gymnasium.Env[list[Message], Message]:
    """The env of a Gymnasium id, or of a task set's name or folder."""
    from swegym.env import SWEEnv
    from swegym.registration import env_files, make_env

    return make_env(env_id, **overrides) if env_id in env_files() else SWEEnv(env_id, **overrides)


def task_rows(env: gymnasium.Env[Any, Any], prompt: str = "") -> list[dict[str, Any]]:
    """A row for each task, as data sets of trainers want them: a prompt in chat shape, and the task's id."""
    return [
        {"prompt": [{"role": "user", "content": prompt}] if prompt else [], "task": task}
        for task in env.get_wrapper_attr("tasks").ids
    ]
