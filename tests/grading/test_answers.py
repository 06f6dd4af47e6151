"""Answers: plain values in and out, how they are compared, and choices that they stand among."""

import json
import random
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swegym.grading import (
    _questions,
    asking,
    choices,
    inquiries,
    plain_values,
    seals,
)
from swegym.grading.plain_values import OPAQUE, Raised, agrees, decode
from swegym.grading.pytest_run import TestReport
from swegym.grading.reference import Question

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(PLAIN)
def test_plain_values_come_out_as_they_went_in(value):
    assert decode(_questions.packed(value)) == value


class Anything(str):
    def __eq__(self, other):
        return True

    __hash__ = None


class Name(str):
    pass


def test_what_claims_equality_is_opaque_and_other_subclasses_are_plain():
    assert decode(_questions.packed(Anything("x"))) is OPAQUE and decode(_questions.packed(object())) is OPAQUE
    assert decode(_questions.packed(Name("x"))) == "x" and decode(_questions.packed([Anything()])) is OPAQUE
    assert decode(_questions.packed("x" * 300_000)) is OPAQUE
    loop = []
    loop.append(loop)
    assert decode(_questions.packed(loop)) is OPAQUE


UNHASHABLE = '["dict", [[["list", []], ["none", null]]]]'

NO_NUMBERS = ['["int", Infinity]', '["float", 1' + "0" * 400 + "]", '["complex", []]', '["bool", NaN]']


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '["int", "x"]', '["?", 1]', "[" * 9999, UNHASHABLE, *NO_NUMBERS], ids=len
)
def test_answers_that_nobody_encodes_are_opaque(text):
    assert decode(text) is OPAQUE


def raised(*classes):
    return Raised(tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in classes), "no such thing")


def test_an_exception_of_every_kind_is_none():
    check = {"form": "raises", "operator": "raises", "names": ["ValueError"], "match": "no such"}
    assert agrees(check, raised(*UnicodeError.__mro__), None)
    assert not agrees(check, raised(*KeyError.__mro__), None)
    every = [ValueError, TypeError, KeyError, OSError, EOFError, Exception]
    assert not agrees(check, raised(*every), None)
    assert not agrees({**check, "match": "other"}, raised(*ValueError.__mro__), None)


def test_a_class_of_the_name_alone_is_not_the_exception():
    check = {"form": "raises", "operator": "raises", "names": ["ValueError"]}
    builtin = raised(*ValueError.__mro__)
    own = Raised(("shapes.errors.ValueError", "builtins.Exception", "builtins.BaseException"), "")
    assert agrees(check, builtin, builtin) and not agrees(check, own, builtin)
    assert agrees(check, own, own)  # the project has an exception of that name, and the fix may move it
    assert agrees(check, own._replace(names=("shapes.ValueError", *own.names[1:])), own)
    many = Raised((*own.names, *(f"shapes.{number}Error" for number in range(20))), "")
    assert not agrees(check, many, own)


def test_an_exception_is_no_value():
    check = {"form": "compare", "operator": "!=", "literal": '["int", "3"]'}
    assert agrees(check, 4, 4) and not agrees(check, raised(*KeyError.__mro__), 4)
    assert not agrees({"form": "equal", "operator": "=="}, raised(*KeyError.__mro__), 4)


def test_a_pattern_that_takes_for_ever_to_fail_is_given_up(monkeypatch):
    monkeypatch.setattr(plain_values, "_SEARCHING", 0.3)
    check = {"form": "raises", "operator": "raises", "names": ["ValueError"], "match": "below.*zero.*by.*far"}
    builtin = raised(*ValueError.__mro__)
    assert agrees(check, builtin._replace(message="below zero, by\u00e9 far"), builtin)
    assert not agrees(check, builtin._replace(message="below zero by" * 300), builtin)
    assert not agrees({**check, "match": "a++(b*"}, builtin, builtin)  # no pattern to this Python


def test_another_number_of_answers_among_few_says_nothing():
    sides = {"0": {"form": "equal", "operator": "==", "answers": [f'["int", "{side}"]' for side in (-1, 1, 0)]}}
    sprayed = [f'["int", "{side}"]' for side in (-1, 0, 1, -1)]
    assert asking._unlike(sides, {"0": sides["0"]["answers"]}) == ("", frozenset())
    assert asking._unlike(sides, {"0": sprayed}) == ("", {"0"})
    assert asking._unlike(sides, {"0": [*sprayed, '["int", "2"]']})[0].startswith("site 0")


def test_an_answer_that_is_longer_than_any_is_not_read():
    keys = [[["int", str(number * ((1 << 61) - 1))], ["none", None]] for number in range(20_000)]
    assert decode(json.dumps(["dict", keys])) is OPAQUE


@pytest.mark.parametrize(
    ("operator", "literal", "right", "wrong"),
    [
        ("contains", "b", "abc", "xyz"),
        ("in", [1, 2], 2, 3),
        ("<", 5, 4, 5),
        ("startswith", "ab", "abc", "cab"),
        ("!=", 3, 4, 3),
        ("startswith", "ab", "abc", 7),
    ],
)
def test_other_comparisons_are_carried_out_outside(operator, literal, right, wrong):
    check = {"form": "compare", "operator": operator, "literal": json.dumps(seals._encoded(literal))}
    assert agrees(check, right, None) and not agrees(check, wrong, None)


def test_a_value_stands_among_its_neighbours():
    source = random.Random(4)
    for value in (3, "ab", [1, 2], None, True, {}, (), 1e30, -0.25, b"a", {"a": [1, ("b", "b")]}, frozenset({1}), "-"):
        literals, truths = choices.among_neighbours(value, source)
        assert [eval(text) == value for text in literals] == truths and 2 <= len(truths) <= choices.SHOWN * (
            1 + choices._LAX
        )
        assert sum(truths) == 1 and len(set(literals)) == len(literals)
    assert choices.among_neighbours([float("inf")], source) is None


@given(PLAIN)
@example([2.0**55, -(2.0**55), "", *[False] * 5])
@example(1.79e308)
def test_every_plain_value_has_neighbours(value):
    literals, truths = choices.among_neighbours(value, random.Random(1)) or (["x", "y"], [True, False])
    assert sum(truths) == 1 < len(set(literals))


@pytest.mark.parametrize("value", [40, -7, 2.5, "hello-world", ["one", "two", "three"]], ids=str)
def test_no_choice_is_told_by_its_place_among_the_others(value):
    """The middle number, or the text that most others resemble, is the right one no more often than by chance."""
    right = 0
    for seed in range(200):
        literals, _ = choices.among_neighbours(value, random.Random(seed))
        found = [eval(text) for text in literals]
        by_place = [Counter(column).most_common(1)[0][0] for column in zip(*map(str, found), strict=False)]
        like = [sum(map(str.__eq__, str(one), by_place)) for one in found]
        guess = sorted(found)[len(found) // 2] if isinstance(value, int | float) else found[like.index(max(like))]
        right += guess == value
    assert right < 60


def test_an_answer_that_is_equal_to_a_wrong_choice_counts_at_once_and_one_that_is_equal_to_none_if_it_comes_again():
    question = Question("t.py::test_a", seals={"0": {"form": "equal", "operator": "==", "answers": []}})
    among = {question.key: {"0": [(["1", "2"], [False, True])]}}
    inquiry = inquiries.Inquiry({}, frozenset(), {question.key: question}, {}, {}, [], among)
    for said, contradictions, doubts in (
        ([["bool", "0"], ["bool", "1"]], 0, 0),
        ([["bool", "1"], ["bool", "0"]], 1, 0),
        ([["bool", "1"], ["bool", "1"]], 1, 0),
        ([["bool", "0"], ["bool", "0"]], 0, 1),
    ):
        facts = (("key", "node", question.key, ""), ("answer", "node", "0", json.dumps(["list", said])))
        found = asking.read(inquiry, TestReport({"node": "passed"}, "", 0.0, "finished", facts=facts))
        assert (len(found.contradictions), len(found.doubts)) == (contradictions, doubts), said
