"""Twin rows: the same sampled tokens under two prompts, the student's and the teacher's. And what scores them.

The teacher is the same network, its prompt holds feedback more. Both rows end in the same ids, so what they predict is
compared token by token, wherever the prompts differ in length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from swegym.errors import InputError
from swegym.train.batch import Batch, Row
from swegym.train.head import token_divergences
from swegym.train.model import Loaded, TokenScorer


@dataclass(frozen=True, slots=True)
class TwinBatch:
    """Two batches whose trained tokens are the same, in the same order. It counts as what a step works on."""

    student: Batch
    teacher: Batch

    def to(self, device: torch.device) -> TwinBatch:
        return TwinBatch(self.student.to(device), self.teacher.to(device))

    @property
    def ids_BT(self) -> Tensor:
        return self.student.ids_BT

    @property
    def targets_N(self) -> Tensor:
        return self.student.targets_N

    @property
    def owners_N(self) -> Tensor:
        return self.student.owners_N

    @property
    def sequences(self) -> int:
        return self.student.sequences

    @property
    def tokens(self) -> int:
        return self.student.tokens + self.teacher.tokens

    @property
    def row_tokens(self) -> int:
        return self.student.row_tokens + self.teacher.row_tokens

    @property
    def attended(self) -> int:
        return self.student.attended + self.teacher.attended


def refuse_unlike(student: Row, teacher: Row) -> None:
    """Raise InputError unless both rows train the same ids in the same order."""
    if student.ids[student.mask].tolist() != teacher.ids[teacher.mask].tolist():
        raise InputError(f"{student.name}: the teacher's row does not end in the tokens that the student sampled.")


class Teacher(TokenScorer):
    """A network that is only a teacher: gives the hidden states that predict a batch's trained tokens, (N, D)."""

    def forward(self, batch: Batch) -> Tensor:
        return self.hidden(batch)


class TwinScorer(TokenScorer):
    """Scores batches as `TokenScorer` does, and twin batches as `token_divergences` says, shape (N, 4).

    Args:
        loaded: The network, as student and as teacher.
        alpha, top, tail: Of `token_divergences`.
        teacher: Another network to be the teacher, such as a moving average; None for the same one.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        alpha: float = 0.5,
        top: int | None = None,
        tail: bool = True,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__(loaded)
        self.alpha, self.top, self.tail = alpha, top, tail
        self._teacher = (teacher,)  # in a tuple, so that its weights are not this module's

    def forward(self, batch: Batch | TwinBatch) -> Tensor:
        if isinstance(batch, Batch):
            return super().forward(batch)
        teacher = self._teacher[0]
        with torch.no_grad():
            # Called as a module, because a sharded one is gathered by that.
            teacher_ND = self.hidden(batch.teacher) if teacher is None else teacher(batch.teacher)
        return token_divergences(
            self.hidden(batch.student),
            teacher_ND,
            self.head_weight(),
            (teacher or self).head_weight(),
            batch.targets_N,
            alpha=self.alpha,
            top=self.top,
            tail=self.tail,
        )
