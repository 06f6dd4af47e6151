"""Asking: one hint out of a teacher, or why there is none.

The teacher is handed what its level allows. What it says is checked for leaks; a hint that leaks is rejected and, where
that can help, asked for again with the complaint. Every rejection is counted, for the run's report.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swegym.errors import GuidanceError
from swegym.guidance.leaks import find_leaks
from swegym.guidance.message import guidance_message
from swegym.guidance.sight import Question, Sees, seen
from swegym.types import Guidance, Task, Trajectory, Verdict

TRIES = 3  # answers of one teacher to one question
LEAKS = "leaks: "  # how the reason of a rejected leak begins


class NoHint(GuidanceError):
    """A teacher has no hint to give. `outcome`: nonsense, refused, or budget; `again`: whether to ask once more."""

    def __init__(self, outcome: str, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.outcome, self.again = outcome, again

    def __reduce__(self) -> tuple[Callable[..., NoHint], tuple[str, str]]:
        return NoHint, (self.outcome, str(self))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question. `outcome`: given, none, leaked, or that of the last `NoHint`."""

    guidance: Guidance | None
    outcome: str
    reason: str = ""
    asked: int = 1
    rejected: tuple[str, ...] = ()  # for each answer that was not accepted, why


@dataclass(frozen=True, slots=True)
class Tutor:
    """A teacher as runs use it: its level enforced, its hints checked. Callable like any `Teacher`.

    Called, it raises `GuidanceError` where a hint leaks to the end; `ask` never does.
    """

    name: str
    sees: Sees
    teach: Callable[[Question], Guidance | None]
    tries: int = 1  # more than one where asking again can give another answer

    def __call__(
        self, task: Task, trajectory: Trajectory, verdict: Verdict, group: Sequence[Trajectory] = ()
    ) -> Guidance | None:
        judged = dataclasses.replace(trajectory, verdict=verdict)
        answer = self.ask(Question(task, judged, tuple(group)))
        if answer.guidance is None and answer.outcome != "none":
            raise GuidanceError(f"guidance of {self.name!r} for {task.id}: {answer.reason}.")
        return answer.guidance

    def ask(self, question: Question) -> Answer:
        """One hint, or why there is none. A teacher's server that fails raises what it raises."""
        rejected: list[str] = []
        outcome = "none"
        for asked in range(1, self.tries + 1):
            handed = seen(dataclasses.replace(question, complaints=tuple(rejected)), self.sees)
            try:
                guidance = self.teach(handed)
            except NoHint as error:
                outcome = error.outcome
                rejected.append(str(error))
                if error.again:
                    continue
                return Answer(None, outcome, str(error), asked, tuple(rejected))
            if guidance is None:
                return Answer(None, "none", "the teacher had nothing to say", asked, tuple(rejected))
            guidance = dataclasses.replace(guidance, privileged=self.sees == "privileged" or guidance.privileged)
            try:
                guidance_message(guidance)
            except GuidanceError as error:  # it cannot stand in a conversation
                outcome = "nonsense"
                rejected.append(str(error))
                continue
            leaks = find_leaks("\n".join(guidance.parts.values()), question.task)
            if not leaks:
                return Answer(guidance, "given", "", asked, tuple(rejected))
            outcome = "leaked"
            rejected.append(LEAKS + "; ".join(leaks))
        return Answer(None, outcome, rejected[-1], self.tries, tuple(rejected))
