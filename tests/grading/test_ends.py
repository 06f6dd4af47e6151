"""Tests that only want to come to their end, and tests whose decorators go by their names."""

import dataclasses

import pytest
from test_strict import FORGERIES, patch_with

from swegym.grading import make_grader
from swegym.grading.taking import reference_for
from swegym.sandbox import sandbox_factory
from swegym.types import HiddenTests

PATH = "tests/test_core.py"
ENDS = b"""\
import pathlib
from calc import add


def by_name(test):
    pathlib.Path(__file__).with_name(f"{test.__name__}.txt").read_text()
    return test


def test_end():
    {3: "three"}[add(1, 2)]


@by_name
def test_named():
    assert add(2, 3) == 5
"""
RIGHT_WHERE_IT_IS_ASKED = "def add(a, b):\n    return a + b if a == 2 else a - b\n\n\ndef halve(a):\n    return a / 2\n"


@pytest.fixture(scope="module")
def ends(make_task):
    files = {PATH: ENDS, "tests/__init__.py": b"", "tests/test_named.txt": b"named"}
    turning = (f"{PATH}::test_end", f"{PATH}::test_named")
    return dataclasses.replace(make_task(), hidden=HiddenTests(files, ("tests",), turning, ()))


def test_each_has_questions(ends):
    known = reference_for(ends, sandbox_factory())
    end, named = (known.questions[test] for test in ends.hidden.fail_to_pass)
    assert {check["form"] for check in end.seals.values()} == {"truth"} and list(end.twins.values()) == [(1,)]
    assert not end.tells and named.tells
    assert not named.twins  # the file could not be imported with them


def test_a_forged_end_is_found_and_the_fix_is_paid(ends, tmp_path):
    patch = patch_with(ends, tmp_path, RIGHT_WHERE_IT_IS_ASKED + FORGERIES["reports"])
    verdict = make_grader("sealed")(ends, patch, sandbox_factory())
    assert verdict.resolved is False and "test_end" in "".join(verdict.tampering), verdict
    assert make_grader("sealed")(ends, ends.gold_patch, sandbox_factory()).resolved is True
