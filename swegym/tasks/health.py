"""The health of a task: what a check found, kept beside the built task and gone with it.

Sound means that the hidden tests decide as the recipe says and that the seal holds. Beside that, a task may have tests
that change their mind (quarantined when it is loaded: they no longer decide) and ways in which it is weak: patches that
solve nothing and pass. And a run of its tests costs time and memory.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swegym.images import store
from swegym.tasks import built
from swegym.types import Task

_FORMAT = 1
_FILE = "health.json"


@dataclass(frozen=True, slots=True)
class TaskHealth:
    """What a check found. Sound when there is no problem."""

    id: str
    problems: tuple[str, ...]
    fail_to_pass: int
    pass_to_pass: int
    flaky: Mapping[str, float] = field(default_factory=dict)  # test -> share of runs in which it was not as usual
    order: tuple[str, ...] = ()  # tests that change when others run before them
    weak: tuple[str, ...] = ()  # trivial patches that are judged to be solutions, by name
    seconds: float = 0.0  # one run of the hidden tests, median
    memory_mb: float | None = None  # most that it took; None where it could not be measured
    strength: float | None = None  # share of wrong fixes that the hidden tests notice
    coverage: Mapping[str, Any] = field(default_factory=dict)  # how many deciding tests can be asked, by layer
    repeats: int = 0
    thorough: bool = True  # also another order, trivial patches, and the grader's questions
    digest: str = ""  # of the task that was checked

    @property
    def sound(self) -> bool:
        return not self.problems

    @property
    def unfit(self) -> str | None:
        """Why episodes of this task should train nobody; None if they may."""
        if self.problems:
            return f"unsound: {self.problems[0]}"
        return f"weak: {self.weak[0]} passes" if self.weak else None


def save(health: TaskHealth, set_name: str) -> None:
    """Keep it beside the built task."""
    record = {"format": _FORMAT, **dataclasses.asdict(health)}
    data = json.dumps(record, indent=1, sort_keys=True).encode()
    store.write_atomically(built.folder_of(set_name, health.id) / _FILE, data)


def load(set_name: str, task: str) -> TaskHealth | None:
    """What the last check of this build found; None if there was none, or one of another version."""
    try:
        record: dict[str, Any] = json.loads((built.folder_of(set_name, task) / _FILE).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    if record.pop("format", None) != _FORMAT:
        return None
    names = {one.name for one in dataclasses.fields(TaskHealth)}
    lists = {name: tuple(record[name]) for name in ("problems", "order", "weak")}
    return TaskHealth(**{**{name: record[name] for name in names & record.keys()}, **lists})


def without_flaky(task: Task) -> Task:
    """The task as it decides: tests that a check saw change their mind are expected no more, and its digest says so.

    One whose failing tests are all flaky is left as it is; its check says that it is unsound.
    """
    health = load(task.set, task.id)
    if health is None or not health.flaky:
        return task
    failing = tuple(test for test in task.hidden.fail_to_pass if test not in health.flaky)
    passing = tuple(test for test in task.hidden.pass_to_pass if test not in health.flaky)
    gone = sorted(set(task.hidden.expected) - {*failing, *passing})
    if not failing or not gone:
        return task
    hidden = dataclasses.replace(task.hidden, fail_to_pass=failing, pass_to_pass=passing)
    return dataclasses.replace(task, hidden=hidden, digest=store.json_digest([task.digest, gone]))
