"""A plain function as reward, for loops in the style of verl: the patch that a model wrote, judged by the hidden tests.

    reward = make_reward("demo")
    reward(data_source="swegym", solution_str=text, ground_truth="sqlparse-0.5.1-0.5.2")

Such loops score finished text: there is no episode, only a diff somewhere in the text. The same function serves as a
reward function of TRL by `many`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from swegym.adapters.episode import open_env
from swegym.errors import GraderError
from swegym.grading import judge
from swegym.types import Verdict

# Also one without an end, which is none: an expression that fails there would begin again at each of thousands.
_FENCED = re.compile(r"^```(?:diff|patch)?[ \t]*\n(.*?)(^```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_START = re.compile(r"^(?:diff --git |--- )", re.MULTILINE)


class PatchReward:
    """Callable as verl's `compute_score`: 1.0 or 0.0.

    Args:
        tasks: A Gymnasium id, or a task set's name or folder.
        unjudged: Reward where nobody could judge, which is no 0.0; None raises `GraderError` instead.
        jobs: Patches judged at once by `many`.
        overrides: Keywords of `SWEEnv`.
    """

    def __init__(self, tasks: str, *, unjudged: float | None = None, jobs: int = 4, **overrides: Any) -> None:
        env: Any = open_env(tasks, **overrides)
        self._tasks, self._grader, self._open = env.tasks, env.grader, env.open_sandbox
        self._unjudged = unjudged
        self._jobs = jobs

    def __call__(
        self,
        data_source: str = "",
        solution_str: str = "",
        ground_truth: str = "",
        extra_info: Any = None,
        **other: Any,
    ) -> float:
        """The reward of `solution_str` for the task whose id is `ground_truth`, or `extra_info["task"]`."""
        task = (extra_info or {}).get("task") or ground_truth
        verdict = self.verdict(task, patch_in(solution_str))
        if verdict.reward is not None:
            return verdict.reward
        if self._unjudged is None:
            raise GraderError(f"task {task} was not judged: {verdict.reason}. Hand in unjudged=0.5 or so to train on.")
        return self._unjudged

    def verdict(self, task: str, patch: str) -> Verdict:
        """What the env's grader says of a patch, in a sandbox of its own."""
        return judge(self._grader, self._tasks.load(task), patch, self._open)

    def many(self, completions: Sequence[Any], task: Sequence[str], **other: Any) -> list[float]:
        """Rewards of several completions, texts or lists of messages; `task` has an id for each."""
        texts = [one if isinstance(one, str) else str(one[-1].get("content") or "") for one in completions]
        with ThreadPoolExecutor(self._jobs) as threads:
            return list(threads.map(lambda text, name: self("", text, name), texts, task))


def make_reward(tasks: str, **options: Any) -> PatchReward:
    return PatchReward(tasks, **options)


def patch_in(text: str) -> str:
    """The diff in a text: in the last fenced block with one, else from where one begins. Empty if there is none."""
    blocks = [block for block, end in _FENCED.findall(text) if end and _START.search(block)]
    found = blocks[-1] if blocks else text
    start = _START.search(found)
    if start is None:
        return ""
    patch = found[start.start() :]
    return patch if patch.endswith("\n") else patch + "\n"
