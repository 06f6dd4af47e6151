"""A check finds every way in which a task can be unsound, in real sandboxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from swegym.grading.pytest_run import run_hidden
from swegym.images import store
from swegym.sandbox import open_sandbox
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.tasks.check import check
from swegym.tasks.sealing import sealed_problems
from swegym.types import SandboxFactory, Task, Verdict
from tests.tasks.calc_releases import BUGGY, FIXED, recipe, write_set

pytestmark = pytest.mark.network  # the environment layer


def make(folder: Path, **arguments) -> Task:
    found = load_task_set(write_set(folder, checked=recipe(**arguments)))
    (result,) = build(found)
    assert result.built, result.error
    return found.load("checked")


def fair(task: Task, patch: str, factory: SandboxFactory) -> Verdict:
    """The verdict that a grader which works gives for the only two patches that a check grades."""
    return Verdict(bool(patch), None if patch else "agent", "")


def test_a_sound_task_has_no_problem(tmp_path: Path) -> None:
    health = check(make(tmp_path), open_sandbox, run_hidden, fair)
    assert health.sound and health.problems == ()
    assert (health.fail_to_pass, health.pass_to_pass) == (1, 1)


def test_expectations_that_the_tests_do_not_meet_are_named(tmp_path: Path) -> None:
    fixed = {**FIXED, "tests/test_add.py": FIXED["tests/test_add.py"] + b"\n\ndef test_never():\n    assert 0\n"}
    task = make(tmp_path, fixed=fixed, failing=("test_zero", "test_gone"), passing=("test_more", "test_never"))
    problems = check(task, open_sandbox, run_hidden, fair, repeats=1).problems
    assert [problem.partition(",")[0] for problem in problems] == [
        "tests/test_add.py::test_zero must fail before the gold patch",
        "tests/test_add.py::test_more must pass before the gold patch",
        "tests/test_add.py::test_never must pass before the gold patch",
        "tests/test_add.py::test_gone must pass after the gold patch",
        "tests/test_add.py::test_never must pass after the gold patch",
    ]


def test_a_test_that_changes_its_mind_is_named(tmp_path: Path) -> None:
    task = make(tmp_path)
    calls: list[int] = []

    def moody(sandbox, setup, expected):
        calls.append(1)
        report = run_hidden(sandbox, setup, expected)
        if len(calls) != 4:
            return report
        return replace(report, statuses=dict.fromkeys(report.statuses, "failed"))

    health = check(task, open_sandbox, moody, fair)
    assert health.flaky == {"tests/test_add.py::test_more": 0.5, "tests/test_add.py::test_zero": 0.5}
    assert any("changes its mind" in problem for problem in health.problems), "no test is left that decides"


@pytest.mark.parametrize(
    ("grade", "said"),
    [
        (lambda task, patch, factory: Verdict(True, None, "generous"), "empty patch is judged resolved=True: generous"),
        (lambda task, patch, factory: Verdict(False, "agent", "strict"), "gold patch is judged resolved=False: strict"),
        (lambda task, patch, factory: Verdict(None, "grader", "broken"), "gold patch is judged resolved=None: broken"),
    ],
)
def test_a_grader_that_judges_wrongly_is_named(tmp_path: Path, grade, said: str) -> None:
    assert any(said in problem for problem in check(make(tmp_path), open_sandbox, run_hidden, grade, 1).problems)


def with_layer(task: Task, folder: Path, fill: Callable[[Path], None]) -> Task:
    """The task over an image with one more layer."""
    tree = folder / "layer"
    tree.mkdir()
    fill(tree)
    image = store.make_image([*task.image.layers, store.put_layer(tree)], task.image.environment)
    return replace(task, image=image)


def write(tree: Path, name: str, text: str) -> None:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)


def site(tree: Path) -> str:
    import sys

    return f"opt/venv/lib/python3.{sys.version_info.minor}/site-packages"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("SITE/calc-1.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: calc\nVersion: 1.1\n", "is installed as"),
        ("testbed/.git/logs/HEAD", "0 1\n", "holds logs"),
        ("testbed/.git/hooks/post-commit", "#!/bin/sh\n", "holds hooks"),
        ("testbed/src/calc/extra.py", "", "is not clean"),
    ],
)
def test_what_an_image_should_not_hold_is_found(tmp_path: Path, name: str, text: str, said: str) -> None:
    task = make(tmp_path)
    assert sealed_problems(task, open_sandbox) == []
    leaky = with_layer(task, tmp_path, lambda tree: write(tree, name.replace("SITE", site(tree)), text))
    assert any(said in problem for problem in sealed_problems(leaky, open_sandbox))


def test_objects_and_commits_beyond_the_one_are_found(tmp_path: Path) -> None:
    task = make(tmp_path)
    with open_sandbox(task.image) as sandbox:
        sandbox.exec("echo later > later.txt && git hash-object -w later.txt && rm later.txt")
        dangling = sandbox.snapshot()
        sandbox.exec("git -c user.name=a -c user.email=a@b commit --allow-empty -qm later")
        later = sandbox.snapshot()
    assert any("objects outside" in problem for problem in sealed_problems(task, lambda image: open_sandbox(dangling)))
    assert any("holds the commits" in problem for problem in sealed_problems(task, lambda image: open_sandbox(later)))


def test_hidden_tests_replace_all_that_lies_in_their_folders(tmp_path: Path) -> None:
    task = make(tmp_path, buggy={**BUGGY, "tests/conftest.py": BUGGY["tests/conftest.py"], "tests/old.py": b""})
    from swegym.tasks.check import lay_hidden_tests

    with open_sandbox(task.image) as sandbox:
        lay_hidden_tests(task, sandbox)
        assert sandbox.read("/testbed/tests/data/two.bin") == bytes(range(256))
        assert sandbox.exec(["test", "-e", "tests/old.py"]).exit_code == 1


def test_a_run_that_is_cut_off_is_said_and_not_taken_for_failing_tests(tmp_path: Path) -> None:
    def slow(sandbox, setup, expected):
        return replace(run_hidden(sandbox, setup, expected), ending="time", statuses=dict.fromkeys(expected, "missing"))

    problems = check(make(tmp_path), open_sandbox, slow, fair, repeats=1, thorough=False).problems
    assert [problem.partition(",")[0] for problem in problems] == [
        "its tests before the gold patch hit the limit on time of 120 s",
        "its tests after the gold patch hit the limit on time of 120 s",
    ]
