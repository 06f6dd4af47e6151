"""verifiers: a taskset of a swegym set, and the env that plays it, for its evaluations and for prime-rl.

Its plugins are top-level modules, so yours has three lines, and its name is the id:

    from swegym.adapters.verifiers import RepositoryEnv, RepositoryTaskset

    __all__ = ["RepositoryEnv", "RepositoryTaskset"]

The env plays the user: each reply of the model is one step, read as `swegym.TextAction` reads text, and what the env
answers comes back as the next user turn. The verdict is the reward; an episode that nobody could judge is an error
of theirs, which they retry and never count as a zero.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf

from swegym.adapters.episode import ToolEpisode, open_env
from swegym.errors import GraderError
from swegym.text import HOW_TO_CALL, as_text, describe_tools, parse_action

__all__ = ["RepositoryEnv", "RepositoryTaskset"]


class RepositoryData(vf.TaskData):
    tasks: str
    """A Gymnasium id, or a task set's name or folder."""
    turns: int | None = None


class RepositoryConfig(vf.TasksetConfig):
    tasks: str = "demo"
    """A Gymnasium id, or a task set's name or folder."""
    turns: int | None = None
    """Turns of an episode at most; the env's own number if left out."""


class RepositoryTask(vf.Task[RepositoryData]):
    pass


class RepositoryTaskset(vf.Taskset[RepositoryTask, RepositoryConfig]):
    def load(self) -> Iterator[RepositoryTask]:
        for name in open_env(self.config.tasks).get_wrapper_attr("tasks").ids:
            data = RepositoryData(id=name, name=name, tasks=self.config.tasks, turns=self.config.turns)
            yield RepositoryTask(data, self.config.task)


class RepositoryEnvConfig(vf.EnvConfig):
    player: vf.AgentConfig = vf.AgentConfig()


class RepositoryEnv(vf.Env[RepositoryEnvConfig]):
    async def run(self, task: Any, agents: Any) -> None:
        data = task.data
        limits = {"turns": data.turns} if data.turns else {}
        episode = ToolEpisode(open_env(data.tasks, limits=limits))
        try:
            opening = as_text(await asyncio.to_thread(episode.reset, data.id))
            tools = describe_tools(episode.env.get_wrapper_attr("tool_schemas"))
            async with agents.player.interaction(task) as interaction:
                said = await interaction.turn(f"{opening}\n\n{tools}\n\n{HOW_TO_CALL}")
                while not said.terminated:
                    answers = await asyncio.to_thread(episode.step, parse_action(said.last_reply))
                    if episode.over:
                        break
                    said = await interaction.turn(as_text(answers))
            if not interaction.trace.ok:
                return  # the model's server or program failed, which is on the trace and no zero
            reward = await asyncio.to_thread(episode.finish)
            if reward is None:
                reason = episode.verdict.reason if episode.verdict is not None else "it never began"
                raise GraderError(f"task {data.id} was not judged: {reason}. Try it again.")
            interaction.trace.record_reward("resolved", reward)
        finally:
            await asyncio.to_thread(episode.close)
