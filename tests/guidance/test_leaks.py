"""What counts as giving the answer away."""

import pytest

from swegym.guidance import find_leaks


@pytest.mark.parametrize(
    "text",
    [
        "return width * height",
        "use\n  return   width*height  there",
        "`return width *\nheight`",
    ],
)
def test_an_added_line_is_found_however_it_is_spaced(product, text):
    assert find_leaks(text, product) == ["it quotes a line that the reference fix adds"]


def test_a_long_piece_of_an_added_line_is_found(make_task):
    task = make_task(("shapes.py", "if width < 0:", "if width < 0 and not isinstance(height, (int, float)):"))
    assert find_leaks("check `not isinstance(height, (int, float))` too", task) == [
        "it quotes a part of a line that the reference fix adds"
    ]


def test_pieces_that_the_base_version_shows_are_no_leak(make_task):
    task = make_task(("shapes.py", "def area(width, height=1):", "def area(width, height=1, *, scale=None):"))
    assert find_leaks("The signature is now area(width, height=1), read it.", task) == []


def test_short_lines_are_left_to_prose(make_task):
    task = make_task(("shapes.py", "        return None\n", "        else:\n            pass\n        return None\n"))
    assert find_leaks("otherwise, or else: pass the item on", task) == []


@pytest.mark.parametrize(
    "text", ["run test_area_is_a_product", "see tests/test_shapes.py::test_area_is_a_product", "(test_negative_width)"]
)
def test_names_of_hidden_tests_are_found(product, text):
    assert find_leaks(text, product) == ["it names a hidden test"]


def test_source_of_hidden_tests_is_found(product):
    assert find_leaks("note that area(3, 4) == 12 and area(5, 6) == 30", product) == []  # less than the whole line
    assert find_leaks("assert area(3,4) == 12 and area(5,6) == 30", product) == [
        "it quotes a line of a hidden test file"
    ]


def test_plain_advice_is_no_leak(product):
    assert find_leaks("area in shapes.py misbehaves: an arithmetic operator. Write a test first.", product) == []
