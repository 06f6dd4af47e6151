"""Mining keeps what makes a task, says why it keeps nothing else, and what it keeps is sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from swegym.grading.pytest_run import run_hidden
from swegym.sandbox import open_sandbox
from swegym.tasks import mining, split
from swegym.tasks.build import assemble
from swegym.tasks.check import apply_gold, lay_hidden_tests
from swegym.tasks.examining import Mined, examine
from swegym.tasks.mutation import splice
from swegym.tasks.recipe import Release, expected_ids
from tests.tasks.calc_releases import keep_release

CODE = b"""def clamp(value, low, high):
    unused = 5 > 4
    while value < 0:
        value += 1
    if value < low:
        return low
    while not done(value):
        pass
    return min(value, high)


def done(value):
    return True
"""
TESTS = b"""import calc


def test_low():
    assert calc.clamp(0, 1, 3) == 1


def test_high():
    assert calc.clamp(9, 1, 3) == 3


def test_higher():
    assert calc.clamp(10, 1, 3) == 3


def test_inside():
    assert calc.clamp(2, 1, 3) == 2


def test_negative():
    assert calc.clamp(-2, 0, 3) == 0


def test_nothing():
    pass


def test_always_fails():
    assert 0
"""
FILES = {"calc.py": CODE, "tests/test_calc.py": TESTS}


def test_suspicion_counts_ties_against_the_line() -> None:
    reached = {
        "a.py": {1: frozenset("xyz"), 2: frozenset("x"), 3: frozenset("x"), 4: frozenset("z")},
        "b.py": {1: frozenset("xz")},
    }
    assert mining.suspicion(reached, {"x"}, "a.py", 2) == (2, 4)
    assert mining.suspicion(reached, {"x"}, "b.py", 1) == (3, 4)
    assert mining.suspicion(reached, {"x"}, "a.py", 1) == (4, 4)


@pytest.fixture(scope="module")
def project(store: Path) -> mining.Project:
    return mining.Project("calc", Release(version="1.0", sha256=keep_release("1.0", FILES)), ("calc.py",), ("tests",))


@pytest.fixture(scope="module")
def baseline(project: mining.Project) -> mining.Baseline:
    return mining.prepare(project, open_sandbox, run_hidden)


def examined(project: mining.Project, baseline: mining.Baseline, operator: str, old: bytes, new: bytes):
    """What becomes of the mutation that makes this of the code."""
    for path, mutation in mining.candidates(baseline, 0):
        if mutation.operator == operator and splice(CODE, mutation) == CODE.replace(old, new):
            return examine(project, baseline, [(path, mutation)], 0, open_sandbox)[0]
    raise AssertionError("no such candidate")


@pytest.mark.network
def test_only_tests_that_pass_count(baseline: mining.Baseline) -> None:
    names = {test.partition("::")[2] for test in baseline.passing}
    assert names == {"test_low", "test_high", "test_higher", "test_inside", "test_negative", "test_nothing"}


@pytest.mark.network
def test_lines_are_known_by_the_tests_that_reach_them(baseline: mining.Baseline) -> None:
    assert {test.partition("::")[2] for test in baseline.reached["calc.py"][4]} == {"test_negative"}


@pytest.mark.network
def test_candidates_are_the_same_for_a_seed_and_reached_by_two_tests(baseline: mining.Baseline) -> None:
    order = list(mining.candidates(baseline, 3))
    assert order == list(mining.candidates(baseline, 3))
    assert order != list(mining.candidates(baseline, 4))
    assert 4 not in {mutation.line for _, mutation in order}


@pytest.mark.network
@pytest.mark.parametrize(
    ("operator", "old", "new", "reason"),
    [
        ("comparison_boundary", b"5 > 4", b"5 >= 4", "not noticed"),
        ("function_name", b"min(", b"max(", "breaks 4 of 6 tests"),
        ("integer_constant", b"value < 0", b"value < 1", "noticed by one test function only"),
        ("boolean_constant", b"return True", b"return False", "does not finish"),
    ],
)
def test_what_makes_no_task_is_dropped_with_a_reason(project, baseline, operator, old, new, reason) -> None:
    assert examined(project, baseline, operator, old, new) == reason


@pytest.mark.network
def test_what_is_kept_builds_a_task_whose_halves_both_notice(project, baseline, tmp_path) -> None:
    mined = examined(project, baseline, "wrong_variable", b"(value, high)\n", b"(value, value)\n")
    assert isinstance(mined, Mined), mined
    assert ">>> calc.clamp(" in mined.recipe.issue
    task = assemble("calc-mutant", "calc", mined.recipe, tmp_path, lambda step: None)
    failing = set(expected_ids(mined.recipe.fail_to_pass))
    with open_sandbox(task.image) as sandbox:
        shown = run_hidden(sandbox, task.tests).statuses
        lay_hidden_tests(task, sandbox)
        before = run_hidden(sandbox, task.tests, task.hidden.expected).statuses
        apply_gold(task, sandbox)
        after = run_hidden(sandbox, task.tests, task.hidden.expected).statuses
    visible_failing = {test for test, status in shown.items() if status == "failed"} & failing
    assert visible_failing and visible_failing < failing
    assert {test for test in failing if before[test] == "failed"} == failing
    assert {after[test] for test in task.hidden.expected} == {"passed"}
    names = {split.read_suite(baseline.test_files).owner(test) for test in failing - visible_failing}
    assert not any(name.rpartition("::")[2] in mined.recipe.issue for name in names)
