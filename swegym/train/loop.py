"""Agent-RLVR's round from end to end: attempts, hints, pairs, fine-tuning, preferences, a reward model, the measure.

    OUT/
    ├── config.toml
    ├── before/             a run: the model as it was, on tasks that training never sees
    ├── round-1/
    │   ├── attempts/       a run: plain attempts, and guided retries of failures
    │   ├── others-NAME/    a run of another policy at the same tasks (off-policy attempts), if asked for
    │   ├── sft.jsonl  pairs.jsonl  reward-pairs.jsonl
    │   ├── sft/  dpo/  reward/      training runs, each with model/
    │   └── after/          a run: the model of this round, measured as before
    ├── round-2/            goes on from round-1/dpo/model
    └── report.json         solve rates with intervals, before and after each round

Each stage resumes by itself and is skipped once it is done, so the same command goes on wherever it stopped. A stage
for which there is no data is skipped and said so; a round without any pair or demonstration is an error.

Deviations from the paper: tasks to measure on are of the same set's held-out split, where the paper takes another set;
one failure is drawn for each success, as its text says and not as its pseudo code does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import Field

from swegym.config import Config, load, to_toml, validate
from swegym.errors import RunError
from swegym.rollout.folder import RunFolder, write_atomically
from swegym.rollout.run_config import RunConfig
from swegym.train.dpo import DpoConfig, dpo
from swegym.train.reward import RewardConfig, reward
from swegym.train.sft import SftConfig, sft
from swegym.train.splits import Measure, tasks_of_split

Tell = Callable[[str, str], None]  # stage, what it came to
Collect = Callable[[RunConfig], RunFolder]
Rate = Callable[[RunFolder], "dict[str, Any] | None"]  # pass@1, low, high, tasks; None where nothing was judged


class LoopConfig(Config):
    model: str
    """Folder of the model to start from."""
    tasks: str
    """The task set whose training split is attempted."""
    out: str
    limit: int | None = Field(None, ge=1)
    """Only the first so many training tasks."""
    rounds: int = Field(1, ge=1)
    attempts: int = Field(16, ge=1)
    """Plain attempts at each task."""
    guide: str = "on-failure"
    teacher: str = "oracle"
    teacher_options: dict[str, Any] = Field(default_factory=dict)
    others: tuple[str, ...] = ()
    """Further policies whose attempts at the same tasks join, e.g. repair, gold or a stronger model."""
    sft_share: float = Field(0.2, gt=0, le=1)
    """Of the successes, for fine-tuning."""
    warm_up: bool = True
    """Fine-tune before preferences; later rounds never do."""
    policy_options: dict[str, Any] = Field(default_factory=dict)
    """Of the `hf` policy, e.g. max_new_tokens."""
    run: dict[str, Any] = Field(default_factory=dict)
    """Any other settings of runs, e.g. jobs, limits, sandbox."""
    measure: Measure = Measure()
    train: dict[str, Any] = Field(default_factory=dict)
    """Settings of all three trainers; those below win."""
    sft: dict[str, Any] = Field(default_factory=dict)
    dpo: dict[str, Any] = Field(default_factory=dict)
    reward: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0


MAY_CHANGE = frozenset({"out", "rounds", "run"})


def loop(
    config: LoopConfig, *, collect: Collect, rate: Rate, tell: Tell | None = None, on_step: Any = None
) -> dict[str, Any]:
    """Carry out all rounds, or go on with them, and return the report.

    Args:
        config: The same config on the same folder resumes; `rounds` may grow.
        collect: Carries out one run, building what is missing.
        rate: The solve rate of a run with its interval.
        tell: Told what each stage came to.
        on_step: Told of each training step.
    """
    out = Path(config.out)
    _claim(config, out)
    say = tell or (lambda stage, text: None)
    measured = {"before": _measured(config, config.model, "before", out / "before", collect, rate, say)}
    model = config.model
    for number in range(1, config.rounds + 1):
        folder = out / f"round-{number}"
        model = _round(config, number, model, folder, collect, say, on_step)
        measured[f"round-{number}"] = _measured(config, model, f"round-{number}", folder / "after", collect, rate, say)
    report = {"model": model, "rates": measured}
    write_atomically(out / "report.json", json.dumps(report, indent=2) + "\n")
    return report


def _claim(config: LoopConfig, out: Path) -> None:
    file = out / "config.toml"
    if file.is_file():
        before, now = load(LoopConfig, file).model_dump(mode="json"), config.model_dump(mode="json")
        different = next((name for name in now if name not in MAY_CHANGE and before[name] != now[name]), None)
        if different is not None:
            raise RunError(
                f"{file}: {different} = {before[different]!r}, but this loop has {now[different]!r}. "
                "Give the same settings to go on, or choose another folder (out)."
            )
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(file, to_toml(config.model_dump(mode="json")))


def _round(config: LoopConfig, number: int, model: str, folder: Path, collect: Collect, say: Tell, on_step: Any) -> str:
    """One round; returns the folder of the model it ends with."""
    name = f"round-{number}"
    runs = [_attempts(config, number, model, folder, collect)]
    runs += [_others(config, number, other, folder, collect) for other in config.others]
    counts = {kind: _rows(config, number, kind, runs, folder) for kind in ("sft", "pairs", "reward-pairs")}
    say(f"{name} data", ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    warm = config.warm_up and number == 1 and counts["sft"]
    if not (warm or counts["pairs"]):
        raise RunError(
            f"{folder}: no attempt gave a pair or a demonstration, so there is nothing to learn from. Raise attempts, "
            "take easier tasks, a better teacher, or attempts of another policy (others = ['repair'])."
        )
    if warm:
        settings = _settings(config, "sft", model, folder, "sft.jsonl")
        model = str(sft(validate(SftConfig, settings, "loop: sft"), on_step=on_step))
        say(f"{name} sft", model)
    if counts["pairs"]:
        settings = _settings(config, "dpo", model, folder, "pairs.jsonl")
        model = str(dpo(validate(DpoConfig, settings, "loop: dpo"), on_step=on_step))
        say(f"{name} dpo", model)
    if counts["reward-pairs"]:
        settings = _settings(config, "reward", model, folder, "reward-pairs.jsonl")
        say(f"{name} reward", str(reward(validate(RewardConfig, settings, "loop: reward"), on_step=on_step)))
    return model


def _settings(config: LoopConfig, kind: str, model: str, folder: Path, data: str) -> dict[str, Any]:
    own: dict[str, Any] = getattr(config, kind)
    fixed = {"model": model, "data": [str(folder / data)], "out": str(folder / kind)}
    return {"seed": config.seed, **config.train, **own, **fixed}


def _attempts(config: LoopConfig, number: int, model: str, folder: Path, collect: Collect) -> RunFolder:
    return collect(
        _run_config(
            config,
            config.tasks,
            training_tasks(config),
            folder / "attempts",
            policy="hf",
            policy_options={**config.policy_options, "model": model},
            policy_version=f"round-{number - 1}",
            attempts=config.attempts,
            guide=config.guide,
            teacher=config.teacher,
            teacher_options=config.teacher_options,
            seed=config.seed + 1000 * number,
        )
    )


def _others(config: LoopConfig, number: int, policy: str, folder: Path, collect: Collect) -> RunFolder:
    place = folder / f"others-{policy.rpartition(':')[2]}"
    seed = config.seed + 1000 * number
    return collect(
        _run_config(config, config.tasks, training_tasks(config), place, policy=policy, attempts=1, seed=seed)
    )


def _run_config(config: LoopConfig, tasks: str, patterns: Iterable[str], out: Path, **more: Any) -> RunConfig:
    settings = {**config.run, "tasks": tasks, "patterns": list(patterns), "out": str(out), **more}
    return validate(RunConfig, settings, "loop: run")


def training_tasks(config: LoopConfig) -> list[str]:
    return tasks_of_split(config.tasks, "train", config.limit)


def _rows(config: LoopConfig, number: int, kind: str, runs: list[RunFolder], folder: Path) -> int:
    """Write the rows of one kind, unless they are there: training compares what it began with."""
    from swegym.data.attempts import read_runs
    from swegym.data.guards import Guards
    from swegym.data.held_out import held_out
    from swegym.data.make import MakeOptions, make

    file = folder / f"{kind}.jsonl"
    if not file.is_file():
        options = MakeOptions(seed=config.seed + number, share=config.sft_share)
        make(kind, read_runs(runs), options, Guards(refusals=(held_out("train"),))).write(file)
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _measured(
    config: LoopConfig, model: str, version: str, out: Path, collect: Collect, rate: Rate, say: Tell
) -> dict[str, Any]:
    """Solve rate of a model on held-out tasks, without guidance."""
    measure = config.measure
    tasks = measure.tasks or config.tasks
    folder = collect(
        _run_config(
            config,
            tasks,
            tasks_of_split(tasks, measure.split, measure.limit),
            out,
            policy="hf",
            policy_options={**config.policy_options, "temperature": measure.temperature, "model": model},
            policy_version=version,
            attempts=measure.attempts,
            guide="never",
            seed=config.seed,
        )
    )
    found = rate(folder)
    if found is None:
        raise RunError(f"{out}: no attempt was judged, so nothing is measured. See `swegym report {out}`; run again.")
    interval = f"[{found['low']:.3f}, {found['high']:.3f}]"
    say(f"{version} measured", f"pass@1 {found['pass@1']:.3f} {interval} on {found['tasks']} tasks")
    return {**found, "run": str(out)}
