"""The loop around a training step, the same for every trainer: order, parts, backward, update, checkpoint, log.

A step is a set of examples. It is cut into parts that fit the token budget, the parts are shared among processes, and
each part's loss is divided by what the whole step holds. So the gradient of a step does not depend on the budget, the
layout or the number of processes, and a trainer is a `Recipe`: what its examples are, and their loss.

    OUT/
    ├── config.toml      resolved settings; the same command resumes
    ├── metrics.jsonl    a line for each step
    ├── refused.jsonl    rows that were left out, and why
    ├── checkpoints/     see checkpoint.py
    ├── train.json       written last: what came out
    └── model/           a plain `save_pretrained` folder
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from swegym.errors import RunError
from swegym.rollout.folder import write_atomically
from swegym.train import checkpoint, parallel
from swegym.train.batch import Batch, Refused, order_of
from swegym.train.measure import Log, peak_of
from swegym.train.model import Loaded, ModelConfig, load_model, save_model
from swegym.train.optimiser import Optimiser
from swegym.train.parallel import World
from swegym.train.reading import Rules
from swegym.train.settings import TrainConfig, TrainerConfig


@dataclass(frozen=True, slots=True)
class Part:
    """Examples that go through the model together; in several batches when they do not fit at once."""

    batches: tuple[Batch, ...]
    items: tuple[int, ...]

    def to(self, device: torch.device) -> Part:
        return Part(tuple(batch.to(device) for batch in self.batches), self.items)


class Recipe(Protocol):
    """A trainer: its examples and their loss."""

    count: int
    digest: str

    def parts(self, items: Sequence[int]) -> list[Part]:
        """The examples of a step, cut to the token budget."""
        ...

    def totals(self, items: Sequence[int]) -> Mapping[str, float]:
        """What the whole step holds, for losses to be divided by."""
        ...

    def loss(
        self, outputs: Sequence[Tensor], part: Part, totals: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A part's share of the step's loss, and of its metrics, from what the scorer gave for each batch."""
        ...

    def names(self, items: Sequence[int]) -> list[str]:
        """Where examples come from, for messages."""
        ...


@dataclass(frozen=True, slots=True)
class StepDone:
    """Told to whoever shows progress."""

    step: int
    steps: int
    line: Mapping[str, Any]


Watcher = Callable[[StepDone], None]
After = Callable[[Path], Mapping[str, Any]]
"""Given the saved model's folder by the first process, before training counts as over; its facts join the report."""


def train(
    config: TrainConfig,
    loaded: Loaded,
    scorer: nn.Module,
    recipe: Recipe,
    world: World,
    *,
    on_step: Watcher | None = None,
    report: Mapping[str, Any] | None = None,
    after: After | None = None,
) -> Path:
    """Train to the end, from the newest checkpoint if there is one, and return the model's folder.

    SIGINT and SIGTERM end it after the step in progress, with a checkpoint. Where `after` was interrupted, the same
    command calls it again.

    Raises:
        RunError: The loss is not a number, memory runs out, the disk is full, or OUT holds something else. The last
            checkpoint stays, and the same command goes on from it.
    """
    out = Path(config.out)
    peak = peak_of(world.device)
    if world.sharded:
        scorer.reshard()  # what went through it before, such as a reference pass, leaves its root gathered
    steps = steps_of(config, recipe.count)
    optimiser = Optimiser(loaded.module, config.optimiser, steps=steps)
    facts = {"data": recipe.digest, "examples": recipe.count, "steps": steps}
    done, _ = resume(out, optimiser, facts)
    log = (
        Log(out / "metrics.jsonl", step=done, track=config.track, settings=config.model_dump(mode="json"))
        if world.first
        else None
    )
    keep = keeper(config, optimiser, facts, world)

    try:
        with interruptible() as asked:
            for step in range(done, steps):
                items = items_of(config, recipe.count, step)
                line = update(step, items, config, scorer, recipe, optimiser, world, keep)
                if log is not None:
                    line |= speed_of(line, loaded.shape, peak, world)
                    log.append(line)
                    if on_step is not None:
                        on_step(StepDone(step + 1, steps, line))
                stop = any(parallel.everyone(asked.is_set(), world))
                if stop or (step + 1) % config.save_every == 0 or step + 1 == steps:
                    keep(step + 1)
                if stop and step + 1 < steps:
                    raise KeyboardInterrupt
    finally:
        if log is not None:
            log.close()
    del optimiser, keep  # what comes after may need their memory
    return finish(out, loaded, config.compute, world, facts | dict(report or {}), after)


def keeper(
    config: TrainerConfig,
    optimiser: Optimiser,
    facts: Mapping[str, Any],
    world: World,
    more: Callable[[], Mapping[str, Any]] = dict,
) -> Callable[[int], None]:
    """What writes the checkpoint after so many steps, with what `more` gives beside the weights."""

    def keep(step: int) -> None:
        folder = Path(config.out) / "checkpoints"
        checkpoint.save(folder, step, optimiser, facts, world, keep=config.keep, more=more())

    return keep


def steps_of(config: TrainConfig, count: int) -> int:
    whole = config.epochs * math.ceil(count / config.examples_per_step)
    return whole if config.steps is None else config.steps


def items_of(config: TrainConfig, count: int, step: int) -> list[int]:
    """The examples of a step. Each epoch goes through all of them in an order of its own."""
    per_epoch = math.ceil(count / config.examples_per_step)
    epoch, place = divmod(step, per_epoch)
    order = order_of(count, epoch, config.seed)
    return [int(item) for item in order[place * config.examples_per_step : (place + 1) * config.examples_per_step]]


def update(
    step: int,
    items: Sequence[int],
    config: TrainerConfig,
    scorer: nn.Module,
    recipe: Recipe,
    optimiser: Optimiser,
    world: World,
    keep: Callable[[int], None],
) -> dict[str, Any]:
    """One update; returns the step's line for the log."""
    started = time.monotonic()
    totals, parts = recipe.totals(items), recipe.parts(items)
    sums: dict[str, float] = {
        "loss": 0.0,
        "tokens": 0.0,
        "trained_tokens": 0.0,
        "forwarded": 0.0,
        "attended": 0.0,
        "scored": 0.0,
    }
    broken: list[str] = []
    found: list[tuple[Part, dict[str, Tensor]]] = []
    # Split parts apart from others, so that all processes go through the model equally often.
    for kind in (True, False):
        for mine in parallel.share([part for part in parts if (len(part.batches) > 1) == kind], world):
            idle = mine is None
            part = (mine or next(part for part in parts if (len(part.batches) > 1) == kind)).to(world.device)
            try:
                metrics = _backward(scorer, recipe, part, totals, parallel.loss_factor(world) * (0.0 if idle else 1.0))
            except torch.OutOfMemoryError as error:
                optimiser.adam.zero_grad(set_to_none=True)
                raise _out_of_memory(config, part, error) from error
            if not idle:
                found.append((part, metrics))
    for part, metrics in found:
        values = {name: float(value) for name, value in metrics.items()}
        if not math.isfinite(values["loss"]):
            broken += recipe.names(part.items)
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value
        for batch in part.batches:
            sums["tokens"] += batch.row_tokens
            sums["forwarded"] += batch.tokens
            sums["attended"] += batch.attended
            sums["trained_tokens"] += len(batch.targets_N)
            sums["scored"] += len(batch.targets_N)
    broken = [name for names in parallel.everyone(broken, world) for name in names]
    if broken:
        optimiser.adam.zero_grad(set_to_none=True)
        keep(step)
        raise RunError(
            f"step {step + 1}: the loss is not a number, from {', '.join(broken[:4])}"
            f"{f' and {len(broken) - 4} more' if len(broken) > 4 else ''}. A checkpoint from before this step is "
            "kept. Look at those rows, or lower optimiser.learning_rate."
        )
    known = sorted(set().union(*parallel.everyone(sorted(sums), world)))
    sums = parallel.total({name: sums.get(name, 0.0) for name in known}, world)
    parallel.add_gradients(optimiser.gradients(), world)
    length, rate = optimiser.step(step)
    if not math.isfinite(length):
        keep(step)
        raise RunError(
            f"step {step + 1}: the gradient is not a number, from {', '.join(recipe.names(items)[:4])} and others. A "
            "checkpoint from before this step is kept. Lower optimiser.learning_rate, or use float32."
        )
    counted = {"tokens", "trained_tokens", "forwarded", "attended", "scored"}
    line: dict[str, Any] = {"step": step + 1}
    line |= {name: int(value) if name in counted else value for name, value in sums.items()}
    return line | {"gradient_norm": length, "learning_rate": rate, "seconds": time.monotonic() - started}


def _backward(
    scorer: nn.Module, recipe: Recipe, part: Part, totals: Mapping[str, float], factor: float
) -> dict[str, Tensor]:
    """Add a part's gradient to the weights. A part of several batches is exact too, with one batch in memory at a time:
    all are scored without gradients, the loss says how it depends on each score, and each is then scored again.
    """
    if len(part.batches) == 1:
        outputs = [scorer(part.batches[0])]
        loss, metrics = recipe.loss(outputs, part, totals)
        (loss * factor).backward()
    else:
        with torch.no_grad():
            outputs = [scorer(batch) for batch in part.batches]
        outputs = [output.detach().requires_grad_() for output in outputs]
        loss, metrics = recipe.loss(outputs, part, totals)
        (loss * factor).backward()
        for batch, output in zip(part.batches, outputs, strict=True):
            scorer(batch).backward(output.grad)
    return metrics | {"loss": loss.detach()}


def _out_of_memory(config: TrainerConfig, part: Part, error: Exception) -> RunError:
    tokens = max(batch.ids_BT.numel() for batch in part.batches)
    lower = [f"tokens_per_batch (now {config.tokens_per_batch})", f"max_length (now {config.max_length})"]
    if not config.compute.checkpointing:
        lower.insert(0, "compute.checkpointing = true")
    if config.compute.lora is None:
        lower.append("train adapters instead of all weights (compute.lora.rank = 16)")
    return RunError(
        f"out of memory with {tokens} tokens in one batch ({str(error).partition('.')[0]}). Lower one of: "
        f"{'; '.join(lower)}; or shard over more GPUs (parallel = 'fsdp'). The same command goes on from the "
        "last checkpoint."
    )


def speed_of(line: Mapping[str, Any], shape: Any, peak: float | None, world: World) -> dict[str, Any]:
    operations = shape.operations(line["forwarded"], line["scored"], line["attended"])
    speed: dict[str, Any] = {"tokens_per_second": line["tokens"] / line["seconds"]}
    if peak is not None:
        speed["mfu"] = operations / line["seconds"] / (peak * world.size)
        speed["memory_bytes"] = torch.cuda.max_memory_allocated()
    return speed


def decoder_layers(base: Any) -> list[nn.Module]:
    """The repeated layers of a transformers model."""
    lists = [list(module) for module in base.base_model.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len)


def resume(out: Path, optimiser: Optimiser, facts: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    """Steps done before, 0 for a new run; and what the checkpoint holds beside weights."""
    there = checkpoint.checkpoints(out / "checkpoints")
    if not there:
        return 0, {}
    state = checkpoint.read(there[-1])
    for name, value in facts.items():
        if state["facts"].get(name) != value:
            raise RunError(
                f"{there[-1]}: {name} = {state['facts'].get(name)!r}, but now it is {value!r}: other data or settings "
                "than this run began with. Choose another folder (out), or bring the data back."
            )
    checkpoint.restore(state, optimiser)
    return int(state["step"]), state.get("more", {})


def finish(
    out: Path, loaded: Loaded, compute: ModelConfig, world: World, report: Mapping[str, Any], after: After | None
) -> Path:
    folder = out / "model"
    if world.sharded:
        state = {name: parallel.whole(weight) for name, weight in loaded.module.state_dict().items()}
        if world.first:  # an unsharded model takes the gathered weights, so that adapters can be merged as ever
            compute = compute.model_copy(update={"dtype": str(loaded.dtype).removeprefix("torch.")})
            loaded = load_model(loaded.folder, compute, device=torch.device("cpu"), score=loaded.score)
            loaded.module.load_state_dict(state)
    if world.first:
        save_model(loaded, folder)
        more = after(folder) if after is not None else {}
        whole = {**report, "model": str(folder), **more}
        write_atomically(out / "train.json", json.dumps(whole, indent=2) + "\n")
    parallel.wait_for_all(world)
    return folder


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Set when the process was asked to end; a second time ends it at once. Other threads than the main one: never."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    earlier = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def load(config: TrainerConfig, world: World, *, score: bool = False) -> Loaded:
    """The model, on this process's device."""
    torch.manual_seed(config.seed)  # new weights (adapters, a score head) must be the same in every process
    compute = config.compute
    if not world.sharded:
        return load_model(config.model, compute, device=world.device, score=score)
    # Shards are the master weights, so they are float32; the computation's dtype is applied when they are gathered.
    # No GPU needs to hold the whole of them: a layer leaves the host when it is sharded.
    full = compute.model_copy(update={"dtype": "float32"})
    loaded = load_model(config.model, full, device=torch.device("cpu"), score=score)
    loaded.device = world.device
    if compute.dtype == "bfloat16" or (compute.dtype == "auto" and world.device.type == "cuda"):
        loaded.dtype = torch.bfloat16
    return loaded


def prepare(config: TrainConfig, world: World, *, score: bool = False) -> tuple[Loaded, Rules]:
    """The model, and the rules for its rows."""
    loaded = load(config, world, score=score)
    rules = Rules(config.max_length, config.too_long, config.mask, loaded.vocabulary, config.tokens)
    return loaded, rules


def spread(scorer: nn.Module, loaded: Loaded, world: World) -> None:
    """Shard a scorer where that was asked for; before anything goes through it."""
    if world.sharded:
        parallel.shard(scorer, decoder_layers(loaded.base), loaded.dtype, world)


def note_refused(config: TrainConfig, refused: Refused, world: World) -> None:
    if world.first:
        lines = [json.dumps({"row": name, "reason": reason}) + "\n" for name, reason in refused.names]
        write_atomically(Path(config.out) / "refused.jsonl", "".join(lines))
