"""The Docker backend against the contract, on a real engine."""

import pytest
from container_engine import engine  # noqa: F401 - a fixture

from swegym.sandbox import Limits, sandbox_factory
from swegym.sandbox.contract import CHECKS, Check, run_check
from swegym.types import Image

LIMITS = Limits(memory_bytes=512 << 20, processes=128, disk_bytes=300 << 20)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("item", CHECKS, ids=lambda item: item.name)
def test_contract(item: Check, engine: str) -> None:  # noqa: F811
    run_check(item, sandbox_factory("docker", LIMITS), Image("contract", "host"))
