"""Several processes on one training run, started by torchrun: who they are, what each works on, how they add up.

ddp   every process holds the whole model. Gradients are added once a step, in float32, after all its parts: that is
      what torch's own wrapper does in its last part, without its averaging, which would weigh parts and not rows.
fsdp  weights, gradients and AdamW's state are sharded by layer (FSDP2); only the layer at work is whole.

Either way a step holds the same rows and its loss is divided by the same totals, so the number of processes changes
nothing but the order of additions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from swegym.errors import InputError

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class World:
    rank: int
    size: int
    device: torch.device
    sharded: bool

    @property
    def first(self) -> bool:
        return self.rank == 0


def join(kind: str = "auto") -> World:
    """The world that torchrun's variables describe, or this process alone; joins the process group once.

    `kind` is ddp, fsdp or auto, which shards as soon as there is more than one GPU.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpu else "gloo")
    if kind == "fsdp" and size == 1:
        raise InputError.at(
            "parallel", "parallel", kind, "there is one process", "Start it by torchrun --nproc-per-node N."
        )
    return World(rank, size, device, size > 1 and (kind == "fsdp" or (kind == "auto" and on_gpu)))


def shard(scorer: nn.Module, layers: Sequence[nn.Module], dtype: torch.dtype, world: World) -> None:
    """Shard a scorer in place: each layer a unit, and what is left (embeddings, head) another."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(world.device.type, (world.size,))
    precision = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=precision)
    fully_shard(scorer, mesh=mesh, mp_policy=precision)


def loss_factor(world: World) -> float:
    """What a loss is multiplied with: FSDP averages gradients over processes, and a step's parts must add up."""
    return float(world.size) if world.sharded else 1.0


def add_gradients(gradients: Sequence[Tensor], world: World) -> None:
    if world.size > 1 and not world.sharded:
        for gradient in gradients:
            dist.all_reduce(gradient)


def total(values: Mapping[str, float], world: World) -> dict[str, float]:
    """Each value added up over all processes; all must have the same keys."""
    names = sorted(values)
    if world.size == 1:
        return {name: values[name] for name in names}
    device = world.device
    added = torch.tensor([values[name] for name in names], dtype=torch.float64, device=device)
    dist.all_reduce(added)
    return dict(zip(names, added.tolist(), strict=True))


def everyone(value: Any, world: World) -> list[Any]:
    """Some value of every process, in the order of ranks."""
    if world.size == 1:
        return [value]
    found: list[Any] = [None] * world.size
    dist.all_gather_object(found, value)
    return found


def wait_for_all(world: World) -> None:
    if world.size > 1:
        dist.barrier()


_long: list[Any] = []


def wait_long(world: World) -> None:
    """As `wait_for_all`, for work of one process that takes hours: the usual groups give up after minutes."""
    if world.size == 1:
        return
    if not _long:
        _long.append(dist.new_group(backend="gloo", timeout=timedelta(days=14)))
    dist.barrier(group=_long[0])


def share(items: Sequence[Item], world: World) -> list[Item | None]:
    """Share of this process, heaviest first. All shares are equally long, for sharded layers are gathered together;
    None says: nothing of its own, so work on something and count it for nothing.
    """
    filled = [*items, *[None] * (-len(items) % world.size)]
    return [item for place, item in enumerate(filled) if place % world.size == world.rank]


def whole(tensor: Tensor) -> Tensor:
    """A tensor in host memory, gathered if it is sharded. Every process must call it."""
    from torch.distributed.tensor import DTensor

    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().to("cpu", copy=True)


def is_sharded(state: Mapping[str, Any]) -> bool:
    from torch.distributed.tensor import DTensor

    return any(isinstance(value, DTensor) for value in state.values())


def as_sharded(full: Tensor, like: Tensor) -> Tensor:
    """`full` laid out as `like` is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    full = full.to(like.device, like.dtype)
    return distribute_tensor(full, like.device_mesh, like.placements) if isinstance(like, DTensor) else full
