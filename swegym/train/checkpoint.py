"""Checkpoints: all that decides how training goes on, in one file, whole or not there.

    OUT/checkpoints/step-00000120.pt     master weights, AdamW's state, the number of steps done

What a step sees is a function of seed and step number, so this is enough for the same continuation, on any number of
processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from swegym.errors import RunError
from swegym.train.optimiser import Optimiser
from swegym.train.parallel import World, as_sharded, wait_for_all, whole


def save(
    folder: Path,
    step: int,
    optimiser: Optimiser,
    facts: Mapping[str, Any],
    world: World,
    *,
    keep: int,
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Write the state after `step` steps and remove all but the `keep` newest.

    `more` is what a trainer needs beside weights to go on: plain values and tensors.

    Raises:
        RunError: It cannot be written; earlier checkpoints are untouched.
    """
    state = optimiser.state()
    # Every process takes part in gathering; the first one writes.
    plain: dict[str, Any] = {"step": step, "facts": dict(facts)}
    plain["masters"] = {name: whole(master) for name, master in state["masters"].items()}
    plain["adam"] = _mapped(state["adam"], whole)
    plain["more"] = _mapped(dict(more or {}), whole)
    path = folder / f"step-{step:08}.pt"
    if world.first:
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, plain)
        for old in checkpoints(folder)[:-keep]:
            old.unlink(missing_ok=True)
    wait_for_all(world)
    return path


def _write(path: Path, state: Mapping[str, Any]) -> None:
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: what torch makes of a file that takes no more
        new.unlink(missing_ok=True)
        last = checkpoints(path.parent)
        kept = f"{last[-1]} is kept" if last else "there is no earlier one"
        raise RunError(
            f"{path}: cannot be written: {error}. Free some space and run the same command; {kept}."
        ) from error


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(folder.glob("step-*.pt"))


def read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise RunError(f"{path}: cannot be read: {error}. Remove it; training goes on from the one before.") from error
    return state


def restore(state: Mapping[str, Any], optimiser: Optimiser) -> None:
    """Put a checkpoint's state into a freshly made optimiser and the weights it updates."""
    masters = {name: as_sharded(state["masters"][name], master) for name, master in optimiser.masters.items()}
    of_index = list(optimiser.adam.param_groups)
    order = [weight for group in of_index for weight in group["params"]]
    adam = dict(state["adam"])
    adam["state"] = {
        index: {
            name: as_sharded(value, order[index]) if isinstance(value, torch.Tensor) and value.ndim else value
            for name, value in entries.items()
        }
        for index, entries in adam["state"].items()
    }
    optimiser.restore({"masters": masters, "adam": adam})


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(entry, change) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(entry, change) for entry in value]
    return value
