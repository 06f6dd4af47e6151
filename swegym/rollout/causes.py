"""The table of causes: what follows from an attempt that nobody could judge, by whose doing that was.

The only place that says so. Whole runs, batch evaluation and pairs ask it; `docs/concepts.md` shows it. Only `agent`
has a reward. Everything else enters no rate and no training data, and every start of a run tries it again; within one
start it is tried again where it may pass by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from swegym.types import Cause


@dataclass(frozen=True, slots=True)
class Treatment:
    """What follows from one cause."""

    means: str
    retries: int = 0  # tries after the first, in one start of a run
    wait: float = 0.0  # seconds before the first of them; each further one waits twice as long
    longest: float = 60.0  # seconds that no wait exceeds
    graded: bool = False  # a reward stands for it, and it enters rates
    trains: bool = False  # it may become training data


CAUSES: Mapping[Cause, Treatment] = {
    "agent": Treatment("what the policy did was wrong or not enough", graded=True, trains=True),
    "task": Treatment("the task cannot be built, opened or judged, whatever the patch"),
    "sandbox": Treatment("a machine did not open, or died", retries=2, wait=1.0),
    "provider": Treatment("the server of a model or a teacher failed", retries=4, wait=2.0),
    "grader": Treatment("taking out, applying or judging the patch failed", retries=2, wait=1.0),
    "us": Treatment("a bug of swegym, of a policy's or of an env's code"),
}


class Judged(Protocol):
    """A verdict, or anything with its outcome."""

    @property
    def resolved(self) -> bool | None: ...
    @property
    def cause(self) -> Cause | None: ...


def enters_rates(verdict: Judged) -> bool:
    """Whether a reward stands for this outcome; if not, a resumed run tries it again."""
    return verdict.resolved is not None and (verdict.cause is None or CAUSES[verdict.cause].graded)


def may_train(verdict: Judged) -> bool:
    """Whether an attempt with this outcome may become training data."""
    return verdict.resolved is not None and (verdict.cause is None or CAUSES[verdict.cause].trains)


def try_again(verdict: Judged, tried: int, most: int | None = None) -> bool:
    """Whether an outcome that has come `tried` times calls for one more try; `most` is the user's own limit."""
    if enters_rates(verdict) or verdict.cause is None:
        return False
    allowed = CAUSES[verdict.cause].retries
    return tried <= (allowed if most is None else min(allowed, most))


def wait_before(verdict: Judged, tried: int) -> float:
    """Seconds to wait before the next try."""
    if verdict.cause is None:
        return 0.0
    treatment = CAUSES[verdict.cause]
    return float(min(treatment.wait * 2 ** (tried - 1), treatment.longest))
