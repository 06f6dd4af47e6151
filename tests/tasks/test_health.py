"""Health is kept beside the built task; flaky tests decide no longer; unsound and weak tasks say why they are unfit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from swegym.tasks import built, health
from swegym.tasks.health import TaskHealth
from swegym.types import HiddenTests, Image, OfficialTests, Task, TestSetup


@pytest.fixture
def task(tmp_path: Path) -> Task:
    hidden = HiddenTests({}, ("tests",), ("t.py::a", "t.py::b"), ("t.py::c", "t.py::d"))
    setup = TestSetup(("tests",))
    name = f"health-{tmp_path.name}"
    made = Task(name, "made", "p 1", "issue", Image("", "host"), setup, hidden, "", tmp_path, "", ("p",), "digest")
    built.folder_of("made", name).mkdir(parents=True)
    return made


def test_what_was_saved_is_loaded(task: Task) -> None:
    found = TaskHealth(
        task.id, (), 2, 2, {"t.py::c": 0.25}, ("t.py::d",), ("stub",), 1.5, 40.0, 0.75, repeats=4, digest="d"
    )
    health.save(found, task.set)
    assert health.load(task.set, task.id) == found
    assert health.load(task.set, "another") is None


def test_flaky_tests_decide_no_longer_and_the_digest_says_so(task: Task) -> None:
    assert health.without_flaky(task) is task
    health.save(TaskHealth(task.id, (), 2, 2, {"t.py::a": 0.5, "t.py::c": 0.25}), task.set)
    left = health.without_flaky(task)
    assert (left.hidden.fail_to_pass, left.hidden.pass_to_pass) == (("t.py::b",), ("t.py::d",))
    assert left.digest != task.digest


def test_a_published_row_stays_one_without_its_flaky_tests(task: Task) -> None:
    official = OfficialTests(("a", "b"), ("c", "d"))
    row = replace(task, hidden=replace(task.hidden, official=official))
    health.save(TaskHealth(task.id, (), 2, 2, {"t.py::c": 0.25}), task.set)
    left = health.without_flaky(row)
    assert (left.hidden.pass_to_pass, left.hidden.official) == (("t.py::d",), official)


def test_a_task_is_left_as_it_is_when_nothing_would_decide(task: Task) -> None:
    health.save(TaskHealth(task.id, ("all flaky",), 2, 2, {"t.py::a": 0.5, "t.py::b": 0.5}), task.set)
    assert health.without_flaky(task) is task


def test_why_a_task_is_unfit_is_said() -> None:
    assert TaskHealth("t", (), 1, 1).unfit is None
    assert TaskHealth("t", ("it leaks",), 1, 1).unfit == "unsound: it leaks"
    assert TaskHealth("t", (), 1, 1, weak=("stub",)).unfit == "weak: stub passes"
