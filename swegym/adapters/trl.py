"""TRL: `GRPOTrainer(environment_factory=make_factory("demo"), train_dataset=dataset("demo"))`.

TRL wants a class whose `reset(**row)` begins an episode and whose other public methods are the tools, with types and a
Google docstring, which is what our tools are made from. The class is made for the tools that the env has.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from swegym.adapters.episode import ToolEpisode, open_env, task_rows
from swegym.errors import GraderError
from swegym.text import as_text

PROMPT = "Work in this repository with the tools until the problem is solved, then call submit.\n\n"


def make_factory(tasks: str, *, unjudged: float | None = None, **overrides: Any) -> Callable[[], Any]:
    """What `environment_factory` takes.

    Args:
        tasks: A Gymnasium id, or a task set's name or folder.
        unjudged: Reward of an episode that nobody could judge. TRL knows no such thing, and 0.0 would teach that the
            policy was wrong; None raises instead.
        overrides: Keywords of `SWEEnv`.
    """
    probe = open_env(tasks, **overrides)
    tools = probe.get_wrapper_attr("tools")

    class RepositoryEnvironment:
        def __init__(self) -> None:
            self._episode = ToolEpisode(open_env(tasks, **overrides))

        def reset(self, **row: Any) -> str:
            """Begin an episode on the row's task; what it returns is appended to the row's prompt."""
            return as_text(self._episode.reset(task=row.get("task"), seed=row.get("seed")))

        def get_reward(self) -> float:
            """Submit, if that has not happened, and judge."""
            reward = self._episode.finish()
            verdict = self._episode.verdict
            self._episode.close()
            if reward is not None:
                return reward
            reason = verdict.reason if verdict is not None else "it never began"
            if unjudged is None:
                raise GraderError(f"an episode was not judged: {reason}. Hand in unjudged=0.5 or so to train on.")
            warnings.warn(f"an episode was not judged: {reason}; its reward is {unjudged}", stacklevel=2)
            return unjudged

    for name, tool in tools.items():
        setattr(RepositoryEnvironment, name, _method(name, tool.function))
    return RepositoryEnvironment


def dataset(tasks: str, *, repeat: int = 1, **overrides: Any) -> Any:
    """A `datasets.Dataset` with a prompt and a task in each row."""
    from datasets import Dataset

    return Dataset.from_list(task_rows(open_env(tasks, **overrides), PROMPT) * repeat)


def _method(name: str, function: Callable[..., str]) -> Callable[..., str]:
    """A tool as a method, with the signature that its function has behind the context."""

    def method(self: Any, **arguments: Any) -> str:
        return str(self._episode.call(name, arguments))

    _context, *parameters = inspect.signature(function, eval_str=True).parameters.values()
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    shown: Any = method
    shown.__name__, shown.__qualname__, shown.__doc__ = name, name, inspect.getdoc(function)
    shown.__signature__ = inspect.Signature([me, *parameters], return_annotation=str)
    shown.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": str}
    return method
