"""Every backend against the contract."""

import pytest

from swegym.sandbox import Limits, sandbox_factory
from swegym.sandbox.contract import CHECKS, Check, run_check, run_contract
from swegym.types import Image

BACKENDS = {
    "fake": {"files", "exec"},
    "bubblewrap": {"files", "exec", "shell", "isolation", "limits"},
}
IMAGE = Image("contract", "host")
LIMITS = Limits(memory_bytes=512 << 20, processes=128, disk_bytes=300 << 20)
CASES = [
    pytest.param(backend, item, id=f"{backend}-{item.name}")
    for backend, capabilities in BACKENDS.items()
    for item in CHECKS
    if item.capability in capabilities
]


@pytest.mark.parametrize(("backend", "item"), CASES)
def test_contract(backend: str, item: Check) -> None:
    run_check(item, sandbox_factory(backend, LIMITS), IMAGE)


def test_the_report_names_what_failed_and_what_was_not_claimed() -> None:
    results = {result.name: result for result in run_contract(sandbox_factory("fake"), IMAGE, {"files", "shell"})}
    assert results["bytes_survive_a_round_trip"].outcome == "passed"
    assert results["streams_are_kept_apart"].outcome == "failed"
    assert results["streams_are_kept_apart"].detail.startswith("AssertionError")
    assert results["a_fork_bomb_is_contained"].outcome == "skipped"
