"""Reward models: one score for a patch or a whole attempt, to choose the best of several at test time.

Agent-RLVR trains one on pairs of (issue, patch), guided attempts included: 500 steps at 1e-5 with 5 % warm-up, and
submits the patch with the highest score. Lines decide what is trained:

{issue, chosen_patch, rejected_patch}   pairwise: -log sigmoid(s(chosen) - s(rejected))          (Bradley-Terry)
{issue, patch, label}                   pointwise: binary cross-entropy of the score as a logit
{prompt, chosen, rejected, tools}       with input = "trajectory": pairwise over whole attempts

The model is a sequence classifier with one label, read at the last token, so transformers loads it as it is.

Deviations from the paper: pointwise training, and whole attempts, are additions. A text that is too long loses the
middle of its issue, never any of its patch; one whose patch alone is too long is refused and counted.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from swegym.errors import InputError
from swegym.rollout.folder import write_atomically
from swegym.train import losses, parallel
from swegym.train.batch import Batch, Refused, Row, common_beginning, packed, padded, plan
from swegym.train.common import Part, Watcher, note_refused, prepare, spread, train
from swegym.train.model import Loaded, ModelConfig, RewardScorer, load_model
from swegym.train.optimiser import OptimiserConfig
from swegym.train.parallel import World
from swegym.train.reading import TOO_LONG, Rules, digest_of, lines_of, read_pairs
from swegym.train.settings import TrainConfig, begin


class RewardConfig(TrainConfig):
    input: str = Field("patch", pattern="^(patch|trajectory)$")
    """What is scored: issue and patch, or the whole attempt."""
    centre: float = Field(0.0, ge=0)
    """Weight of the square of a pair's summed scores, which keeps scores around 0."""
    held_out: float = Field(0.1, ge=0, lt=1)
    """Share of the tasks that is kept from training and measured at the end."""
    epochs: int = Field(3, ge=1)
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-5, warmup=0.05)


@dataclass(frozen=True, slots=True)
class Example:
    """A pair (label None): rows of chosen and rejected. Or a point: one row and whether it solved its task."""

    rows: tuple[Row, ...]
    label: float | None
    task: str
    name: str


def reward(config: RewardConfig, *, on_step: Watcher | None = None) -> Path:
    """Train and return the folder of the reward model. The same config on the same folder resumes."""
    world = parallel.join(config.parallel)
    finished = begin(config, world)
    if finished is not None:
        return finished
    loaded, rules = prepare(config, world, score=True)
    refused = Refused()
    examples = read_examples(config, loaded.tokenizer, rules, refused)
    note_refused(config, refused, world)
    trained, held = split_by_task(examples, config.held_out, config.seed)
    scorer = RewardScorer(loaded)
    spread(scorer, loaded, world)
    recipe = Reward(config, trained, packing=loaded.packing, padding=loaded.padding)
    report = {"examples": len(trained), "held_out": len(held), "refused": dict(refused)}

    def after(folder: Path) -> Mapping[str, Any]:
        write_atomically(folder / "swegym_reward.json", json.dumps({"input": config.input}) + "\n")
        return {"measured": measure(folder, held, config)} if held and world.size == 1 else {}

    return train(config, loaded, scorer, recipe, world, on_step=on_step, report=report, after=after)


def patch_row(tokenizer: Any, issue: str, patch: str, rules: Rules, name: str) -> Row | None:
    """Issue and patch as one row whose last token is the end of the text; None when the patch alone is too long."""
    # Nothing in these texts is a token with a meaning, whatever a patch spells.
    before, middle, behind = (
        tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        for text in ("# Issue\n\n", issue.strip(), f"\n\n# Patch\n\n{patch.strip()}\n")
    )
    after = [*behind, int(tokenizer.eos_token_id)]
    room = rules.max_length - len(before) - len(after)
    if room < 0:
        return None
    if len(middle) > room:
        head = (room + 1) // 2
        middle = middle[:head] + middle[len(middle) - (room - head) :]
    ids = [*before, *middle, *after]
    if max(ids) >= rules.vocabulary:
        raise InputError.at(
            name, "patch", max(ids), "the tokenizer has ids that the model has not", "Use the model's own."
        )
    mask = np.zeros(len(ids), dtype=np.bool_)
    mask[-1] = True
    return Row(np.asarray(ids, dtype=np.int32), mask, name)


def read_examples(config: RewardConfig, tokenizer: Any, rules: Rules, refused: Refused) -> list[Example]:
    files = [Path(file) for file in config.data]
    tasks = {name: line.get("task") or line.get("issue") or name for name, line in lines_of(files)}
    if config.input == "trajectory":
        pairs = read_pairs(files, tokenizer, rules, refused)
        return [Example((pair.chosen, pair.rejected), None, str(tasks[pair.name]), pair.name) for pair in pairs]
    examples = []
    for name, line in lines_of(files):
        if "label" in line:
            texts, label = [_text(line, "patch", name)], _label(line, name)
        else:
            texts, label = [_text(line, side, name) for side in ("chosen_patch", "rejected_patch")], None
        rows = [patch_row(tokenizer, _text(line, "issue", name), text, rules, name) for text in texts]
        whole = tuple(row for row in rows if row is not None)
        if len(whole) < len(rows):
            refused.note(name, TOO_LONG)
            continue
        examples.append(Example(whole, label, str(tasks[name]), name))
    if not examples:
        raise InputError(
            f"{', '.join(map(str, files))}: every patch is longer than max_length = {rules.max_length}. Raise it."
        )
    if len({example.label is None for example in examples}) > 1:
        raise InputError(f"{', '.join(map(str, files))}: holds pairs and single patches. Train on one kind at a time.")
    return examples


def _text(line: Mapping[str, Any], field: str, name: str) -> str:
    value = line.get(field)
    if not isinstance(value, str):
        raise InputError.at(
            name,
            field,
            value,
            "not a text",
            "Reward rows have issue, and patch with label or chosen_patch and rejected_patch.",
        )
    return value


def _label(line: Mapping[str, Any], name: str) -> float:
    if line["label"] not in (0, 1, True, False):
        raise InputError.at(name, "label", line["label"], "not 0 or 1", "1 means that the patch solves the task.")
    return float(line["label"])


def split_by_task(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Examples to train on and examples of other tasks to measure with; at least one task is trained on."""
    tasks = sorted({example.task for example in examples})
    random.Random(f"{seed}/held out").shuffle(tasks)
    held = set(tasks[: min(round(share * len(tasks)), len(tasks) - 1)])
    return [e for e in examples if e.task not in held], [e for e in examples if e.task in held]


class Reward:
    """The recipe."""

    def __init__(self, config: RewardConfig, examples: Sequence[Example], *, packing: bool, padding: int = 0) -> None:
        self.config = config
        self.examples = examples
        self.packing = packing
        self.padding = padding
        self.count = len(examples)
        self.digest = digest_of([row for example in examples for row in example.rows])

    def parts(self, items: Sequence[int]) -> list[Part]:
        lengths = [_length(self.examples[item].rows, packing=self.packing) for item in items]
        budget = self.config.tokens_per_batch
        together = plan([min(length, budget) for length in lengths], budget, packing=self.packing)
        chosen = [tuple(items[place] for place in places) for places in together]
        return [Part(self._batches([self.examples[i] for i in part], budget), part) for part in chosen]

    def _batches(self, examples: Sequence[Example], budget: int) -> tuple[Batch, ...]:
        groups = [example.rows for example in examples]
        if len(groups) == 1 and _length(groups[0], packing=self.packing) > budget:
            return tuple(packed([[row]]) if self.packing else padded([row], self.padding) for row in groups[0])
        if self.packing:
            return (packed(groups),)
        return (padded([row for group in groups for row in group], self.padding),)

    def totals(self, items: Sequence[int]) -> Mapping[str, float]:
        return {"examples": float(len(items))}

    def loss(
        self, outputs: Sequence[Tensor], part: Part, totals: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        scores = torch.cat(list(outputs))
        examples = [self.examples[item] for item in part.items]
        if examples[0].label is None:
            chosen_P, rejected_P = scores.view(-1, 2).unbind(1)
            loss = losses.bradley_terry(chosen_P, rejected_P, centre=self.config.centre)
            right, margin = (chosen_P > rejected_P).float(), (chosen_P - rejected_P).detach()
        else:
            labels = torch.tensor([e.label for e in examples], dtype=torch.float32, device=scores.device)
            loss = losses.binary_cross_entropy(scores, labels)
            right, margin = ((scores > 0) == (labels > 0.5)).float(), ((2 * labels - 1) * scores).detach()
        count = totals["examples"]
        return loss.sum() / count, {"accuracy": right.sum() / count, "margin": margin.sum() / count}

    def names(self, items: Sequence[int]) -> list[str]:
        return [self.examples[item].name for item in items]


def _length(rows: Sequence[Row], *, packing: bool) -> int:
    if not packing:
        return len(rows) * max(len(row) for row in rows)
    return sum(len(row) for row in rows) - (common_beginning(rows) if len(rows) > 1 else 0)


def scores_of(loaded: Loaded, rows: Sequence[Row], *, budget: int = 16384) -> list[float]:
    """The score of each row, in order."""
    scorer = RewardScorer(loaded)
    found = [0.0] * len(rows)
    for places in plan([len(row) for row in rows], budget, packing=loaded.packing):
        chosen = [rows[place] for place in places]
        batch = packed([[row] for row in chosen]) if loaded.packing else padded(chosen, loaded.padding)
        with torch.no_grad():
            scores = scorer(batch.to(loaded.device))
        for place, score in zip(places, scores.tolist(), strict=True):
            found[place] = score
    return found


def measure(folder: Path, examples: Sequence[Example], config: RewardConfig) -> dict[str, float]:
    """Accuracy on pairs, or the area under the curve on single patches, of a saved model."""
    world = parallel.join()
    loaded = load_scorer(folder, world)
    scores = scores_of(loaded, [row for example in examples for row in example.rows], budget=config.tokens_per_batch)
    if examples[0].label is None:
        right = [chosen > rejected for chosen, rejected in zip(scores[::2], scores[1::2], strict=True)]
        return {"pairs": float(len(right)), "accuracy": sum(right) / len(right)}
    return {"patches": float(len(scores)), "auc": auc(scores, [bool(example.label) for example in examples])}


def load_scorer(folder: Path, world: World | None = None) -> Loaded:
    """A saved reward model, ready to score."""
    world = world or parallel.join()
    return load_model(folder, ModelConfig(checkpointing=False), device=world.device, score=True)


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Chance that a solved one scores above a failed one, ties by half; 0.5 where one kind is missing."""
    solved = [score for score, label in zip(scores, labels, strict=True) if label]
    failed = [score for score, label in zip(scores, labels, strict=True) if not label]
    if not solved or not failed:
        return 0.5
    wins = sum((s > f) + 0.5 * (s == f) for s in solved for f in failed)
    return wins / (len(solved) * len(failed))
