"""Sealed files and closed calls: what is asked, and what has left the file."""

import ast

from shop_tests import FILE, WANTED

from swegym.grading import (
    expectations,
    replay,
    seals,
    twins,
)


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


def test_closed_calls_are_those_that_need_nothing_but_imports():
    tree = expectations.parse(FILE)
    calls = {name: replay.closed_calls(tree, function) for name, function in expectations.test_functions(tree)}
    assert [call.expression for call in calls["test_local"]] == ["found.value", "found.label"]
    assert calls["test_local"][0].setup == "text = '1+2'\nfound = parse(text)"
    assert [call.expression for call in calls["TestCart::test_total"]] == ["Cart([1]).total"]
    assert not calls["test_price"] and not calls["test_loop"]


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
