"""What a policy sampled in its envs, as online trainers learn from it: judged attempts with exact ids, in groups.

Nothing is rendered or tokenised here. A sample's rows are the ids that its policy was given and said, with the hint's
ids deleted, and the log-probabilities under which they were sampled, the hint included. What cannot be learned from is
left out by a rule and counted:

    not judged          the machine, the grader or a server failed: no member of its group, never a reward of 0
    no token ids        of this attempt; when no attempt has any, that is an error
    hacked              worked on its judge or took bait, with `drop_hacked`
    too long, silent    its reward counts for the group, and there is no row of it to train on
    lone                a group with a single judged plain attempt has no mean to compare with
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swegym.data.tokens import TokenRow, has_tokens, token_rows
from swegym.errors import InputError
from swegym.rollout.causes import may_train
from swegym.rollout.hacking import hacks
from swegym.train.batch import Row, make_row
from swegym.train.reading import same_tokenizer
from swegym.types import Trajectory


@dataclass(frozen=True, slots=True)
class Sample:
    """One judged attempt. Its rows are as without a hint; it has several where its prompt began anew."""

    id: str
    reward: float
    guided: bool
    rows: tuple[Row, ...]
    trajectory: Trajectory

    @property
    def trained(self) -> int:
        return sum(row.trained for row in self.rows)


@dataclass(frozen=True, slots=True)
class Group:
    """All samples of one task under one version of the policy."""

    task: str
    version: str
    plain: tuple[Sample, ...]
    guided: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class SampleRules:
    """What is accepted of a sampler.

    Attributes:
        vocabulary: Of the model that is trained.
        mark: Of its tokenizer; ids of another tokenizer are refused.
        max_length: Longest row, in tokens.
        hacked_reward: What an attempt gets that went for the reward instead of the fix.
        drop_hacked: Leave it out of its group instead.
    """

    vocabulary: int
    mark: str
    max_length: int
    hacked_reward: float = 0.0
    drop_hacked: bool = False


def make_groups(
    trajectories: Iterable[Trajectory], tokenizer: object, rules: SampleRules
) -> tuple[list[Group], Counter[str]]:
    """Groups in the order of their tasks, and how many attempts were left out by which rule.

    Raises:
        InputError: No attempt has token ids, or they are of another tokenizer or not sampled at temperature 1.
    """
    left_out: Counter[str] = Counter()
    judged: list[Trajectory] = []
    for trajectory in sorted(trajectories, key=lambda one: (one.task, one.attempt, one.guided)):
        if may_train(trajectory.verdict):
            judged.append(trajectory)
        else:
            left_out[f"not judged: {trajectory.verdict.cause}"] += 1
    kept = [trajectory for trajectory in judged if has_tokens(trajectory)]
    left_out["no token ids"] += len(judged) - len(kept)
    if judged and not kept:
        raise InputError(
            f"attempt {judged[0].id}: no token ids or log-probs in its messages, and a trainer that learns from "
            "samples needs those of the sampler. Use policy hf, or litellm with token_ids = true and a server that "
            "returns them."
        )
    samples: dict[tuple[str, str], list[Sample]] = {}
    for trajectory in kept:
        found = hacks(trajectory)
        if found and rules.drop_hacked:
            left_out["hacked"] += 1
            continue
        rows = _rows(trajectory, tokenizer, rules, left_out)
        reward = rules.hacked_reward if found else float(trajectory.verdict.resolved is True)
        sample = Sample(trajectory.id, reward, trajectory.guided, rows, trajectory)
        samples.setdefault((trajectory.task, trajectory.policy_version), []).append(sample)
    groups: list[Group] = []
    for (task, version), members in samples.items():
        plain = tuple(member for member in members if not member.guided)
        guided = tuple(member for member in members if member.guided)
        if len(plain) + len(guided) < 2:
            left_out["lone"] += 1
        else:
            groups.append(Group(task, version, plain, guided))
    return groups, +left_out


def _rows(trajectory: Trajectory, tokenizer: object, rules: SampleRules, left_out: Counter[str]) -> tuple[Row, ...]:
    """The rows of an attempt without its hint, as far as there is anything to train on."""
    found = []
    for number, tokens in enumerate(token_rows(trajectory, guidance=False)):
        name = f"{trajectory.id}, row {number + 1}"
        if not any(tokens.mask[1:]):
            left_out["silent"] += 1
            continue
        if len(tokens) > rules.max_length:
            left_out["too long"] += 1
            continue
        _refuse_foreign(tokens, trajectory, rules, name)
        row = make_row(tokens.ids, tokens.mask, name, vocabulary=rules.vocabulary, logprobs=tokens.logprobs)
        if number == 0 and not trajectory.guided:
            same_tokenizer(row, trajectory.messages, tokenizer, name)
        found.append(row)
    return tuple(found)


def _refuse_foreign(tokens: TokenRow, trajectory: Trajectory, rules: SampleRules, name: str) -> None:
    if tokens.temperature is not None and tokens.temperature != 1.0:
        raise InputError.at(
            name,
            "extra.temperature",
            tokens.temperature,
            "log-probs at another temperature are not the policy's own",
            "Sample at temperature 1 (policy_options.temperature).",
        )
    marks = {message.get("extra", {}).get("tokenizer") for message in trajectory.messages}
    digests = {mark for mark in marks if mark and re.fullmatch(r"[0-9a-f]{16}", mark)}  # a server's is its address
    foreign = next(iter(sorted(digests - {rules.mark})), None)
    if foreign is not None:
        raise InputError.at(
            name,
            "extra.tokenizer",
            foreign,
            f"the trained model's tokenizer is {rules.mark}: the sampler has another one",
            "Sample from the model that is trained.",
        )


def rewards_of(samples: Sequence[Sample]) -> list[float]:
    return [sample.reward for sample in samples]


def varied(samples: Sequence[Sample]) -> bool:
    """Whether the rewards differ, so that comparing them teaches something."""
    return len(set(rewards_of(samples))) > 1
