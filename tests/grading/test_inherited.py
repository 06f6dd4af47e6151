"""Tests that a class inherits from another hidden file are asked, and what they expect leaves that file."""

import ast
import dataclasses
import pickle

import pytest
from calc_repository import FORGE_REPORTS
from test_strict import CORE, patch_with

from swegym.grading import inherited, make_grader, question_files
from swegym.grading.taking import reference_for
from swegym.sandbox import sandbox_factory
from swegym.types import HiddenTests

SHARED = b'''\
"""Tests of everything that adds."""
import math

from calc import add

SUM = 3
ODDS = [(1, 4), (2, 5)]


def near(found, wanted):
    assert math.isclose(found, wanted)


class Base:
    def test_base(self):
        assert self.add(1, 4) == 5


class Mixin(Base):
    def test_sum(self):
        assert self.add(1, 2) == SUM

    def test_odds(self):
        for odd, total in ODDS:
            assert add(odd, 3) == total

    def test_near(self):
        near(self.add(2, 2), 4)

    def test_own(self):
        assert self.add(0, 0) == 0

    def test_private(self):
        assert self.__hidden == 1

    def test_above(self):
        super().test_base()
'''
USING = b"""\
import unittest

from calc import add
from %s


class AddTest(unittest.TestCase, %s):
    add = staticmethod(add)

    def test_own(self):
        assert add(0, 0) == 0
"""
NAMES = ("sum", "odds", "near", "base", "own")


def adopted(using, shared="tests/shared.py", path="tests/test_core.py"):
    files = ((path, using), (shared, SHARED))
    wanted = frozenset(f"test_{name}" for name in (*NAMES, "private", "above"))
    found = inherited._adopted(path, files, wanted, (".",))
    return found and pickle.loads(found.tree), found and found.lenders


@pytest.mark.parametrize(
    ("written", "base"),
    [
        (".shared import Mixin", "Mixin"),
        ("tests.shared import Mixin as Shared", "Shared"),
        ("tests import shared", "shared.Mixin"),
        (". import shared as other", "other.Mixin"),
    ],
)
def test_a_class_gets_the_tests_that_it_inherits_with_what_they_need(written, base):
    tree, lenders = adopted(USING % (written.encode(), base.encode()))
    owner = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    names = [node.name for node in owner.body if isinstance(node, ast.FunctionDef)]
    assert sorted(names) == ["test_base", "test_near", "test_odds", "test_own", "test_sum"]
    text = ast.unparse(tree)
    assert text.count("def test_own") == 1 and "SUM = 3" in text and "import near" in text
    assert lenders == {"tests/shared.py"}
    module = "from . import" if written.startswith(".") else "from tests"
    assert module in text or "from .shared import near" in text


def test_nothing_is_taken_where_it_would_mean_another_thing():
    before = USING % (b".shared import Mixin", b"Mixin")
    tree, _ = adopted(before.replace(b"import unittest\n", b"import unittest\nSUM = 4\nnear = print\n"))
    text = ast.unparse(tree)
    assert "test_odds" in text and "test_sum" not in text and "test_near" not in text
    tree, lenders = adopted(before.replace(b"unittest.TestCase, Mixin", b"unknown.Case, Mixin"))
    assert "test_sum" not in ast.unparse(tree) and lenders == frozenset()
    assert adopted(b"def broken(:\n")[0] is None


def test_tests_of_a_class_in_the_same_file_and_of_a_star_are_a_classs_own_too():
    tree, _ = adopted(
        USING % (b".shared import *", b"Mixin")
        + b"""

class Above:
    ROWS = [1]

    @pytest.mark.parametrize("row", ROWS)
    def test_odds(self, row):
        assert add(row, 0) == 1

    def test_sum(self):
        assert add(5, 5) == 10

    def test_above(self):
        super().test_above()


class BelowTest(Above):
    def test_near(self):
        assert add(5, 6) == 11
"""
    )
    names = {
        node.name: [inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)]
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    assert sorted(names["AddTest"]) == ["test_base", "test_near", "test_odds", "test_own", "test_sum"]
    assert names["BelowTest"] == ["test_near", "test_sum"]


@pytest.fixture(scope="module")
def task(make_task):
    turning = tuple(f"tests/test_core.py::AddTest::test_{name}" for name in ("sum", "odds", "near", "base"))
    files = {
        "tests/test_core.py": USING % (b".shared import Mixin", b"Mixin"),
        "tests/shared.py": SHARED,
        "tests/__init__.py": b"",
    }
    staying = ("tests/test_core.py::AddTest::test_own",)
    return dataclasses.replace(make_task(), hidden=HiddenTests(files, ("tests",), turning, staying))


def test_an_inherited_test_is_asked_and_what_it_expects_leaves_the_file_it_comes_from(task):
    coverage = reference_for(task, sandbox_factory()).coverage(task.hidden.fail_to_pass)
    assert coverage["none"] == 0 and coverage["seals"] == 3 and coverage["tells"] == 3 and coverage["twins"] == 4
    sealed = question_files.sealed_files(task, ["tests/test_core.py::AddTest::test_sum"], None)
    shared = sealed.files["tests/shared.py"].decode()
    assert "SUM" not in "".join(data.decode() for data in sealed.files.values())
    assert "ODDS" not in shared and "def test_" not in shared.replace("def test_base", "") and "def near" in shared


def test_forging_inherited_tests_is_tampering_and_the_fix_is_paid(task, tmp_path):
    grade = make_grader("sealed")
    forged = grade(task, patch_with(task, tmp_path, CORE + FORGE_REPORTS), sandbox_factory())
    assert forged.resolved is False and any("test_core.py::AddTest" in found for found in forged.tampering)
    fixed = grade(task, task.gold_patch, sandbox_factory())
    assert fixed.resolved is True, fixed.reason
    assert fixed.integrity["coverage"]["none"] == 0
