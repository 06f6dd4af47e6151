"""What questions are made of: expectations found in source, sealed files, twins, closed calls, answers compared."""

import ast
import json
import random
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swegym.grading import (
    _questions,
    asking,
    changes,
    choices,
    expectations,
    inquiries,
    plain_values,
    replay,
    seals,
    twins,
)
from swegym.grading.plain_values import OPAQUE, Raised, agrees, decode
from swegym.grading.pytest_run import TestReport
from swegym.grading.reference import Question

FILE = b'''\
"""Tests."""
from __future__ import annotations
import unittest
import pytest
from shop import price, parse, Cart, ShopError

SECRET = "s3cret"
ROWS = [("a", 11), ("b", 12)]


@pytest.mark.parametrize("name, cost", ROWS, ids=["eleven", "twelve"])
def test_price(name, cost):
    assert price(name) == cost


@pytest.mark.parametrize("text", ["x1", pytest.param("x2", id="two")])
def test_round_trip(text):
    assert str(parse(text)) == text


def test_local():
    text = "1+2"
    wanted = {"sum": 3313}
    found = parse(text)
    assert found.value == wanted, "not 3313"
    assert "part" in found.names and found.ok
    assert found.label == SECRET


def test_loop():
    for name, cost in [("p", 771), ("q", 772)]:
        assert price(name) == cost


def test_error():
    with pytest.raises(ShopError, match="no such") as caught:
        price("none")
    assert caught.value.code == 4417


def test_near():
    assert price("n") == pytest.approx(0.3125)


def test_other():
    assert price("zzz") == 90909


class TestCart(unittest.TestCase):
    def test_total(self):
        self.assertEqual(Cart([1]).total, 5511)
        self.assertIn(6622, Cart([2]).rows)
        self.assertTrue(Cart([]).empty)
        with self.assertRaises(ValueError):
            Cart(None)
'''
WANTED = ("test_price", "test_round_trip", "test_local", "test_loop", "test_error", "test_near", "TestCart::test_total")


def sealed_file():
    tree = expectations.parse(FILE)
    found = seals.seal(tree, WANTED)
    return seals.finished(found.tree).decode(), found.checks


def test_no_expected_value_is_left_in_a_sealed_file():
    text, checks = sealed_file()
    for secret in ("11", "12", "eleven", "twelve", "3313", "part", "s3cret", "771", "no such", "ShopError", "4417"):
        assert secret not in text.replace("import price, parse, Cart, ShopError", ""), secret
    for secret in ("0.3125", "90909", "test_other", "5511", "6622", "ValueError"):
        assert secret not in text, secret
    assert set(checks) == set(WANTED)
    assert text.index("from __future__") < text.index("_swegym_questions")
    compile(text, "sealed", "exec")


def test_no_block_of_a_sealed_file_shows_where_an_exception_is_expected():
    text = FILE + b"\n        self.assertRaises(ValueError, Cart, 3)\n"
    sealed = seals.seal(expectations.parse(text), ["TestCart::test_total"])
    body = seals.finished(sealed.tree).decode().partition("def test_total(self):\n")[2]
    for number, asked in enumerate(
        ("Cart([1]).total", "Cart([2]).rows", "not not Cart([]).empty", "Cart(None)", "Cart(3)")
    ):
        assert f"        with _swegym_raises({number}):\n            _swegym_ask({number}, {asked})\n" in body
    assert {check["form"] for check in sealed.checks["TestCart::test_total"].values()} >= {"raises", "equal"}


def test_a_question_whose_exception_the_test_handles_stands_in_no_block():
    text = b"""
def test_handled():
    try:
        assert price("a") == 11
        assert price("b") == 12
    except ShopError as error:
        assert error.code == 13
    try:
        assert price("c") == 14
    finally:
        assert price("d") == 15
"""
    sealed = seals.seal(expectations.parse(text), ["test_handled"])
    body = seals.finished(sealed.tree).decode()
    assert body.count("_swegym_raises(") == 3 and body.count("_swegym_ask(") == 5
    assert "    try:\n        _swegym_ask(0, price('a'))\n        _swegym_ask(1" in body


def test_inputs_stay_in_a_sealed_file():
    text, _ = sealed_file()
    for needed in ("'a'", "'x1'", "'x2'", "'1+2'", "price('none')", "Cart([2])"):
        assert needed in text, needed


def test_sealing_only_what_is_allowed_leaves_the_rest():
    tree = expectations.parse(FILE)
    found = seals.seal(tree, ["test_local"], {"test_local": [0]})
    text = seals.finished(found.tree).decode()
    assert "3313" not in text and "part" in text and "s3cret" in text and list(found.checks["test_local"]) == [0]


def test_every_kind_of_expectation_is_found():
    tree = expectations.parse(FILE)
    found = {
        name: [site.form for site in expectations.sites(tree, function)]
        for name, function in expectations.test_functions(tree)
    }
    assert found["test_local"] == ["equal", "compare", "truth", "equal"]
    assert found["test_error"] == ["raises", "equal"] and found["test_near"] == ["near"]
    assert found["TestCart::test_total"] == ["equal", "compare", "truth", "raises"]


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


def test_a_name_that_is_bound_anew_stands_for_each_of_its_values():
    text = b"""
def test_joined():
    wanted = ["one", "two"]
    wanted = ", ".join(wanted)
    found = join()
    found = found.strip()
    assert found == wanted

def test_otherwise(wanted=3):
    value = 1
    for _ in found():
        value = 2
    value = 3
    inner = 1
    inner = lambda: inner
    last = 1
    last = 2
    last_2 = 3
    assert value == inner == last

def test_by_name():
    name = 1
    name = 2
    assert "%(name)s" % locals() == "2"
"""
    tree = expectations.parse(text)
    source = ast.unparse(tree)
    assert "wanted_2 = ', '.join(wanted)" in source and "found_2 == wanted_2" in source
    assert "value_2" not in source and "inner_2" not in source and source.count("last_2") == 1
    assert "name_2" not in source
    sealed = seals.seal(tree, ["test_joined"])
    assert sealed.checks["test_joined"] == {0: {"form": "equal", "operator": "==", "steady": True}}
    assert "wanted" not in seals.finished(sealed.tree).decode()


def test_a_site_has_one_number_whether_others_are_replaced_or_not():
    text = b"""
def test_mixed():
    with pytest.raises(ValueError, match="none"):
        parse("a")
        check("b", 2)
    with pytest.warns(UserWarning):
        warn("c")
    assert parse("d") == 4
"""
    tree = expectations.parse(text)
    ((_, function),) = expectations.test_functions(tree)
    found = {site.number: site.form for site in expectations.sites(tree, function)}
    assert list(found.values()) == ["raises", "warns", "call", "equal"]
    checks = seals.seal_function(tree, function, None)
    assert {number: check["form"] for number, check in checks.items()} == {0: "raises", 1: "warns", 3: "equal"}


def test_a_test_that_asserts_nothing_is_asked_whether_it_ends():
    text = b"""
def test_end():
    run("a")

async def test_helper():
    check_all(made())

def test_asserts():
    run("a")
    assert found() == 2

def test_told():
    check("a", 3)

def test_steps():
    yield run("a")

def prepare():
    run("b")
"""
    tree = expectations.parse(text)
    functions = dict(expectations.test_functions(tree))
    found = {name: [site.form for site in expectations.sites(tree, function)] for name, function in functions.items()}
    assert found == {
        **{"test_end": ["call", "truth"], "test_helper": ["truth"], "test_asserts": ["call", "equal"]},
        **{"test_told": ["call", "truth"], "test_steps": [], "prepare": ["call"]},
    }
    _, site = expectations.sites(tree, functions["test_end"])
    assert site.is_end and twins.steps_of(tree, functions["test_end"], site) == [1]
    assert ast.unparse(twins.variant(tree, functions["test_end"], {1: 1}, "t")).endswith("assert not True")
    sealed = seals.seal(tree, ["test_end"])
    assert "ask(1, not not True)" in seals.finished(sealed.tree).decode().replace("_swegym_", "")


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


def test_closed_calls_are_those_that_need_nothing_but_imports():
    tree = expectations.parse(FILE)
    calls = {name: replay.closed_calls(tree, function) for name, function in expectations.test_functions(tree)}
    assert [call.expression for call in calls["test_local"]] == ["found.value", "found.label"]
    assert calls["test_local"][0].setup == "text = '1+2'\nfound = parse(text)"
    assert [call.expression for call in calls["TestCart::test_total"]] == ["Cart([1]).total"]
    assert not calls["test_price"] and not calls["test_loop"]


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


NAMED = b"""
import pytest
from slug import slug
CASES = {"a": ("A!", "a-secret"), "b": ("B", "b-secret")}
MORE = {"x": "y-secret"}

@pytest.mark.parametrize("text, expected", CASES.values(), ids=CASES.keys())
def test_slug(text, expected):
    assert slug(text) == expected

def test_loop():
    for text, expected in MORE.items():
        assert slug(text) == expected
"""


def test_a_table_that_is_a_dict_of_the_module_is_sealed_and_leaves_the_file():
    sealed = seals.seal(expectations.parse(NAMED), ["test_slug", "test_loop"])
    assert "secret" not in seals.finished(sealed.tree).decode()
    assert {name: [check["form"] for check in found.values()] for name, found in sealed.checks.items()} == {
        "test_slug": ["equal"], "test_loop": ["equal"],
    }  # fmt: skip


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
