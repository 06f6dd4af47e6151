"""What SDPO, VPD and their hybrids share: samples with a teacher's row beside them, and the divergence recipe.

Feedback of a sample is made of its own attempt and its group, never of itself as a solution
(`swegym.data.feedback`). A sample without any is in neither step of VPD and in no divergence; how many have some is
logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from swegym.data.feedback import feedback_for
from swegym.train.batch import Row
from swegym.train.common import Part
from swegym.train.divergences import importance_factor
from swegym.train.feedback_prompt import FeedbackPrompt
from swegym.train.layout import families, laid_out
from swegym.train.model import Loaded
from swegym.train.online import Learner, chunks, recorded_logps
from swegym.train.online_config import OnlineConfig
from swegym.train.samples import Group, Sample
from swegym.train.twins import TwinBatch, refuse_unlike

ALPHAS = {"forward": 0.0, "js": 0.5, "reverse": 1.0}


class DistillationConfig(OnlineConfig):
    """What the M-step and its relatives are told. The papers' values: VPD tables C.1 and C.2."""

    feedback: tuple[Literal["sibling", "env", "critique"], ...] = ("sibling", "env")
    """Kinds, the preferred one first. critique: of a failed attempt, what the model itself says of it."""
    critique_tokens: int = Field(128, ge=8)
    """Longest critique."""
    shuffled: bool = False
    """Give each sample the feedback of another task's sample: a control, which must teach nothing."""
    divergence: Literal["forward", "js", "reverse"] = "js"
    """Forward is KL(teacher || student)."""
    top: int = Field(100, ge=0)
    """Compare the student's so many likeliest words; 0 for the whole vocabulary."""
    tail: bool = True
    """All other words are one more word; else the likeliest are renormalised."""
    importance: bool = False
    """Weigh a token by the present policy's ratio to the one that sampled it, detached and at most 2."""
    samples_per_update: int = Field(32, ge=1)
    beta: float = Field(0.1, gt=0)
    """Scales the implicit reward of the teacher."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A row as the student and as the teacher has it, with the reward of its attempt."""

    student: Row
    teacher: Row
    old: Tensor
    reward: float
    sample: str
    family: str


def taught(
    groups: Sequence[Group], prompt: FeedbackPrompt, config: DistillationConfig, learner: Learner
) -> tuple[list[Taught], dict[str, float]]:
    """Rows of all samples that have feedback, and which share of the samples that is."""
    critiques = learner.critiques(groups, config.critique_tokens) if "critique" in config.feedback else {}
    samples = [(sample, group) for group in groups for sample in group.plain]
    texts = [_feedback(sample, group, config.feedback, critiques) for sample, group in samples]
    if config.shuffled:
        texts = _shuffled(texts, [group.task for _, group in samples])
    found: list[Taught] = []
    kinds: dict[str, int] = dict.fromkeys(config.feedback, 0)
    unfit = 0
    for (sample, group), (text, kind) in zip(samples, texts, strict=True):
        if text is None or kind is None or not sample.rows:
            continue
        rows = prompt.rows(sample.rows, sample.trajectory, text)
        if rows is None:
            unfit += 1
            continue
        kinds[kind] += 1
        found += _pairs(sample, rows, group.task)
    facts = {f"feedback_{kind}": count / max(1, len(samples)) for kind, count in kinds.items()}
    facts["feedback"] = sum(kinds.values()) / max(1, len(samples))
    return found, facts | ({"feedback_unfit": float(unfit)} if unfit else {})


def _feedback(
    sample: Sample, group: Group, kinds: Sequence[str], critiques: Mapping[str, str]
) -> tuple[str | None, str | None]:
    """The feedback of the first kind that has any, and that kind."""
    others = [other.trajectory for other in group.plain]
    for kind in kinds:
        if kind == "critique":
            found = critiques.get(sample.id), kind
        else:
            found = feedback_for(sample.trajectory, others, [kind])[0], kind
        if found[0] is not None:
            return found
    return None, None


def _pairs(sample: Sample, teacher: Sequence[Row], task: str) -> list[Taught]:
    made = []
    for student, with_feedback, old in zip(sample.rows, teacher, recorded_logps(sample.rows), strict=True):
        refuse_unlike(student, with_feedback)
        made.append(Taught(student, with_feedback, old, sample.reward, sample.id, task))
    return made


def _shuffled(
    texts: Sequence[tuple[str | None, str | None]], tasks: Sequence[str]
) -> list[tuple[str | None, str | None]]:
    """Each sample that has feedback gets that of the next one that has some of another task."""
    found: list[tuple[str | None, str | None]] = []
    count = len(texts)
    for number, own in enumerate(texts):
        others = [(number + step) % count for step in range(1, count)]
        other = next((place for place in others if texts[place][0] is not None and tasks[place] != tasks[number]), None)
        found.append((None, None) if own[0] is None or other is None else texts[other])
    return found


class Distillation:
    """The recipe of the M-step: the student is drawn to what the teacher predicts, token by token (VP-10).

    The loss is the mean over the tokens of an update. The importance factor is off in the paper, too.
    """

    def __init__(self, rows: Sequence[Taught], loaded: Loaded, budget: int, *, importance: bool = False) -> None:
        self.rows = rows
        self.budget, self.packing, self.padding = budget, loaded.packing, loaded.padding
        self.importance = importance
        self.count = len(rows)
        self.digest = ""

    def parts(self, items: Sequence[int]) -> list[Part]:
        parts = []
        for batch, order in twin_batches(self.rows, items, self.budget, self.packing, self.padding):
            parts.append(Part((batch,), order))  # type: ignore[arg-type]
        return parts

    def totals(self, items: Sequence[int]) -> Mapping[str, float]:
        return {"trained": float(sum(self.rows[item].student.trained for item in items))}

    def loss(
        self, outputs: Sequence[Tensor], part: Part, totals: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        (compared_N4,) = outputs
        apart_N, own_N, others_N, kl_N = compared_N4.unbind(1)
        if self.importance:
            old_N = torch.cat([self.rows[item].old for item in part.items]).to(own_N.device)
            apart_N = apart_N * importance_factor(own_N, old_N)
        trained = totals["trained"]
        metrics = {
            "kl_teacher_student": kl_N.detach().sum() / trained,
            "gap": (others_N - own_N).detach().sum() / trained,  # log q - log pi of what was sampled
        }
        return apart_N.sum() / trained, metrics

    def names(self, items: Sequence[int]) -> list[str]:
        return [self.rows[item].student.name for item in items]


def twin_batches(
    rows: Sequence[Taught], items: Sequence[int], budget: int, packing: bool, padding: int
) -> list[tuple[TwinBatch, tuple[int, ...]]]:
    """Student's and teacher's batches of the same rows in the same order, within the budget by the teacher's length."""
    made = []
    plan = families([rows[item].teacher for item in items], [rows[i].family for i in items], budget, packing=packing)
    for batch in plan:
        order = tuple(items[place] for family in batch for place in family)
        chosen = [[rows[items[place]] for place in family] for family in batch]
        student = laid_out([[row.student for row in family] for family in chosen], packing=packing, padding=padding)
        teacher = laid_out([[row.teacher for row in family] for family in chosen], packing=packing, padding=padding)
        made.append((TwinBatch(student, teacher), order))
    return made


def draw_to_teacher(
    rows: Sequence[Taught], learner: Learner, config: DistillationConfig, after: Callable[[], None]
) -> None:
    """The M-step: all updates on these samples, each with what is to be done `after` it."""
    recipe = Distillation(rows, learner.loaded, config.tokens_per_batch, importance=config.importance)
    for number in range(config.passes):
        seed = (config.seed, learner.step * config.passes + number)
        for items in chunks(len(rows), config.samples_per_update, seed):
            learner.update(recipe, items)
            after()


def margins(rows: Sequence[Taught], learner: Learner, beta: float) -> dict[str, float]:
    """The mean implicit reward beta (log q(y|x,C) - log pi(y|x)) (VP-7), and the teacher's margin: its mean over
    successes less that over failures (VPD figure 1).
    """
    teacher = torch.stack([logps.sum() for logps in learner.score([row.teacher for row in rows])])
    student = torch.stack([logps.sum() for logps in learner.score([row.student for row in rows])])
    rewards_R = beta * (teacher - student)
    won = torch.tensor([row.reward > 0 for row in rows])
    low, high = torch.quantile(rewards_R, torch.tensor([0.1, 0.9])).tolist()
    # Far from 0 the sigmoid of BCO is flat: then the sum over tokens wants to be divided (per_token).
    facts = {"implicit_reward": float(rewards_R.mean()), "implicit_p10": low, "implicit_p90": high}
    if bool(won.any()) and not bool(won.all()):
        facts["teacher_margin"] = float(rewards_R[won].mean() - rewards_R[~won].mean())
    return facts
