"""The contract of `Sandbox` as a suite that any backend can be run against.

    from swegym.sandbox.contract import run_contract
    results = run_contract(my_factory, image, {"files", "exec", "shell"})

A check is a function that opens what it needs and raises AssertionError with a sentence. It belongs to one capability:

    files      read, write, snapshot, close
    exec       exit codes, streams, stdin, cwd, timeouts
    shell      a real shell and real processes
    isolation  nothing of the host is seen or changed
    limits     memory, processes, disk and output hold
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from swegym.sandbox import contract_basics, contract_isolation  # noqa: F401 - importing them fills CHECKS
from swegym.sandbox.contract_check import CHECKS, Check
from swegym.types import Image, Sandbox, Snapshot

__all__ = ["CAPABILITIES", "CHECKS", "Check", "CheckResult", "run_check", "run_contract"]

CAPABILITIES = ("files", "exec", "shell", "isolation", "limits")


@dataclass(frozen=True, slots=True)
class CheckResult:
    name: str
    capability: str
    outcome: str  # passed | failed | skipped
    detail: str
    seconds: float


def run_contract(
    factory: Callable[..., Sandbox],
    image: Image,
    capabilities: Collection[str] = CAPABILITIES,
    on_result: Callable[[CheckResult], None] | None = None,
) -> list[CheckResult]:
    """Run every check; those of other capabilities are reported as skipped. Never raises for a failed check."""
    results = []
    for item in CHECKS:
        started = time.monotonic()
        outcome, detail = "passed", ""
        if item.capability not in capabilities:
            outcome, detail = "skipped", f"this backend does not claim {item.capability!r}"
        else:
            try:
                run_check(item, factory, image)
            except Exception as error:  # a backend of somebody else may raise anything; that is what is reported
                outcome, detail = "failed", f"{type(error).__name__}: {error}"
        results.append(CheckResult(item.name, item.capability, outcome, detail, time.monotonic() - started))
        if on_result is not None:
            on_result(results[-1])
    return results


def run_check(item: Check, factory: Callable[..., Sandbox], image: Image) -> None:
    """Run one check; sandboxes that it opens are closed afterwards."""
    opened: list[Sandbox] = []

    def open_one(source: Image | Snapshot = image) -> Sandbox:
        opened.append(factory(source))
        return opened[-1]

    try:
        item.run(open_one)
    finally:
        for box in opened:
            box.close()
