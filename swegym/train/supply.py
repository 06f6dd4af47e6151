"""Where a step's groups come from: runs at fresh tasks, and the surplus of the step before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from swegym.errors import RunError
from swegym.rollout.folder import RunFolder
from swegym.train.batch import order_of
from swegym.train.online_config import OnlineConfig
from swegym.train.sampler import Sampler
from swegym.train.samples import Group, SampleRules, make_groups


class Chooser(Protocol):
    """Of an algorithm: which attempts are followed by a hinted one, and which groups teach something."""

    guide: str

    def usable(self, group: Group) -> bool: ...


class Supply:
    """A step's groups: from runs of fresh tasks, and from the surplus of the step before."""

    def __init__(self, config: OnlineConfig, tasks: Sequence[str], state: Mapping[str, Any]) -> None:
        self.config, self.tasks = config, tasks
        self._drawn = int(state.get("drawn", 0))
        self._waiting: list[tuple[str, str]] = [(folder, task) for folder, task in state.get("waiting", [])]
        self._surplus: list[Group] | None = None  # of _waiting; None: still to be read from its folders
        self._attempts = int(state.get("attempts", 0))

    def state(self) -> dict[str, Any]:
        return {"drawn": self._drawn, "waiting": [list(pair) for pair in self._waiting], "attempts": self._attempts}

    def draw(self) -> list[str]:
        """The next tasks. Each time through, all of them come, in an order of its own."""
        found = []
        for _ in range(min(self.config.tasks_per_step, len(self.tasks))):
            times, place = divmod(self._drawn, len(self.tasks))
            found.append(self.tasks[int(order_of(len(self.tasks), times, self.config.seed)[place])])
            self._drawn += 1
        return list(dict.fromkeys(found))

    def groups(
        self, step: int, sampler: Sampler, chooser: Chooser, tokenizer: object, rules: SampleRules
    ) -> tuple[list[Group], dict[str, Any]]:
        """The groups that step number `step` learns from, and what is to be logged of how they came about.

        Raises:
            RunError: No attempt of a run was judged.
        """
        config = self.config
        left_out: Counter[str] = Counter()
        usable = self._from_before(step, tokenizer, rules, left_out)
        sampled: list[Group] = []
        for number in range(1 + config.refill):
            name = f"step-{step + 1:08}" + (f"-{number + 1}" if number else "")
            out = Path(config.out) / "rollouts" / name
            seed = config.seed * 1_000_003 + step * 101 + number
            folder = sampler.attempts(self.draw(), out, attempts=config.attempts, guide=chooser.guide, seed=seed)
            trajectories = folder.trajectories()
            groups, dropped = make_groups(trajectories, tokenizer, rules)
            if not any(trajectory.verdict.resolved is not None for trajectory in trajectories):
                causes = Counter(str(trajectory.verdict.cause) for trajectory in trajectories)
                first = next((trajectory.verdict.reason for trajectory in trajectories), "there was no attempt")
                raise RunError(
                    f"{out}: none of {len(trajectories)} attempts was judged ({dict(causes)}): {first}. Mend that; the "
                    "same command tries them again."
                )
            left_out += dropped
            self._attempts += len(trajectories)
            sampled += groups
            usable += [(name, group) for group in groups if chooser.usable(group)]
            if len(usable) >= config.tasks_per_step:
                break
        now, later = usable[: config.tasks_per_step], usable[config.tasks_per_step :]
        if not config.stale:
            left_out["stale"] += len(later)
            later = []
        self._waiting, self._surplus = [(name, group.task) for name, group in later], [group for _, group in later]
        return [group for _, group in now], _counted(sampled, now, left_out, self._attempts)

    def _from_before(
        self, step: int, tokenizer: object, rules: SampleRules, left_out: Counter[str]
    ) -> list[tuple[str, Group]]:
        if self._surplus is None:
            read: dict[tuple[str, str], Group] = {}
            for name in dict.fromkeys(name for name, _ in self._waiting):
                folder = RunFolder(Path(self.config.out) / "rollouts" / name)
                read |= {(name, g.task): g for g in make_groups(folder.trajectories(), tokenizer, rules)[0]}
            self._surplus = [read[pair] for pair in self._waiting]
        kept = []
        for (name, _), group in zip(self._waiting, self._surplus, strict=True):
            if step - int(group.version.rpartition("-")[2]) <= self.config.stale:
                kept.append((name, group))
            else:
                left_out["stale"] += 1
        return kept


def _counted(
    sampled: Sequence[Group], now: Sequence[tuple[str, Group]], left_out: Mapping[str, int], attempts: int
) -> dict[str, Any]:
    """What a step's log says of its attempts."""
    plain = [sample for group in sampled for sample in group.plain]
    guided = [sample for group in sampled for sample in group.guided]
    logprobs = [row.logprobs[row.mask] for sample in plain for row in sample.rows if row.logprobs is not None]
    trained = sum(len(part) for part in logprobs)

    def mean(values: Sequence[float]) -> float | None:
        return sum(values) / len(values) if values else None

    line: dict[str, Any] = {
        "groups": len(now),
        "groups_sampled": len(sampled),
        "groups_guided": sum(bool(group.guided) for group in sampled),
        "groups_rescued": sum(
            any(sample.reward > 0 for sample in group.guided) and not any(sample.reward > 0 for sample in group.plain)
            for group in sampled
        ),
        "attempts": attempts,
        "solved": mean([float(sample.reward > 0) for sample in plain]),
        "solved_guided": mean([float(sample.reward > 0) for sample in guided]),
        "empty_patches": mean([float(not sample.trajectory.patch.strip()) for sample in plain]),
        "length": mean([float(sample.trained) for sample in plain]),
        # The mean surprise of what was sampled: an unbiased estimate of the policy's entropy per token.
        "entropy": -float(sum(part.sum() for part in logprobs)) / trained if trained else None,
    }
    return line | ({"left_out": dict(sorted(left_out.items()))} if left_out else {})
