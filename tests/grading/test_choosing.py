"""Which of the tests that must go on passing are asked: any may be, slow ones seldom."""

import dataclasses
import random
from collections import Counter

from swegym.grading import inquiries
from swegym.grading.reference import Question, Reference
from swegym.grading.taking import reference_for
from swegym.sandbox import sandbox_factory
from swegym.types import HiddenTests

FILE = """
import time
from calc.core import add, halve


def test_add():
    assert add(20, 3) == 23


def test_halve():
    time.sleep(0.4)
    assert halve(9) == 4.5
"""


def test_slow_tests_are_drawn_seldom_and_none_twice(make_task) -> None:
    seconds = {f"tests/test_a.py::test_{number}": 0.0 if number < 20 else 1.0 for number in range(40)}
    questions = {test: Question(test, seals={"0": {}}, seconds=taken) for test, taken in seconds.items()}
    hidden = HiddenTests({}, (), (), tuple(seconds))
    task = dataclasses.replace(make_task(), hidden=hidden)
    drawn: Counter[str] = Counter()
    for seed in range(2000):
        found = [question.key for question in inquiries.choose(task, Reference(questions), random.Random(seed))]
        assert len(found) == len(set(found)) == inquiries.STAYING
        drawn.update(found)
    slow = sum(count for test, count in drawn.items() if seconds[test])
    assert set(drawn) == set(seconds)
    # 20 weights of 1 / 1.02 against 20 of 1 / 0.02: one in 52 is slow, or a few more
    assert 0.01 < slow / drawn.total() < 0.04


def test_calls_of_slow_tests_are_few_and_any_may_be_among_them(make_task) -> None:
    seconds = {f"tests/test_a.py::test_{number}": 0.0 if number < 20 else 0.09 for number in range(40)}
    questions = {test: Question(test, calls={"0": "1"}, seconds=taken) for test, taken in seconds.items()}
    task = dataclasses.replace(make_task(), hidden=HiddenTests({}, (), (), tuple(seconds)))
    drawn: Counter[str] = Counter()
    for seed in range(200):
        # nothing but calls can be asked of them, so those drawn with the others are here twice
        called = inquiries.choose(task, Reference(questions), random.Random(seed))[inquiries.STAYING :]
        assert sum(question.seconds for question in called) <= inquiries.CALLING
        assert len(called) >= 20 - inquiries.STAYING
        drawn.update(question.key for question in called)
    assert set(drawn) == set(seconds)


def test_of_many_tests_among_twins_each_has_fewer_copies() -> None:
    most = {tests: (1 + steps) ** spots for tests in range(1, 61) for spots, steps in [inquiries._spread(tests)]}
    assert most[3] == 27 and most[4] == most[11] == 9 and most[12] == most[60] == 4


def test_a_reference_knows_what_its_questions_take(make_task) -> None:
    path = "tests/test_slow.py"
    hidden = HiddenTests({path: FILE.encode()}, (), (f"{path}::test_add",), (f"{path}::test_halve",))
    known = reference_for(dataclasses.replace(make_task(), hidden=hidden), sandbox_factory())
    quick, slow = (known.questions[f"{path}::test_{name}"].seconds for name in ("add", "halve"))
    assert slow > 0.4 and quick < 0.2
