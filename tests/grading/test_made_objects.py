"""Tests that compare with an object that they make: twins make it of something else."""

import ast
from collections.abc import Sequence

import pytest

from swegym.grading import expectations, inquiries, twins
from swegym.grading.reference import Question


def made(assertion: str) -> tuple[ast.Module, expectations.Function, expectations.Site]:
    tree = expectations.parse(f"from code import *\n\ndef test():\n    {assertion}\n".encode())
    assert tree is not None
    (_, function), *_ = expectations.test_functions(tree)
    (site,) = expectations.sites(tree, function)
    return tree, function, site


@pytest.mark.parametrize(
    "assertion, inner, other",
    [
        ("assert f(1) == Purse('dime', 20)", "20", "assert f(1) == Purse('dime', 30)"),
        ("assert Purse('dime', number=20) == f(1)", "20", "assert Purse('dime', number=30) == f(1)"),
        ("assert f(1) == code.Purse(number=20)", "20", "assert f(1) == code.Purse(number=30)"),
        ("self.assertEqual(Purse(20), f(1))", "20", "self.assertEqual(Purse(30), f(1))"),
    ],
)
def test_a_twin_makes_it_of_another_value(assertion: str, inner: str, other: str) -> None:
    tree, function, site = made(assertion)
    assert site.form == "truth" and site.expected is not None and ast.unparse(site.expected) == inner
    steps = twins.steps_of(tree, function, site)
    assert len(steps) > 1
    lines = {ast.unparse(twins.variant(tree, function, {0: step}, "t").body[0]) for step in [0, *steps]}
    assert len(lines) == len(steps) + 1 and assertion in lines
    assert other in lines


@pytest.mark.parametrize("assertion", ["assert f(1) == g(20)", "assert f(1) == Purse(g())", "assert f(1) != Purse(20)"])
def test_what_is_no_object_of_something_known_has_one_twin(assertion: str) -> None:
    tree, function, site = made(assertion)
    assert (site.form, site.expected, twins.steps_of(tree, function, site)) == ("truth", None, [1])


@pytest.mark.parametrize("steps, asked_otherwise", [((1, 2, 3), False), ((1,), True)])
def test_such_a_site_is_asked_among_twins_though_others_of_its_test_tell(
    steps: Sequence[int], asked_otherwise: bool
) -> None:
    truth = {"form": "truth", "operator": "truth", "answers": ['["bool", "1"]']}
    question = Question("t.py::test", {"0": truth}, {}, twins={"0": tuple(steps)}, tells=True)
    assert ("0" in inquiries._telling(question)) is asked_otherwise
