"""One store for a whole test session, never the user's."""

import asyncio
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SWEGYM_HOME of this session, shared by all xdist workers so that nothing is downloaded or built twice."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    home = shared / "store"
    home.mkdir(exist_ok=True)
    os.environ["SWEGYM_HOME"] = str(home)
    return home


@pytest.fixture(scope="session", autouse=True)
def no_event_loop_by_the_way() -> None:
    """Libraries may not leave an event loop behind: collected in a later test, it is that test's warning."""
    asyncio.set_event_loop(None)
