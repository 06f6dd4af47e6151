"""Micro tasks are the same for a seed, their tests tell right from wrong, and their parts keep apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swegym.errors import InputError, TaskError
from swegym.tasks import load_task_set
from swegym.tasks.micro_options import MicroOptions
from swegym.tasks.sources.micro import CLASSES, TEST_FILE, MicroTask, micro_task

TASKS = Path(__file__).parents[2] / "tasks"
SAMPLE = [micro_task(3, index, MicroOptions(mix={"frequent": 1, "rare": 1, "absent": 1})) for index in range(60)]


def outcomes(made: MicroTask, folder: Path, *, fixed: bool) -> dict[str, bool]:
    """Which hidden tests pass, by a pytest of their own."""
    for path, text in {**made.files, **made.hidden_tests, **({made.path: made.fixed} if fixed else {})}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rA",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ".",
        "-c",
        "none.ini",
    ]
    (folder / "none.ini").write_text("[pytest]\npythonpath = .\n")
    variables = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([*command, TEST_FILE], cwd=folder, env=variables, capture_output=True, text=True)
    lines = [line.split(" ")[:2] for line in done.stdout.splitlines() if line.startswith(("PASSED ", "FAILED "))]
    return {test: status == "PASSED" for status, test in lines}


def test_the_same_seed_gives_the_same_task_and_another_seed_another() -> None:
    assert micro_task(3, 5, MicroOptions()) == micro_task(3, 5, MicroOptions())
    texts = {str(micro_task(seed, index).files) for seed in (3, 4) for index in range(40)}
    assert len(texts) == 80


def test_a_repository_is_small_and_its_opening_short() -> None:
    for made in SAMPLE:
        assert 2 <= len(made.files) <= 5
        assert len(made.issue) < 450
        assert sum(map(len, made.files.values())) < 9000


def test_one_line_is_wrong_and_the_patch_puts_it_right() -> None:
    for made in SAMPLE:
        wrong, right = made.files[made.path].splitlines(), made.fixed.splitlines()
        assert wrong[made.line - 1] not in right or len(wrong) != len(right)
        assert made.gold_patch.startswith(f"diff --git a/{made.path} b/{made.path}\n--- a/{made.path}\n")
        assert made.path in made.source


def test_visible_tests_are_part_of_the_hidden_ones_and_notice_the_bug() -> None:
    for made in SAMPLE:
        for line in made.visible_tests[TEST_FILE].splitlines():
            assert line.strip() in made.hidden_tests[TEST_FILE]
        hidden_only = [
            test for test in made.fail_to_pass if f"{test.partition('::')[2]}(" not in made.visible_tests[TEST_FILE]
        ]
        assert hidden_only and len(hidden_only) < len(made.fail_to_pass)


def test_real_pytest_says_what_the_task_expects(tmp_path: Path) -> None:
    for number, made in enumerate(SAMPLE[:2]):
        before = outcomes(made, tmp_path / f"{number}-before", fixed=False)
        after = outcomes(made, tmp_path / f"{number}-after", fixed=True)
        assert {test for test, passed in before.items() if not passed} == set(made.fail_to_pass)
        assert {test for test, passed in after.items() if passed} == {*made.fail_to_pass, *made.pass_to_pass}


def test_classes_are_drawn_as_the_mix_says() -> None:
    taught = MicroOptions(mix={"frequent": 0.9, "rare": 0.1})
    seen = [micro_task(1, index, taught) for index in range(60)]
    assert {made.bug_class for made in seen}.isdisjoint(CLASSES["absent"])
    assert sum(made.frequency == "frequent" for made in seen) > 40
    only = MicroOptions(mix={"absent": 1})
    assert {micro_task(1, index, only).bug_class for index in range(40)} == set(CLASSES["absent"])


def test_a_bug_may_show_in_another_module_than_it_lies_in() -> None:
    options = MicroOptions(modules=(2, 2), wrapped=1.0)
    for index in range(10):
        made = micro_task(2, index, options)
        assert f">>> from {made.path.removesuffix('.py')} import" not in made.issue


def test_the_shipped_set_names_its_tasks_and_splits() -> None:
    found = load_task_set(TASKS / "micro")
    assert {found.split(f"micro-{split}-0") for split in ("train", "dev", "test")} == {"train", "dev", "test"}
    assert found.split("micro-demos-0") == "train"
    assert found.recipe("micro-test-1").package == "micro"
    assert found.stamp("micro-test-1") != found.stamp("micro-train-1")


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("seed = 1\n[micro.parts.train]\ncount = 3\nmix = { frequent = 0 }", "micro.parts.train"),
        ("seed = 1\n[micro.parts.train]\ncount = 3\nmodules = [3, 1]", "modules must be a range"),
        ("seed = 1\n[micro.parts.train]\ncount = -1", "micro.parts.train.count"),
        ("seed = 1\n[micro.parts.train]\ncount = 1\nmix = { often = 1 }", "often"),
    ],
)
def test_a_wrong_table_is_refused_by_name(tmp_path: Path, table: str, named: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "set.toml").write_text(f'name = "mine"\nversion = "1"\ndescription = "x"\n[micro]\n{table}\n')
    with pytest.raises(InputError, match=named):
        load_task_set(tmp_path / "mine")


def test_a_class_that_no_form_admits_is_an_error() -> None:
    with pytest.raises(TaskError, match="dropped_not"):
        micro_task(1, 1, MicroOptions(mix={"rare": 1}, classes={"rare": ("dropped_not",)}))


@pytest.mark.network
def test_a_task_is_built_when_it_is_first_loaded_and_is_sound() -> None:
    from swegym.grading import make_grader, run_hidden
    from swegym.sandbox import open_sandbox
    from swegym.tasks.check import check

    found = load_task_set(TASKS / "micro")
    assert not found.is_built("micro-dev-3")
    task = found.load("micro-dev-3")
    assert found.is_built("micro-dev-3")
    health = check(task, open_sandbox, run_hidden, make_grader(), repeats=1)
    assert health.sound, health.problems
