"""A hidden test file of every kind of expectation, and the names of those of its tests that are asked."""

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
