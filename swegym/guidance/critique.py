"""The `critique` teacher: the model reads its own failed attempt and says what it misunderstood.

It sees that the attempt failed, and nothing hidden. Two or three sentences, the third builder of VPD: what the
misconception is, not what the answer is. Successes get none.
"""

from __future__ import annotations

from swegym.guidance.asking import NoHint
from swegym.guidance.completions import Completer, Completes, ModelOptions
from swegym.guidance.llm import declines
from swegym.guidance.sight import Question
from swegym.guidance.visible import told
from swegym.messages import shorten
from swegym.types import Guidance, Message


class CritiqueOptions(ModelOptions):
    attempt_characters: int = 12_000
    """Of the failed attempt, what it reads."""


ROLE = """\
You read a failed attempt to solve a programming problem; it was yours. Say in two or three plain sentences what was
misunderstood about the problem or overlooked in the repository, so that a fresh attempt would not repeat it. Explain
the misunderstanding; do not state a solution and write no code."""


class CritiqueTeacher:
    """Asks the model about its attempt; see the module."""

    def __init__(self, options: CritiqueOptions) -> None:
        self.options = options
        self.completer: Completes = Completer(options)

    def __call__(self, question: Question) -> Guidance | None:
        text = self.critique(question)
        return (
            Guidance(f"critique:{self.options.model}", {"environment_feedback": text}, privileged=False)
            if text
            else None
        )

    def critique(self, question: Question) -> str | None:
        """The sentences, or None for an attempt that did not fail."""
        attempt = question.attempt
        if not attempt.messages or attempt.verdict.resolved is not False:
            return None
        messages: list[Message] = [
            {"role": "system", "content": ROLE},
            {
                "role": "user",
                "content": f"The problem:\n\n{question.task.issue.strip()}\n\n"
                f"The attempt:\n\n{told(attempt, self.options.attempt_characters)}\n\n"
                f"The change it made:\n\n{shorten(attempt.patch, 6000) or 'none'}\n\n"
                f"What became of it: {attempt.verdict.reason}."
                + "".join(f"\n\nAn earlier answer was not accepted: {said}." for said in question.complaints),
            },
        ]
        completion = self.completer.complete(messages, asked=len(question.complaints))
        if completion.refused or declines(completion.text):
            raise NoHint("refused", "the model refused to answer", again=True)
        if not completion.text.strip():
            raise NoHint("nonsense", "the answer was empty", again=True)
        return completion.text.strip()
