"""One check of the sandbox contract, and the list of them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from swegym.types import Sandbox

Open = Callable[[], Sandbox]


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    capability: str
    run: Callable[[Callable[..., Sandbox]], None]


CHECKS: list[Check] = []


def check(capability: str) -> Callable[[Callable[[Callable[..., Sandbox]], None]], Callable[..., None]]:
    def add(function: Callable[[Callable[..., Sandbox]], None]) -> Callable[..., None]:
        CHECKS.append(Check(function.__name__, capability, function))
        return function

    return add


def raises(kind: type[BaseException], call: Callable[[], object]) -> None:
    """Assert that `call` raises `kind`."""
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}")
