"""Tests that a project runs by a command of its own are asked by pytest, where their names say which they are."""

from __future__ import annotations

import dataclasses

import pytest
from calc_repository import BASE, git, write_tree

from swegym.grading import make_grader
from swegym.grading.listed_tests import by_pytest
from swegym.sandbox import sandbox_factory
from swegym.types import HiddenTests, Task

CASES = b"""\
import unittest

from calc import add, halve


class AddTests(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(1, 2), 3)

    def test_zero(self):
        self.assertEqual(add(0, 0), 0)


class HalveTests(unittest.TestCase):
    def test_halve(self):
        self.assertEqual(halve(4), 2)
"""
FORGED = """
import os, sys
if "pytest" not in sys.modules:
    os.write(1, b"test_add (tests.test_cases.AddTests) ... ok\\ntest_halve (tests.test_cases.HalveTests) ... ok\\n")
    os._exit(0)
"""


@pytest.fixture(scope="module")
def by_command(make_task) -> Task:
    """A task whose tests `python -m unittest` runs, listed as it prints them."""
    files = {"tests/__init__.py": b"", "tests/test_cases.py": CASES}
    turning, staying = ("test_add (tests.test_cases.AddTests)",), ("test_halve (tests.test_cases.HalveTests)",)
    task = make_task({**BASE, "tests/test_cases.py": b""}, hidden=files)
    tests = dataclasses.replace(
        task.tests, runner="command", command="python -m unittest -v tests.test_cases", parser="unittest"
    )
    return dataclasses.replace(task, hidden=HiddenTests(files, ("tests",), turning, staying), tests=tests)


NAMES = {
    "test_add (tests.test_cases.AddTests)": "tests/test_cases.py::AddTests::test_add",
    "test_add (test_cases.AddTests.test_add)": "tests/test_cases.py::AddTests::test_add",
    "tests/test_cases.py::AddTests::test_add[1-2]": "tests/test_cases.py::AddTests::test_add[1-2]",
    "test_add (other.AddTests)": "test_add (other.AddTests)",
    "a word of the log": "a word of the log",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_listed_name_means_one_id_or_stays_as_it_is(by_command: Task, name: str) -> None:
    also = "test_zero (tests.test_cases.AddTests)"
    hidden = dataclasses.replace(by_command.hidden, fail_to_pass=(name,), pass_to_pass=(also,))
    named = by_pytest(dataclasses.replace(by_command, hidden=hidden))
    assert named.tests.runner == "pytest"
    assert named.hidden.fail_to_pass == (NAMES[name],)


def test_a_task_without_a_test_that_can_be_found_stays_as_it_is(by_command: Task) -> None:
    hidden = dataclasses.replace(by_command.hidden, fail_to_pass=("first doctest",), pass_to_pass=())
    task = dataclasses.replace(by_command, hidden=hidden)
    assert by_pytest(task) is task


def test_a_log_that_says_passed_is_not_enough(by_command: Task, tmp_path) -> None:
    right = make_grader()(by_command, by_command.gold_patch, sandbox_factory())
    assert right.resolved is True, right
    assert right.integrity["coverage"]["tells"] == 1 and right.integrity["asked"]["seals"] == 2
    git(tmp_path, "clone", "-q", str(by_command.pristine), "work")
    write_tree(tmp_path / "work", {"calc/core.py": BASE["calc/core.py"] + FORGED.encode()})
    patch = git(tmp_path / "work", "diff").decode()
    assert make_grader("unasked")(by_command, patch, sandbox_factory()).resolved is True
    verdict = make_grader()(by_command, patch, sandbox_factory())
    assert verdict.resolved is False and verdict.tampering[0].startswith("seals"), verdict
