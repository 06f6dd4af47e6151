"""Assertions with a tolerance are asked for the number, as far from the reference fix's as the test lets it be."""

import ast

import pytest

from swegym.grading import expectations, seals
from swegym.grading.plain_values import agrees, decode

READ = {
    "f(1) == pytest.approx(3.5)": ("near", "f(1)", "3.5"),
    "f(1) == approx(3.5, abs=1e-4)": ("near 0.0 0.0001", "f(1)", "3.5"),
    "pytest.approx([1, 2], 0.01) == f(1)": ("near 0.01 1e-12", "f(1)", "[1, 2]"),
    "f(1) == pytest.approx(3.5, rel=1e-3, abs=2)": ("near 0.001 2.0", "f(1)", "3.5"),
    "abs(f(1) - 3.5) < 0.01": ("near 0.0 0.01", "f(1)", "3.5"),
    "abs(3.5 - f(1)) <= 1": ("near 0.0 1.0", "f(1)", "3.5"),
    "abs(f(1) - 3.5) < SMALL": ("near 0.0 0.25", "f(1)", "3.5"),
    "f(1) == approx(3.5, rel=SMALL)": ("near 0.25 1e-12", "f(1)", "3.5"),
    "math.isclose(3.5, f(1))": ("near 1e-09 0.0", "f(1)", "3.5"),
    "isclose(f(1), 3.5, abs_tol=SMALL, rel_tol=0.1)": ("near 0.1 0.25", "f(1)", "3.5"),
}
NOT_READ = ("f(1) == approx(3.5, abs=g())", "f(1) == approx(3.5, nan_ok=True)", "abs(f(1) - g(1)) < 1", "abs(f(1)) < 1")
NOT_READ += ("abs(f(1) - 3.5) < other", "numpy.isclose(f(1), 3.5)", "math.isclose(f(1), g(1))", "math.isclose(1, 3.5)")


def site_of(test: str) -> tuple[ast.Module, expectations.Site]:
    tree = expectations.parse(f"SMALL = 0.25\n\n\ndef test(other):\n    assert {test}\n".encode())
    assert tree is not None
    (_, function), *_ = expectations.test_functions(tree)
    return tree, expectations.sites(tree, function)[0]


@pytest.mark.parametrize("test", READ)
def test_tolerances_are_read(test: str) -> None:
    tree, site = site_of(test)
    assert site.asked and site.expected and site.remake
    assert (site.operator, ast.unparse(site.asked), ast.unparse(site.expected)) == READ[test]
    assert "9" in ast.unparse(site.remake(ast.Constant(9))) and "3.5" not in ast.unparse(site.remake(ast.Constant(9)))
    check = seals.seal(tree, {"test"}).checks["test"][0]
    assert (check["form"], check["operator"], check["steady"]) == ("near", site.operator, True)
    assert decode(check["literal"]) == ast.literal_eval(site.expected)


@pytest.mark.parametrize("test", NOT_READ)
def test_what_cannot_be_read_is_no_such_site(test: str) -> None:
    assert site_of(test)[1].form in ("truth", "compare")


def test_an_answer_may_be_as_far_off_as_the_reference_fixs_on_the_other_side() -> None:
    for operator, near, far in (
        ("near", 100.00019, 100.0003),
        ("near 0.0 0.5", 100.9, 101.1),
        ("near7", 100.00000009, 100.0000002),
    ):
        check = {"form": "near", "operator": operator}
        assert agrees(check, near, 100.0) and not agrees(check, far, 100.0)
        check = {**check, "literal": '["float", "100.0"]'}
        assert agrees(check, (near + 100) / 2, 99.0) and not agrees(check, near, 100.0)
