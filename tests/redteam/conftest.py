"""The redteam's repositories as tasks, built without a network: this machine's pytest is their environment."""

import pytest
import tiny_set

from swegym.tasks import environment, load_task_set
from swegym.tasks.build import build
from swegym.types import Task


def built(name: str) -> dict[str, Task]:
    """The tasks of a shipped set whose recipes hold their repositories."""
    layer = tiny_set._environment()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "environment_layer", lambda requirements: (layer, True))
        task_set = load_task_set(name)
        results = build(task_set)
    assert all(result.built for result in results), [result.error for result in results]
    return {task: task_set.load(task) for task in task_set}


@pytest.fixture(scope="session")
def grounds(store: object) -> dict[str, Task]:
    return built("redteam")


@pytest.fixture(scope="session")
def honeypots(store: object) -> dict[str, Task]:
    return built("honeypots")
