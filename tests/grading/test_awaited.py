"""Exceptions and warnings that a test waits for: which they are, and that no block of a sealed test shows it."""

import json

import pytest

from swegym.grading import expectations, plain_values, seals
from swegym.grading.plain_values import agrees, decode

FILE = b"""
import re
import pytest
from shop import Refused, advise, errors, price

WORDS = "out of"


@pytest.mark.parametrize("text, error, said", [("a", ValueError, "no a"), ("b", errors.Gone, "b (gone)")])
def test_rows(text, error, said):
    with pytest.raises(error, match=re.escape(said)):
        price(text)


def test_names():
    first, second = Refused, 1
    kinds = Refused, errors.Gone
    with pytest.raises(kinds, match=WORDS + " stock"):
        price("c")


def test_unknown(error):
    with pytest.raises(error, match=error.text):
        price("d")


def test_lines():
    shop = price.shop()
    shop.open()
    assert shop.name == "here"
    with pytest.raises(Refused):
        found = shop.find("e")
        found.sell()
    with pytest.raises(Refused):
        assert shop.find("f")
    with pytest.raises(Refused) as caught:
        shop.find("g")
    assert caught.value.code == 3


def test_block(shop):
    found = shop.find("h")
    with pytest.raises(Refused):
        found.sell()
    shop.check(3)
    assert shop.name == "there"


def test_warning(shop):
    with pytest.warns(UserWarning, match="ask"):
        advise(1)
    with pytest.warns(UserWarning) as caught:
        advise(2)
    assert len(caught) == 1
    with pytest.deprecated_call():
        advise(3)
"""


@pytest.fixture(scope="module")
def sealed():
    tree = expectations.parse(FILE)
    names = [name for name, _ in expectations.test_functions(tree)]
    made = seals.seal(tree, names)
    return seals.finished(made.tree).decode(), made.checks


def raised(*names, text=""):
    return decode(json.dumps(["raised", [list(names), text]]))


def test_what_is_awaited_is_read_from_tables_names_and_patterns(sealed):
    text, checks = sealed
    rows = checks["test_rows"][0]
    assert rows["names"] == ["ValueError", "Gone"] and rows["match"] == ["no\\ a", "b\\ \\(gone\\)"]
    assert checks["test_names"][0] == {
        "form": "raises", "operator": "raises", "names": ["Refused", "Gone"], "match": "out of stock"
    }  # fmt: skip
    assert checks["test_unknown"] == {}
    for secret in ("errors.Gone", "no a", "(gone)", "stock", "UserWarning, match"):
        assert secret not in text, secret


def test_of_a_tables_exceptions_only_that_of_the_row_is_right(sealed):
    check = sealed[1]["test_rows"][0]
    known = raised("builtins.ValueError", "builtins.Exception", text="no a")
    assert agrees(check, known, known)
    assert not agrees(check, raised("shop.Gone", "builtins.Exception", text="no a"), known)
    assert not agrees(check, raised("builtins.ValueError", text="b (gone)"), known)
    other = raised("shop.errors.Gone", "builtins.LookupError", text="b (gone)")
    assert agrees(check, raised("shop.moved.Gone", "builtins.KeyError", text="it is b (gone)"), other)


def test_lines_before_a_question_stand_in_its_block_whatever_it_asks(sealed):
    lines = sealed[0].partition("def test_lines")[2].partition("def test_warning")[0]
    assert "raises(0):\n        shop = price.shop()\n        shop.open()\n        _swegym_ask(0, shop.name)" in lines
    assert "raises(1):\n        found = shop.find('e')\n        _swegym_ask(1, found.sell())" in lines
    assert "raises(2):\n        _swegym_ask(2, _swegym_ask(3, not not shop.find('f')))" in lines
    assert "raises(4) as caught:\n        shop.find('g')" in lines


def test_a_line_that_was_taken_into_a_block_raises_nothing_that_is_expected(sealed):
    check = sealed[1]["test_block"][0]
    assert check["before"] == 1 and "before" not in sealed[1]["test_lines"][1]

    def at(line):
        return decode(json.dumps(["raised", [["shop.Refused"], "text", "text and notes", line]]))

    assert at(2) == (("shop.Refused",), "text", "text and notes", 2)
    assert [agrees(check, at(line), at(2)) for line in (0, 1, 2)] == [True, False, True]
    text = sealed[0].partition("def test_block")[2]
    assert "    shop.check(3)\n    with _swegym_raises(2):\n        _swegym_ask(2, shop.name)" in text


def test_one_of_the_warnings_of_a_block_is_the_right_one(sealed):
    text, checks = sealed
    assert "with _swegym_warns(0):\n        advise(1)" in text and "warns(UserWarning) as caught" in text
    check = checks["test_warning"][0]
    assert "FutureWarning" in checks["test_warning"][5]["names"]

    def warned(*kinds):
        names = [["builtins." + name for name in (kind, "Warning", "Exception")] for kind, _ in kinds]
        return decode(json.dumps(["warned", [[one, said] for one, (_, said) in zip(names, kinds, strict=True)]]))

    known = warned(("UserWarning", "ask for more"))
    assert agrees(check, known, known)
    assert agrees(check, warned(("DeprecationWarning", "old"), ("UserWarning", "ask")), known)
    for other in ([], [("UserWarning", "no")], [("FutureWarning", "ask")]):
        assert not agrees(check, warned(*other), known)
    every = [(kind, "ask") for kind in ("UserWarning", "FutureWarning", "ImportWarning", "BytesWarning")]
    assert not agrees(check, warned(*every), known)
    assert not agrees(check, known.all[0], known) and not agrees(check, 3, known)
    assert isinstance(known, plain_values.Warned)
