"""What rows call tests, and the ids that pytest has."""

import pytest

from swegym.tasks.listed_names import match

IDS = (
    "tests/test_a.py::test_x[1, 2]",
    "tests/test_a.py::test_x[1, 3]",
    "tests/test_a.py::TestB::test_path[/a/b/c]",
    "tests/test_a.py::TestB::test_b",
    "sympy/core/tests/test_c.py::test_coth",
)


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (IDS[3], IDS[3:4]),  # as it is
        ("tests/test_a.py::test_x[1,", IDS[:2]),  # cut at a space: all that begin so
        ("tests/test_a.py::TestB::test_path[/c]", IDS[2:3]),  # the last part of a path
        ("tests/test_a.py::test_x[1", IDS[:2]),  # cut inside its brackets
        ("test_coth", IDS[4:]),  # a function alone
        ("TestB.test_b", IDS[3:4]),
        ("test_b (tests.test_a.TestB)", IDS[3:4]),
        ("[100%]", ()),
        ("tests/test_a.py::test_gone", ()),
    ],
)
def test_a_listed_name_means(listed: str, found: tuple[str, ...]) -> None:
    matched = match([listed], IDS)
    assert matched.ids == found
    assert matched.unknown == (() if found else (listed,))
