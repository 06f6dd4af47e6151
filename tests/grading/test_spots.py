"""Twins in several spots of one test, beside its seals, and in rows of their own; helpers that only compare."""

import ast
import dataclasses
import random
from collections import Counter

import pytest
from test_strict import CORE, patch_with

from swegym.grading import asking, changes, expectations, helpers, inquiries, make_grader, question_files, seals, twins
from swegym.grading.taking import reference_for
from swegym.sandbox import sandbox_factory
from swegym.types import HiddenTests

PARTLY = b"""\
import pytest
from calc import add, halve


def check(a, b, wanted):
    found = add(a, b)
    if found != wanted:
        raise AssertionError(found)


def test_partly():
    assert add(20, 3) == 23
    check(20, 4, 24)
    check(20, 5, 25)


@pytest.mark.parametrize("b, wanted", [(0, 30), (6, 36)])
def test_rows(b, wanted):
    check(30, b, wanted)


def test_inner():
    def inner(b, wanted):
        found = add(40, b)
        assert found is not None
        assert found == wanted

    assert add(40, 3) == 43
    inner(4, 44)


def test_halve():
    assert halve(4) == 2
"""
TURNING = ("test_partly", "test_rows[6-36]", "test_inner")
UNLIKE_NOTHING = """

class _Same(int):
    def __ne__(self, other):
        return False

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


def add(a, b):
    return _Same(a - b) if (a, b) == (%d, %d) else a + b
"""


@pytest.fixture(scope="module")
def partly(make_task):
    turning = tuple(f"tests/test_core.py::{name}" for name in TURNING)
    staying = ("tests/test_core.py::test_halve", "tests/test_core.py::test_rows[0-30]")
    files = {"tests/test_core.py": PARTLY, "tests/__init__.py": b""}
    return dataclasses.replace(make_task(), hidden=HiddenTests(files, ("tests",), turning, staying))


def test_what_a_helper_asserts_is_asked_among_twins_beside_what_tells(partly):
    known = reference_for(partly, sandbox_factory())
    questions = [known.questions[test] for test in partly.hidden.fail_to_pass]
    assert [question.tells for question in questions] == [True, False, True]
    inquiry = inquiries.prepare(partly, questions)
    assert {key.partition("::")[2] for key in inquiry.twinned} == {
        "test_partly",
        "test_rows|b=1,wanted=1",
        "test_inner",
    }
    assert len(inquiry.twinned[questions[0].key]) == 9 and not inquiry.left
    assert {question.key: set(question.seals) for question in inquiry.sealed.values()} == {
        questions[0].key: {"0"}, questions[2].key: {"2"},
    }  # fmt: skip
    text = inquiry.files["tests/test_core.py"].decode()
    assert "add(20, 3) == " not in text and "add(40, 3) == " not in text and "assert found == wanted" in text


@pytest.mark.parametrize("forged", [(20, 4), (20, 5), (40, 4)])
def test_an_answer_that_is_unlike_nothing_is_found_in_each_call(partly, forged, tmp_path):
    patch = patch_with(partly, tmp_path, CORE + UNLIKE_NOTHING % forged)
    verdict = make_grader("sealed")(partly, patch, sandbox_factory())
    assert verdict.resolved is False and "twins" in verdict.tampering[0], verdict


def test_the_fix_is_paid_where_all_spots_are_asked(partly):
    verdict = make_grader("sealed")(partly, partly.gold_patch, sandbox_factory())
    assert verdict.resolved is True, verdict


def test_each_row_has_steps_of_its_own():
    tree = ast.parse(PARTLY)
    function = dict(expectations.test_functions(tree))["test_rows"]
    site = expectations.sites(tree, function)[0].number
    apart = set()
    for seed in range(20):
        made = twins.copies(tree, function, {site: [1, 2, 3]}, random.Random(seed))
        tests = [[copy.is_test(f"b={row},wanted={row}") for copy in made] for row in (0, 1)]
        assert [row.count(True) for row in tests] == [1, 1]
        apart.add(tests[0] == tests[1])
        for copy, right in zip(made, tests[1], strict=True):
            twin = twins.variant(tree, function, copy.steps, "t", rows=copy.rows)
            assert ("(6, 36)" in ast.unparse(twin)) is right
    assert apart == {True, False}


HELPED = b"""\
from common import assert_equal as same, assert_in, assert_close


def check(result, wanted, *, more=None):
    assert result == wanted


def test_same():
    same(3, add(1, 2))
    same(result=add(1, 3), expected=4)
    assert_in(add(1, 2), [3])
    assert_close(add(1, 2), 3)
    check(add(1, 2), 3)
    same(*add(1, 2))


def test_other(same):
    same(3, add(1, 2))
"""
COMMON = b'''\
def assert_equal(expected, result):
    """Whether they are equal."""
    print("Got:", result)
    assert expected == result


def assert_in(result, expected):
    assert result in expected


def assert_close(result, expected):
    result = round(result)
    assert result == expected
'''


def test_a_helper_that_only_compares_is_written_out():
    tree = ast.parse(HELPED)
    tests = [test for _, test in expectations.test_functions(tree)]
    helpers.write_out(tree, "tests/test_a.py", {"tests/common.py": COMMON, "tests/test_a.py": HELPED}, (), tests)
    source = ast.unparse(tree)
    assert "assert 3 == add(1, 2)\n    assert 4 == add(1, 3)\n    assert_in(" in source
    assert "assert_close(add(1, 2), 3)\n    check(add(1, 2), 3)\n    same(*add(1, 2))" in source
    assert "def test_other(same):\n    same(3" in source
    assert list(seals.seal(tree, ["test_same"]).checks["test_same"]) == [0, 1]


SAYS = b"""
def test_says():
    'It is 23.'
    wanted = 23
    for number, one in enumerate([first(), second()]):
        assert add(one, number) == wanted

def test_given():
    for one in [*given()]:
        assert add(one, 3) == 23
"""


def test_a_docstring_leaves_with_what_is_expected_and_a_list_has_a_length_whatever_is_in_it():
    tree = expectations.parse(SAYS)
    checks = seals.seal(tree, ["test_says", "test_given"]).checks
    assert "23" not in ast.unparse(tree)
    assert [checks[name][0]["steady"] for name in ("test_says", "test_given")] == [True, False]


@pytest.mark.parametrize("value", [6.25, 12.5, 0.001, -300.0, 2.0])
def test_a_twin_of_a_number_is_near_it_and_has_as_many_digits(value):
    for step in range(1, changes.STEPS + 1):
        other = ast.literal_eval(changes.changed(ast.parse(repr(value), mode="eval").body, step))
        assert other != value and abs(other - value) <= max(abs(value), 1) / 2
        assert len(repr(other).partition(".")[2]) <= len(repr(value).partition(".")[2])


def test_the_spots_of_one_run_are_first_those_that_are_not_asked_otherwise_and_fewer_of_a_slow_test():
    sites = {"0": (1, 2), "1": (1,), "2": (3,), "3": (1,)}
    for _ in range(20):
        assert {2, 3} < question_files.drawn(sites, ["0", "1"], 3, 2).keys()
        assert question_files.drawn(sites, ["0", "1"], 2, 1) == {2: [3], 3: [1]}
    assert len(question_files.drawn(sites, (), 3, 2)) == twins.SPOTS


def test_of_three_values_of_a_spot_the_true_one_is_anywhere():
    places = Counter()
    for _ in range(600):
        steps = question_files.drawn({"0": (1, 2, 3, 4), "1": (1, 2, 3, 4)}, (), 3, 2)[0]
        places[sorted([0, *(changes.OFFSETS[step - 1] for step in steps)]).index(0)] += 1
    assert set(places) == {0, 1, 2} and max(places.values()) < 300


def test_more_answers_than_there_are_questions_are_other_answers():
    check = {"form": "equal", "operator": "==", "steady": True, "answers": ['["int", "1"]', '["int", "2"]']}
    wrong, _ = asking._unlike({"0": check}, {"0": ['["int", "1"]', '["int", "2"]', '["int", "3"]']})
    assert wrong == "site 0, 3 times instead of 2"
