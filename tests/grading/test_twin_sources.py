"""Twins as source: what is changed in a test, where, and how often."""

import ast
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop_tests import FILE, WANTED

from swegym.grading import (
    changes,
    expectations,
    inquiries,
    seals,
    twins,
)
from swegym.grading.reference import Question


@pytest.mark.parametrize("name", [name for name in WANTED if name != "test_round_trip"])
def test_a_twin_differs_from_its_test_in_one_literal(name):
    tree = expectations.parse(FILE)
    function = dict(expectations.test_functions(tree))[name]
    site, steps = max(twins.twinned_sites(tree, function, seals.is_sealable), key=lambda pair: len(pair[1]))
    made = [ast.unparse(twins.variant(tree, function, {site.number: step}, "t")) for step in steps]
    assert len(set(made)) == len(made) >= 2
    for twin in made[1:]:
        one, other = made[0].split(), twin.split()
        if site.form != "truth":
            assert len(one) == len(other)
            assert 1 <= sum(left != right for left, right in zip(one, other, strict=True)) <= 2  # rows of a table


CALLS = b"""
from unittest import mock
from shop import buy, testing

WANTED = [7]

def check(text, wanted):
    assert buy(text) == wanted

def test_helper():
    check("a", 3)
    check("b", wanted=WANTED)

def test_mock():
    seller = mock.Mock()
    buy("c", seller)
    seller.sell.assert_called_once_with("c", price=4)
    seller.reset_mock()
    seller.append(5)
    assert seller.ok

def test_compared():
    testing.assert_same(buy("d"), 6)
    assert buy("e") == 8

def test_raises():
    with pytest.raises(KeyError):
        check("f", 9)
"""


def test_a_call_of_what_asserts_is_told_another_expectation():
    tree = expectations.parse(CALLS)
    found = {}
    for name, function in expectations.test_functions(tree):
        twinned = twins.twinned_sites(tree, function, seals.is_sealable)
        sites = sorted(site.number for site, _ in twinned if not site.is_end)
        found[name] = [
            ast.unparse(twins.variant(tree, function, {number: 1}, "t")).rpartition("def t():")[2] for number in sites
        ]
    assert [site.form for site in expectations.sites(tree, dict(expectations.test_functions(tree))["test_mock"])] == [
        "call", "call", "truth",
    ]  # fmt: skip
    assert len(found["test_helper"]) == 2 and "wanted=[8]" in found["test_helper"][1]
    assert "check('a', 4)" in found["test_helper"][0]
    assert "assert_called_once_with('c', price=5)" in "".join(found["test_mock"])
    assert "== 9" in "".join(found["test_compared"])
    assert len(found["test_raises"]) == 1 and "check('f', 9)" in found["test_raises"][0]
    sealed = seals.seal(tree, ["test_helper", "test_compared"])
    assert list(sealed.checks["test_helper"].values()) == [{"form": "truth", "operator": "truth", "steady": True}]


ROOM = b"""
from unittest import mock
import pytest
from shop import buy, names

@pytest.mark.parametrize("text, wanted", [("a", "b"), ("c", "d")])
def test_columns(text, wanted):
    found = buy(text)
    assert found == wanted, wanted

@pytest.mark.parametrize("text", ["a", "c"])
def test_input(text):
    found = buy(text)
    assert found == text

def test_bound():
    assert len(names()) >= 3

def test_member():
    assert buy("a") in (1, 2)

def test_ends():
    assert buy("b").endswith("x1")
    assert buy("b").endswith(("x1", "x2"))

def test_mock():
    seller = mock.Mock()
    buy("c", seller)
    seller.sell.assert_called_once()
"""


def test_a_twin_contradicts_its_test_whatever_the_code_answers():
    tree = expectations.parse(ROOM)
    functions = dict(expectations.test_functions(tree))
    found = {
        name: [(site, twins.steps_of(tree, function, site)) for site in expectations.sites(tree, function)]
        for name, function in functions.items()
    }
    assert {name: [len(steps) for _, steps in pairs] for name, pairs in found.items()} == {
        "test_columns": [6], "test_input": [0], "test_bound": [1], "test_member": [1], "test_ends": [6, 1],
        "test_mock": [6, 1],
    }  # fmt: skip

    def twin(name, place=-1):
        site = found[name][place][0]
        return ast.unparse(twins.variant(tree, functions[name], {site.number: 1}, "t"))

    assert "assert not len(names()) >= 3" in twin("test_bound") and "not buy('a') in (1, 2)" in twin("test_member")
    assert "assert not buy('b').endswith(('x1', 'x2'))" in twin("test_ends") and "assert_not_called()" in twin(
        "test_mock"
    )
    assert not seals.seal(tree, ["test_mock"]).checks["test_mock"]


def test_where_the_reference_fix_is_asked_a_changed_call_decides_by_itself():
    tree = expectations.parse(CALLS)
    function = dict(expectations.test_functions(tree))["test_helper"]
    site = expectations.sites(tree, function)[0]
    bodies = {}
    for step in (0, 1):
        twin = twins.variant(tree, function, {site.number: step}, "t", alone=True)
        names = {}
        exec(compile(ast.unparse(twin), "twin", "exec"), names)
        bodies[step] = names
    for raised, passes in ((AssertionError, False), (ValueError, True), (None, True)):
        told = []

        def check(text, wanted, raised=raised, told=told):
            told.append(wanted)
            if raised:
                raise raised

        bodies[1].update(check=check, WANTED=[7])
        try:
            bodies[1]["t"]()
        except AssertionError:
            assert not passes
        else:
            assert passes
        assert told == [4]
    bodies[0].update(check=lambda text, wanted: None, WANTED=[7])
    bodies[0]["t"]()


def test_rows_that_have_other_twins_are_asked_in_another_run():
    def question(row, site, steps):
        return Question(f"t.py::test_a|x={row}", twins={site: steps})

    rows = [question(0, "1", (1, 2)), question(1, "1", (2, 3)), question(2, "1", (3,)), question(3, "4", (2,))]
    kept, others = inquiries._alike({row.key: row for row in rows})
    assert len(kept) + len(others) == 4 and others
    assert len({tuple(row.twins) for row in kept.values()}) == 1
    assert all(steps for row in kept.values() for steps in row.twins.values())


def test_a_test_among_its_twins_has_no_place_of_its_own():
    places = {twins.shuffled({7: [1, 3, 5]}, random.Random(seed)).index({7: 0}) for seed in range(50)}
    assert places == {0, 1, 2, 3}


def test_in_each_of_several_spots_no_value_is_shown_more_often_than_others():
    copies = twins.shuffled({7: [1, 2], 9: [1], 4: [3]}, random.Random(0))
    assert len(copies) == len({tuple(copy.items()) for copy in copies}) == 12
    for site in (7, 9, 4):
        assert len(set(Counter(copy[site] for copy in copies).values())) == 1


@given(st.text(max_size=12), st.integers(1, changes.STEPS))
def test_changed_texts_are_other_texts_of_the_same_look(text, step):
    other = changes.changed(ast.Constant(text), step)
    assert other is None or ast.literal_eval(other) != text
    if text and text[0].isascii() and text.isalnum() and len(text) == 1:
        assert ast.literal_eval(other).islower() == text.islower()
