"""The loop of online training, the same for every algorithm: sample, learn, hand on the weights, measure.

    OUT/
    ├── config.toml, metrics.jsonl, checkpoints/, train.json, model/     as of every trainer (common.py)
    ├── rollouts/step-00000007/       the run of a step's attempts; -2, -3 where it was refilled
    ├── measured/step-00000020/       a run on held-out tasks, without guidance
    └── served/                       the weights that a server loads, if one samples

A step is synchronous: its attempts are sampled from the weights that it begins with. Groups of an earlier version come
only from a refilled step's surplus; they carry their version and their own log-probabilities, and are dropped when
they are more than `stale` versions behind. Attempts are on disk as soon as they are judged, so an interrupted step goes
on with those that it has.

What an algorithm adds is in its own file: which attempts are hinted, which groups teach something, and the updates.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from swegym.errors import RunError
from swegym.policies.hf_load import tokenizer_mark
from swegym.rollout.folder import RunFolder
from swegym.train import common, parallel
from swegym.train.batch import Row, order_of
from swegym.train.common import Recipe, StepDone, Watcher
from swegym.train.layout import families, laid_out
from swegym.train.measure import Log, peak_of
from swegym.train.model import Loaded, TokenScorer
from swegym.train.online_config import MAY_CHANGE, OnlineConfig
from swegym.train.optimiser import Optimiser
from swegym.train.parallel import World
from swegym.train.sampler import Collect, Sampler
from swegym.train.samples import Group, SampleRules
from swegym.train.settings import begin
from swegym.train.splits import tasks_of_split
from swegym.train.supply import Chooser, Supply

Rate = Callable[[RunFolder], "dict[str, Any] | None"]  # pass@1, low, high, tasks; None where nothing was judged


class Algorithm(Chooser, Protocol):
    """What tells online trainers apart."""

    def learn(self, groups: Sequence[Group], learner: Learner) -> Mapping[str, float]:
        """Make a step's updates; returns what is to be logged beside them."""
        ...

    def state(self) -> Mapping[str, Any]:
        """What has to be kept beside the weights to go on."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


MakeAlgorithm = Callable[[Loaded, World], tuple[Algorithm, TokenScorer]]


class Learner:
    """A model in training as an algorithm sees it: scores without gradients, and updates."""

    def __init__(
        self,
        config: OnlineConfig,
        loaded: Loaded,
        scorer: TokenScorer,
        optimiser: Optimiser,
        world: World,
        sampler: Sampler | None = None,
    ) -> None:
        self.config, self.loaded, self.scorer, self.world = config, loaded, scorer, world
        self.sampler = sampler
        self.optimiser = optimiser
        self.step = 0
        self.lines: list[dict[str, Any]] = []

    def score(self, rows: Sequence[Row], scorer: TokenScorer | None = None) -> list[Tensor]:
        """Log-probabilities of each row's trained tokens under the present weights, in host memory."""
        scorer = scorer or self.scorer
        found: dict[int, Tensor] = {}
        packing, padding = self.loaded.packing, self.loaded.padding
        kinds = list(range(len(rows)))
        parts = families(rows, kinds, self.config.tokens_per_batch, packing=packing)
        for part in parallel.share(parts, self.world):
            places = part or parts[0]
            batch = laid_out([[rows[i] for i in family] for family in places], packing=packing, padding=padding)
            with torch.no_grad():
                logps = scorer(batch.to(self.world.device)).cpu()
            if part is not None:
                order = [index for family in places for index in family]
                found |= dict(zip(order, logps.split([rows[i].trained for i in order]), strict=True))
        if self.world.sharded:
            scorer.reshard()  # a pass without a backward one leaves its root gathered
        for other in parallel.everyone(found, self.world):
            found |= other
        return [found[index] for index in range(len(rows))]

    def update(self, recipe: Recipe, items: Sequence[int], name: str = "") -> Mapping[str, Any]:
        """One update of the weights by some examples of a recipe; its line is logged, under `name` if that is given."""
        line = common.update(
            self.step, items, self.config, self.scorer, recipe, self.optimiser, self.world, lambda step: None
        )
        self.lines.append({"kind": name, **line})
        return line

    def critiques(self, groups: Sequence[Group], longest: int) -> dict[str, str]:
        """What the present policy says of its failed attempts, by their ids, at most so many tokens each."""
        found: dict[str, str] = {}
        if self.world.first and self.sampler is not None:
            found = self.sampler.critic(longest).critiques(groups)
        parallel.wait_long(self.world)
        return dict(parallel.everyone(found, self.world)[0])

    def summary(self) -> dict[str, Any]:
        """What the updates of a step came to: counts and seconds added up, everything else averaged over updates."""
        added = ("tokens", "trained_tokens", "forwarded", "attended", "scored", "seconds")
        lines, self.lines = self.lines, []
        found: dict[str, Any] = {name: sum(line[name] for line in lines) for name in added}
        for kind in dict.fromkeys(line["kind"] for line in lines):
            mine = [line for line in lines if line["kind"] == kind]
            prefix = f"{kind}_" if kind else ""
            found[f"{prefix}updates"] = len(mine)
            for name in dict.fromkeys(name for line in mine for name in line):
                if name not in (*added, "kind", "step"):
                    values = [line[name] for line in mine if name in line]
                    found[prefix + name] = sum(values) / len(values)
        return found


def learn_online(
    config: OnlineConfig,
    make: MakeAlgorithm,
    *,
    collect: Collect,
    rate: Rate,
    on_step: Watcher | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Train and return the folder of the model. The same config on the same folder resumes.

    Args:
        config: What to learn from, and how.
        make: The algorithm with what scores its batches, made when the model is loaded.
        collect: Carries out one run, building what is missing.
        rate: The solve rate of a run with its interval.
        on_step: Told of each step.
        tell: Told of measurements and of what is left out.

    Raises:
        RunError: Nothing of a step could be judged, the loss is not a number, or OUT holds something else. What was
            sampled stays, and the last checkpoint; the same command goes on from them.
    """
    world = parallel.join(config.parallel)
    finished = begin(config, world, MAY_CHANGE)
    if finished is not None:
        return finished
    say = tell or (lambda text: None)
    out = Path(config.out)
    tasks = tasks_of_split(config.tasks, "train", config.limit, config.patterns)
    loaded = common.load(config, world)
    algorithm, scorer = make(loaded, world)
    common.spread(scorer, loaded, world)
    optimiser = Optimiser(loaded.module, config.optimiser, steps=config.steps)
    facts = {"tasks": len(tasks)}
    done, state = common.resume(out, optimiser, facts)
    algorithm.restore(state.get("algorithm", {}))
    supply = Supply(config, tasks, state.get("supply", {}))
    rules = SampleRules(
        loaded.vocabulary, tokenizer_mark(loaded.tokenizer), config.max_length, config.hacked_reward, config.drop_hacked
    )
    sampler = Sampler(config, loaded, world, collect)
    learner = Learner(config, loaded, scorer, optimiser, world, sampler)
    settings = config.model_dump(mode="json")
    log = Log(out / "metrics.jsonl", step=done, track=config.track, settings=settings) if world.first else None
    peak, saved = peak_of(world.device), done
    beside: dict[str, Any] = {}

    def settle() -> None:
        """What a checkpoint holds beside weights is that of whole steps."""
        beside.update(algorithm=algorithm.state(), supply=supply.state())

    settle()
    keep = common.keeper(config, optimiser, facts, world, lambda: beside)
    step, whole = done, True
    try:
        sampler.put(f"step-{done}")
        if config.evaluate_every and done == 0:
            _measured(config, sampler, 0, rate, say)
        for step in range(done, config.steps):
            learner.step = step
            started = time.monotonic()
            groups, line = supply.groups(step, sampler, algorithm, loaded.tokenizer, rules)
            line["rollout_seconds"] = time.monotonic() - started
            whole = False
            with common.interruptible() as asked:
                line |= algorithm.learn(groups, learner) if groups else {}
                line |= learner.summary()
                stop = any(parallel.everyone(asked.is_set(), world))
            settle()
            sampler.put(f"step-{step + 1}")
            last = step + 1 == config.steps
            if config.evaluate_every and (last or (step + 1) % config.evaluate_every == 0):
                line |= _measured(config, sampler, step + 1, rate, say)
            if log is not None:
                _append(log, step + 1, line, loaded, peak, world, config, on_step)
            if stop or last or (step + 1) % config.save_every == 0:
                keep(step + 1)
                saved = step + 1
            whole = True
            if stop and not last:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        if whole and step > saved and world.size == 1:  # sampling was cut off: the step before it is whole
            keep(step)
        raise
    finally:
        sampler.close()
        if log is not None:
            log.close()
    del optimiser, learner, keep
    return common.finish(out, loaded, config.compute, world, facts | {"steps": config.steps}, None)


def _append(
    log: Log,
    step: int,
    line: dict[str, Any],
    loaded: Loaded,
    peak: float | None,
    world: World,
    config: OnlineConfig,
    on_step: Watcher | None,
) -> None:
    if line.get("seconds"):
        line |= common.speed_of(line, loaded.shape, peak, world)
    line = {"step": step, **{name: value for name, value in line.items() if value is not None}}
    line = {name: value for name, value in line.items() if not isinstance(value, float) or math.isfinite(value)}
    log.append(line)
    if on_step is not None:
        on_step(StepDone(step, config.steps, line))


def _measured(
    config: OnlineConfig, sampler: Sampler, step: int, rate: Rate, say: Callable[[str], None]
) -> dict[str, Any]:
    """Solve rate of the present weights on held-out tasks, without guidance."""
    measure = config.measure
    chosen = tasks_of_split(measure.tasks or config.tasks, measure.split, measure.limit)
    out = Path(config.out) / "measured" / f"step-{step:08}"
    folder = sampler.attempts(
        chosen,
        out,
        tasks=measure.tasks or config.tasks,
        attempts=measure.attempts,
        guide="never",
        seed=config.seed,
        policy_options={"temperature": measure.temperature},
    )
    found = rate(folder)
    if found is None:
        raise RunError(f"{out}: no attempt was judged, so nothing is measured. See `swegym report {out}`; run again.")
    say(f"step {step}: pass@1 {found['pass@1']:.3f} [{found['low']:.3f}, {found['high']:.3f}] of {found['tasks']}")
    return {"held_out": found["pass@1"], "held_out_low": found["low"], "held_out_high": found["high"]}


def recorded_logps(rows: Sequence[Row]) -> list[Tensor]:
    """Those under which the rows were sampled, of trained tokens only."""
    found = []
    for row in rows:
        assert row.logprobs is not None, "samples have them"
        found.append(torch.from_numpy(row.logprobs[row.mask].copy()))
    return found


def chunks(count: int, size: int | None, seed: Sequence[int]) -> list[list[int]]:
    """Numbers below `count` in a drawn order, `size` at a time; all at once without a size."""
    order = [int(number) for number in order_of(count, seed[1], seed[0])]
    size = size or max(1, count)
    return [order[start : start + size] for start in range(0, count, size)]
