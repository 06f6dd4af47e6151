"""The task sets that come with swegym are sound: as files at once, and in sandboxes where that is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from swegym.grading import make_grader, run_hidden
from swegym.sandbox import open_sandbox
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.tasks.check import apply_gold, check
from swegym.tasks.recipe import PyPIRecipe, expected_ids
from swegym.types import Task

SETS = ("pypi", "mutants", "demo")
TASKS = Path(__file__).parents[2] / "tasks"

# Runs the examples of an issue text as a reader would type them, and prints how many did not give what they say.
EXAMPLES = """
import doctest, sys
test = doctest.DocTestParser().get_doctest(sys.stdin.read(), {}, "issue", "issue", 0)
runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
print(runner.run(test, out=lambda text: None).failed)
"""


@pytest.mark.parametrize("name", SETS)
def test_every_recipe_is_valid(name: str) -> None:
    found = load_task_set(TASKS / name)
    assert len(found) > 0
    for task in found:
        assert expected_ids(found.recipe(task).fail_to_pass)


def test_there_are_enough_tasks_over_enough_packages() -> None:
    found = load_task_set(TASKS / "pypi")
    packages = {found.recipe(task).package for task in found}
    assert len(found) >= 60 and len(packages) >= 20
    demo = load_task_set(TASKS / "demo")
    assert {demo.home(task) for task in demo} == {"pypi", "mutants"}


def test_the_id_of_a_release_pair_says_which_one_it_is() -> None:
    found = load_task_set(TASKS / "pypi")
    for task in found:
        recipe = found.recipe(task)
        assert isinstance(recipe, PyPIRecipe)
        assert task.startswith(f"{recipe.package}-{recipe.buggy.version}-{recipe.fixed.version}")


def test_issues_are_written_and_name_no_release_number_of_the_fix() -> None:
    found = load_task_set(TASKS / "pypi")
    for task in found:
        recipe = found.recipe(task)
        assert isinstance(recipe, PyPIRecipe)
        assert "TODO" not in recipe.issue
        assert not re.search(rf"\b{re.escape(recipe.fixed.version)}\b", recipe.issue)
        assert len(recipe.issue.strip().splitlines()) >= 5


@pytest.fixture(scope="module")
def demo() -> list[Task]:
    found = load_task_set(TASKS / "demo")
    results = build(found)
    assert all(result.built for result in results), [result.error for result in results]
    return [found.load(task) for task in found]


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(900)  # whole checks, questions included
def test_the_demo_tasks_are_sound(demo: list[Task]) -> None:
    """Some of them: `swegym tasks check demo` checks them all."""
    for task in demo[::3]:
        health = check(task, open_sandbox, run_hidden, make_grader(), repeats=1)
        assert health.sound, (task.id, health.problems)


@pytest.mark.network
def test_no_line_of_the_fix_is_quoted_in_the_issue(demo: list[Task]) -> None:
    for task in demo:
        added = {line[1:].strip() for line in task.gold_patch.splitlines() if re.match(r"\+[^+]", line)}
        quoted = {line for line in added if len(line) > 15 and line in task.issue}
        assert not quoted, task.id


@pytest.mark.network
def test_the_examples_of_an_issue_fail_before_the_fix_and_hold_after_it(demo: list[Task]) -> None:
    for task in demo:
        if task.set != "pypi":
            continue
        failed = []
        for patched in (False, True):
            with open_sandbox(task.image) as sandbox:
                if patched:
                    apply_gold(task, sandbox)
                done = sandbox.exec(["python", "-c", EXAMPLES], cwd="/tmp", stdin=task.issue.encode())
                assert done.exit_code == 0, done.text
                failed.append(int(done.stdout))
        assert failed[0] > 0 and failed[1] == 0, (task.id, failed)
