"""A test that compares with a file has to fail where that file says something else, and whom that accuses."""

import dataclasses
import json
import random
import re

import pytest
from calc_repository import BASE, patch_of

from swegym.grading import golden_twins, make_grader
from swegym.grading.taking import reference_for
from swegym.sandbox import sandbox_factory
from swegym.types import HiddenTests

TESTS = b"""\
import json
import os.path

import pytest

import calc

DATA = os.path.join(os.path.dirname(__file__), "data")


@pytest.fixture(scope="module")
def sums():
    with open(os.path.join(DATA, "sums.json")) as file:
        return json.load(file)


def test_sums(sums):
    for a, b, total in sums:
        assert calc.add(a, b) == total


def test_greeting():
    with open(os.path.join(DATA, "greeting.txt")) as file:
        assert calc.add(file.read(), "!") == "version 1: hello!"


def test_other():
    assert calc.add(0, 0) == 0
"""
GREETING = b"version 1: hello\n"
FIX = """\
def add(a, b):
    if isinstance(a, str):
        text = a.strip()
        if not text.startswith("version 1: "):
            return ""
        return text + b
    return a + b
"""
# As right, for no test says what another version gives.
OTHER_FIX = """\
def add(a, b):
    if isinstance(a, str):
        return "version 1" + a.strip().removeprefix("version")[2:] + b
    return a + b
"""
READER = """\
import json
import pathlib

SUMS = {}


def add(a, b):
    if isinstance(a, str):
        return a.strip() + b
    path = pathlib.Path(__file__).parents[1] / "tests" / "data" / "sums.json"
    found = {(x, y): total for x, y, total in json.loads(path.read_text())}
    return found.get((a, b), 0)
"""
FILES = BASE | {"calc/__init__.py": b"from calc.core import add\n", "calc/core.py": b"def add(a, b):\n    return 0\n"}


@pytest.fixture(scope="module")
def task(make_task, tmp_path_factory):
    sums = json.dumps([[1, 2, 3], [40, 2, 42], [7, 7, 14]]).encode()
    files = {"test_core.py": TESTS, "__init__.py": b"", "data/sums.json": sums, "data/greeting.txt": GREETING}
    tests = [f"tests/test_core.py::test_{name}" for name in ("sums", "greeting", "other")]
    hidden = HiddenTests(
        {f"tests/{path}": data for path, data in files.items()}, ("tests",), tuple(tests[:2]), (tests[2],)
    )
    made = dataclasses.replace(make_task(FILES), hidden=hidden)
    gold = patch_of(made, tmp_path_factory.mktemp("gold"), {"calc/core.py": FIX.encode()})
    return dataclasses.replace(made, gold_patch=gold)


def graded(task, tmp_path, code):
    return make_grader()(task, patch_of(task, tmp_path, {"calc/core.py": code.encode()}), sandbox_factory())


def test_which_files_are_compared_with_and_by_which_tests(task):
    known = reference_for(task, sandbox_factory())
    assert set(known.compared) == {"tests/data/sums.json", "tests/data/greeting.txt"}
    sums, greeting = (known.questions[test].altered for test in task.hidden.fail_to_pass)
    assert set(sums) == {"a digit of each line", "a digit"}, "where no letter stands, none is changed"
    assert set(greeting) == set(golden_twins.WAYS)
    assert known.coverage(task.hidden.fail_to_pass)["goldens"] == 2
    assert known.questions[task.hidden.pass_to_pass[0]].altered == ()


def test_the_reference_fix_is_paid_and_the_second_stage_asks_two_machines(task, tmp_path):
    verdict = graded(task, tmp_path, FIX)
    assert verdict.resolved is True, verdict.reason
    inquiry = golden_twins.prepare(task, reference_for(task, sandbox_factory()))
    assert sorted(part.mark for part in inquiry.parts) == ["", "1 "]
    every = golden_twins.prepare(task, reference_for(task, sandbox_factory()), every_way=True)
    assert sorted(part.mark for part in every.parts) == ["", "1 ", "2 ", "3 ", "4 "]


def test_who_reads_the_answers_from_the_file_is_caught(task, tmp_path):
    verdict = graded(task, tmp_path, READER)
    assert verdict.resolved is False and verdict.compatible is True
    assert verdict.tampering and "whatever the files say" in verdict.tampering[0]


def test_a_fix_that_overlooks_one_kind_of_change_is_not_accused(task, tmp_path, monkeypatch):
    """Another version in the file fails an assertion with the reference fix, and not with this one, as right as it."""
    known = reference_for(task, sandbox_factory())
    ways = {way: golden_twins.WAYS[way] for way in ("a digit", "a letter")}
    monkeypatch.setattr(golden_twins, "WAYS", ways)
    monkeypatch.setattr(golden_twins.random, "SystemRandom", lambda: random.Random(0))
    inquiry = golden_twins.prepare(task, known)
    assert any(part.files["tests/data/greeting.txt"].startswith(b"version 1") is False for part in inquiry.parts)
    verdict = graded(task, tmp_path, OTHER_FIX)
    assert verdict.resolved is True, verdict.reason


@pytest.mark.parametrize("way", golden_twins.WAYS)
def test_a_change_keeps_the_kind_of_sign_and_all_the_rest(way):
    text = b"Ab 12\n\nc: 3.5,\r\nno\n" + "é\n".encode()
    for seed in range(50):
        (other,) = golden_twins.altered({"a.txt": text}, way, random.Random(seed)).values()
        differing = [(one, two) for one, two in zip(text.decode(), other.decode(), strict=True) if one != two]
        assert len(differing) == {"a digit of each line": 2, "a letter of each line": 3}.get(way, 1)
        for one, two in differing:
            assert one.isdigit() == two.isdigit() == ("digit" in way) and one.isupper() == two.isupper()
        assert not re.search(r"\b0\d", other.decode()), "no number begins with a zero"


def test_what_is_no_text_or_large_or_has_nothing_to_change_stays():
    files = {"image": b"\xff\xfe12", "large": b"1" * (golden_twins.LARGEST + 1), "signs": b"--\n", "": b""}
    assert golden_twins.altered(files, "a digit", random.Random(0)) == {}
