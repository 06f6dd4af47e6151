"""Students: a policy is a callable `(messages, tools) -> assistant message`, made fresh for every episode.

A policy module has one function, `policy(context) -> Policy`. It is handed the public half of a task only; a
module that says `PRIVILEGED = True` also gets the private half, and exists to check tasks, never to measure anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, cast

from swegym.errors import InputError, UnknownName
from swegym.types import Policy, PublicTask, Task

POLICIES = {
    "nop": "swegym.policies.nop:policy",
    "gold": "swegym.policies.gold:policy",
    "scripted": "swegym.policies.scripted:policy",
    "human": "swegym.policies.human:policy",
    "hf": "swegym.policies.hf:policy",
    "litellm": "swegym.policies.litellm:policy",
    "repair": "swegym.policies.repair:policy",
    "staged": "swegym.policies.staged:policy",
}


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """What a policy is made from: one episode's task, its seed, and the user's options."""

    task: PublicTask
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    private: Task | None = None  # only for modules that declare PRIVILEGED = True


PolicyFactory = Callable[[PolicyContext], Policy]


def make_policy(name: str, task: Task, *, seed: int, options: Mapping[str, Any] | None = None) -> Policy:
    """A fresh policy for one episode.

    Args:
        name: a name in `POLICIES`, or an import path such as `my_package.student:policy`.
        task: the task; only its public half is passed on, unless the policy's module is privileged.
        seed: decides every random choice of the policy.
        options: the policy's own settings; each policy refuses those it does not know.
    """
    factory, privileged = find_policy(name)
    context = PolicyContext(task.public(), seed, dict(options or {}), task if privileged else None)
    return factory(context)


def find_policy(name: str) -> tuple[PolicyFactory, bool]:
    """The factory behind a name or import path, and whether it is privileged."""
    path = name if ":" in name else POLICIES.get(name)
    if path is None:
        raise UnknownName.among("policy", name, POLICIES, "Or give an import path: my_package.student:policy.")
    module_name, _, attribute = path.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and something that it imports is not
        raise UnknownName(
            f"policy {name!r}: no module {error.name!r}. Install it or correct the import path."
        ) from None
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise InputError(
            f"policy {name!r}: {module_name} has no callable {attribute!r}. Name a `policy(context)` function."
        )
    return cast(PolicyFactory, factory), getattr(module, "PRIVILEGED", False) is True
