"""Critiques by the model in training: it reads its own failed attempts and says what it misunderstood.

The third feedback builder of VPD (papers 3.3). What is asked, and what is no answer, is the `critique` teacher's; who
answers is the sampler of the training run, an engine of this process or a server. Successes get none.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from swegym.errors import InputError, ProviderError
from swegym.guidance import Question
from swegym.guidance.asking import NoHint
from swegym.guidance.completions import Completer, Completion
from swegym.guidance.critique import CritiqueOptions, CritiqueTeacher
from swegym.guidance.sight import seen
from swegym.policies.hf_template import ChatTemplate
from swegym.policies.tool_calls import format_of
from swegym.tasks import load_task_set
from swegym.train.online_config import OnlineConfig
from swegym.train.samples import Group, Sample
from swegym.types import Message, Task


class EngineCompleter:
    """Answers a teacher's request by the engine that samples, as `guidance.completions.Completer` does by a server."""

    def __init__(self, engine: Any, longest: int) -> None:
        self._engine, self._longest = engine, longest
        takes_tools = format_of(engine.tokenizer.chat_template or "") != "text"
        self._template = ChatTemplate(engine.tokenizer, engine.origin, takes_tools=takes_tools)

    def complete(self, messages: list[Message], *, asked: int = 0, schema: Any = None) -> Completion:
        from swegym.policies.hf_engine import Request

        with self._engine.words:
            ids = tuple(self._template.ids(self._template.render(messages, [], reply=True)))
        if len(ids) + self._longest > self._engine.context:
            raise NoHint("failed", "the attempt is longer than the model can read")
        sampled = self._engine.sample(Request(ids, asked, 1.0, self._longest))
        written = sampled.ids[:-1] if sampled.finish == "stop" else sampled.ids
        with self._engine.words:
            return Completion(self._template.decode(written), cut=sampled.finish == "length")


class Critic:
    """Asks the sampler about failed attempts.

    Args:
        config: Of the training run.
        engine: The engine that samples; None where a server does.
        longest: Tokens of an answer.
    """

    def __init__(self, config: OnlineConfig, engine: Any, longest: int) -> None:
        self._jobs = config.jobs
        self._tasks = config.tasks
        model = str(config.policy_options.get("model", config.model))
        options = {"model": model, "max_tokens": longest, "cache": False}
        options |= {"api_base": base} if (base := config.policy_options.get("api_base")) else {}
        self._teacher = CritiqueTeacher(CritiqueOptions.model_validate(options))
        self._teacher.completer = EngineCompleter(engine, longest) if engine else Completer(self._teacher.options)

    def critiques(self, groups: Sequence[Group]) -> dict[str, str]:
        """What is said of each failed plain attempt, by its id; those that nothing came of are missing."""
        tasks = load_task_set(self._tasks)
        asked = [(tasks.load(group.task), one) for group in groups for one in group.plain if one.reward <= 0]
        with ThreadPoolExecutor(self._jobs, "critique") as pool:
            answers = list(pool.map(lambda pair: self._critique(*pair), asked))
        return {one.id: text for (_, one), text in zip(asked, answers, strict=True) if text}

    def _critique(self, task: Task, sample: Sample) -> str | None:
        try:
            return self._teacher.critique(seen(Question(task, sample.trajectory), "verdict"))
        except (NoHint, ProviderError, InputError):
            return None
