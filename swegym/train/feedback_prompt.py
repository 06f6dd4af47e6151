"""The teacher's prompt of self-distillation: the task, and behind its opening what is known of an attempt.

Student and teacher are one network. The teacher's row is the student's with the ids of one more message put in where
the template would show it, behind the opening and before the first reply; everything after it is the same ids. What
the feedback says is `swegym.data.feedback`'s: of the environment, of a successful sibling, or a critique.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from swegym.data.feedback import feedback_message
from swegym.policies.hf_load import end_tokens, tokenizer_mark
from swegym.policies.hf_prompt import Prompter
from swegym.policies.hf_template import ChatTemplate
from swegym.policies.tool_calls import format_of
from swegym.train.batch import Row
from swegym.types import Message, ToolSchema, Trajectory


class FeedbackPrompt:
    """Makes teacher's rows for one model.

    Args:
        model: A transformers model, for the tokens that end a turn.
        tokenizer: Its tokenizer, with a chat template.
        longest: Tokens that a teacher's row may have.
        source: A chat template that is used instead of the tokenizer's own, as by the policy that sampled.
    """

    def __init__(self, model: Any, tokenizer: Any, longest: int, *, source: str | None = None) -> None:
        takes_tools = format_of(source or tokenizer.chat_template or "") != "text"
        template = ChatTemplate(tokenizer, "the model in training", takes_tools=takes_tools, source=source)
        self._prompter = Prompter(template, end_tokens(model, tokenizer), tokenizer_mark(tokenizer))
        self._longest = longest

    def rows(self, rows: Sequence[Row], trajectory: Trajectory, feedback: str) -> tuple[Row, ...] | None:
        """Each row with the feedback in its prompt.

        None where that cannot be: a row does not begin with the attempt's opening, as after eliding, or grows too long.
        """
        found = self.inserted(trajectory, feedback)
        if found is None:
            return None
        before, ids = found
        made = []
        for row in rows:
            at = len(before)
            if len(row) + len(ids) > self._longest or row.ids[:at].tolist() != list(before) or row.mask[:at].any():
                return None
            made.append(
                replace(
                    row,
                    ids=np.concatenate([row.ids[:at], np.asarray(ids, dtype=np.int32), row.ids[at:]]),
                    mask=np.concatenate([row.mask[:at], np.zeros(len(ids), dtype=np.bool_), row.mask[at:]]),
                    logprobs=None,
                    name=f"{row.name}, with feedback",
                )
            )
        return tuple(made)

    def inserted(self, trajectory: Trajectory, feedback: str) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The ids before the feedback, and those of it."""
        opening: list[Message] = []
        for message in trajectory.messages:
            if message["role"] == "assistant":
                break
            if message.get("extra", {}).get("source") != "guidance":
                opening.append(message)
        tools: list[ToolSchema] = list(trajectory.tools)
        prompt = self._prompter.prompt([*opening, feedback_message(feedback)], tools, self._longest)
        if prompt is None or prompt.span is None or prompt.added is not None:
            return None
        start, end = prompt.span
        return prompt.ids[:start], prompt.ids[start:end]
