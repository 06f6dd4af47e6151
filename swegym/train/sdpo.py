"""SDPO, self-distillation: the student learns what its own network predicts when it is told feedback (VP-2, papers 3).

Each sample is scored under the plain prompt and under the prompt with feedback; the student is drawn to the teacher,
which gets no gradient. The teacher's weights are a moving average of the student's (`rate`; SDPO's default 0.05), or
the student's own at each update (`rate` = 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from swegym.policies.chat_templates import chosen_template
from swegym.train.averaged import Average
from swegym.train.feedback_prompt import FeedbackPrompt
from swegym.train.model import Loaded, TokenScorer
from swegym.train.online import Learner, learn_online
from swegym.train.parallel import World
from swegym.train.samples import Group
from swegym.train.self_distillation import ALPHAS, DistillationConfig, draw_to_teacher, margins, taught
from swegym.train.twins import Teacher, TwinScorer


class SdpoConfig(DistillationConfig):
    rate: float = Field(0.05, ge=0, le=1)
    """By which the teacher's weights move to the student's after an update; 0: they are the student's."""


def sdpo(config: SdpoConfig, **told: Any) -> Path:
    """Train and return the folder of the new model; see `swegym.train.online.learn_online`."""

    def make(loaded: Loaded, world: World) -> tuple[Sdpo, TokenScorer]:
        average = Average(config, loaded, world, config.rate)
        return Sdpo(config, prompt_of(config, loaded), average), twin_scorer(config, loaded, average.scorer)

    return learn_online(config, make, **told)


def twin_scorer(config: DistillationConfig, loaded: Loaded, teacher: Teacher | None = None) -> TwinScorer:
    return TwinScorer(
        loaded, alpha=ALPHAS[config.divergence], top=config.top or None, tail=config.tail, teacher=teacher
    )


def prompt_of(config: DistillationConfig, loaded: Loaded) -> FeedbackPrompt:
    source = chosen_template(config.policy_options.get("chat_template"))
    return FeedbackPrompt(loaded.base, loaded.tokenizer, config.max_length, source=source)


class Sdpo:
    guide = "never"

    def __init__(self, config: SdpoConfig, prompt: FeedbackPrompt, average: Average) -> None:
        self.config, self.prompt, self.average = config, prompt, average

    def usable(self, group: Group) -> bool:
        return True

    def learn(self, groups: Sequence[Group], learner: Learner) -> Mapping[str, float]:
        config = self.config
        rows, facts = taught(groups, self.prompt, config, learner)
        if not rows:
            return facts
        facts |= margins(rows, learner, config.beta)
        draw_to_teacher(rows, learner, config, self.average.move)
        return facts

    def state(self) -> Mapping[str, Any]:
        return self.average.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.average.restore(state)
