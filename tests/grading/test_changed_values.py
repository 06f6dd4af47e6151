"""Changes of literals: those of a test and its twins look alike, so that none of them is told by its look."""

import ast
import random
from collections import Counter

import pytest

from swegym.grading import bindings, changes, expectations, seals, twins
from swegym.grading.changes import FINE, OFFSETS, changed, steps_for

WORDS = ("adult", "child", "family", "tickets", "two", "children", "Adult", "senior")
FILE = b"""
def test_words(mock, shop):
    shop.tell("family fare", "senior fare")
    mock.line.assert_called_once_with("two tickets for children")
    check("child", "reduced")
"""


def literals(value, words=()):
    node = ast.parse(repr(value), mode="eval").body
    return {step: ast.literal_eval(changed(node, step, words)) for step in steps_for([node], words)}


@pytest.mark.parametrize("value", [300, -20, 10_800, 100, [None, 0, 20]])
def test_a_round_number_becomes_others_as_round_and_each_of_them_one_that_is_near(value):
    if isinstance(value, list):
        assert set(literals(value)) == {1, 2, 3, 4, 5, 6}  # of its first literal, which is no number
        return
    found = literals(value)
    zeros = len(str(value)) - len(str(value).rstrip("0"))
    for step in range(1, changes.ALIKE + 1):
        assert found[step] != value and found[step] % 10**zeros == 0 and len(str(found[step])) == len(str(value))
        assert abs(found[FINE + step] - found[step]) == 1
    assert abs(found[FINE] - value) == 1 and len(set(found.values())) == len(found) == 2 * changes.ALIKE + 1


@pytest.mark.parametrize("value", [0, 3, 42, -7, 1.5, True, "no word of it", b""])
def test_other_literals_have_no_finer_changes(value):
    assert all(step < FINE for step in literals(value)) and value not in literals(value).values()


def test_a_word_becomes_others_of_the_file_that_stand_nowhere_else_in_the_text():
    found = literals("two adult tickets", WORDS)
    for step in range(1, changes.ALIKE + 1):
        assert len(set(found[step].split())) == 3 and set(found[step].split()) < set(WORDS)
        assert not set(found[FINE + step].split()) < set(WORDS)
    assert len(set(found.values())) == 9


def test_each_of_those_that_are_shown_may_be_the_one_that_was_changed():
    """What can be made of one by a step can be made into it by another, so no copy is the odd one out."""
    for value, words in [(300, ()), (7, ()), ("adult", WORDS)]:
        for step, other in literals(value, words).items():
            if step <= changes.ALIKE:
                back = OFFSETS.index(-OFFSETS[step - 1]) + 1
                assert literals(other, words)[back] == value
    places = Counter(tuple(sorted(OFFSETS[step - 1] for step in near if step < FINE)) for near in windows(600))
    assert set(places) == {(-2, -1), (-1, 1), (1, 2)} and max(places.values()) < 300


def windows(count):
    source = random.Random(1)
    for _ in range(count):
        near = twins.window([1, 2, 3, 4, 10, 11, 12, 13, 14], source)
        coarse = [step for step in near if step < FINE]
        assert sorted(near) == sorted([*coarse, FINE, *(FINE + step for step in coarse)])
        yield near


def test_words_are_exchanged_only_where_nothing_else_can_be_meant():
    tree = expectations.parse(FILE)
    function = dict(expectations.test_functions(tree))["test_words"]
    steps = {site.number: twins.steps_of(tree, function, site) for site in expectations.sites(tree, function)}
    assert max(steps[0]) > FINE and max(steps[1]) == changes.STEPS, steps
    seals.only(tree, ["test_words"])
    copied = ast.unparse(twins.variant(tree, function, {0: 1}, "test_other"))
    line = next(line for line in copied.splitlines() if "assert_called_once_with" in line)
    assert set(ast.literal_eval(line.partition("with(")[2][:-1]).split()) <= {*changes.words_of(tree), "for"}


MOCKS = b"""
from unittest import mock
from unittest.mock import call


def test_calls():
    sender = mock.Mock()
    sender.assert_has_calls([call("one", 2), mock.call("two")])
    assert sender.mock_calls == [mock.call.send("three")]
    assert sender.made(1) == sender.made(2) == 30
"""


def test_calls_of_a_mock_are_what_it_is_compared_with_and_a_chain_says_the_same_of_each():
    tree = expectations.parse(MOCKS)
    function = dict(expectations.test_functions(tree))["test_calls"]
    found = expectations.sites(tree, function)
    assert [site.form for site in found] == ["call", "equal", "equal", "equal"]
    assert [ast.unparse(site.asked) for site in found[2:]] == ["sender.made(1)", "sender.made(2)"]
    assert [len(twins.steps_of(tree, function, site)) for site in found] == [6, 6, 9, 9]
    assert "sender" not in bindings.Scope(tree, function).pure
