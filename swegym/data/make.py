"""The kinds of data there are, by name, each made with the options that concern it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pydantic

from swegym.config import Config
from swegym.data.attempts import Attempts
from swegym.data.feedback import BUILDERS
from swegym.data.formats import make_atif, make_messages, make_predictions
from swegym.data.groups import make_groups
from swegym.data.guards import Guards
from swegym.data.kto import make_kto
from swegym.data.pairs import make_pairs
from swegym.data.reward import make_reward, make_reward_pairs
from swegym.data.rows import RowSet
from swegym.data.sft import SHARE, make_sft
from swegym.data.steps import make_steps
from swegym.errors import UnknownName


class MakeOptions(Config):
    """What decides the rows besides the attempts."""

    seed: int = 0
    """Decides what is drawn."""
    share: float = pydantic.Field(SHARE, gt=0, le=1)
    """sft: of the successes."""
    guided: Literal["drop", "strip", "keep"] = "drop"
    """sft: whether guided successes are taken, and with their hint or without."""
    until: Literal["turn", "end"] = "turn"
    """steps: where a side ends."""
    per_success: int = pydantic.Field(1, ge=1)
    """reward-pairs: failures for each success."""
    feedback: tuple[str, ...] = tuple(BUILDERS)
    """groups: kinds of feedback, the preferred one first."""

    @pydantic.field_validator("feedback")
    @classmethod
    def _known_feedback(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [kind for kind in kinds if kind not in BUILDERS]
        if unknown:
            raise ValueError(f"no feedback named {unknown[0]!r}; use {', '.join(BUILDERS)}")
        return kinds


Maker = Callable[[Attempts, MakeOptions, Guards], RowSet]

KINDS: dict[str, Maker] = {
    "pairs": lambda a, o, g: make_pairs(a.trajectories, o.seed, guards=g),
    "steps": lambda a, o, g: make_steps(a.trajectories, until=o.until, guards=g),
    "sft": lambda a, o, g: make_sft(a.trajectories, o.seed, share=o.share, guided=o.guided, guards=g),
    "reward": lambda a, o, g: make_reward(a.trajectories, guards=g),
    "reward-pairs": lambda a, o, g: make_reward_pairs(a.trajectories, o.seed, per_success=o.per_success, guards=g),
    "kto": lambda a, o, g: make_kto(a.trajectories, guards=g),
    "groups": lambda a, o, g: make_groups(a.trajectories, feedback=o.feedback, guards=g),
    "messages": lambda a, o, g: make_messages(a.trajectories, guards=g),
    "atif": lambda a, o, g: make_atif(a.trajectories),
    "predictions": lambda a, o, g: make_predictions(a.trajectories),
}
RECORDS = frozenset({"atif", "predictions"})
"""Kinds that are no training data: nothing is refused."""


def make(kind: str, attempts: Attempts, options: MakeOptions | None = None, guards: Guards | None = None) -> RowSet:
    """The rows of one kind; lines that could not be read are on the account too."""
    if kind not in KINDS:
        raise UnknownName.among("kind of data", kind, KINDS)
    made = KINDS[kind](attempts, options or MakeOptions(), guards or Guards())
    made.dropped.update(attempts.unread)
    return made
