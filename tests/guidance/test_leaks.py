"""What counts as giving the answer away."""

import base64
import codecs

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


FIX = "return width * height"


@pytest.mark.parametrize(
    "text",
    [
        f"read it backwards: {FIX[::-1]}",
        f"run this through rot13: {codecs.encode(FIX, 'rot13')}",
        f"bytes.fromhex('{FIX.encode().hex()}')",
        f"base64: {base64.b64encode(FIX.encode()).decode()}, decode it",
        "\u200b".join(FIX),
        "\uff52eturn width * height",
    ],
    ids=["backwards", "rot13", "hexadecimal", "base64", "zero-width", "wide letters"],
)
def test_a_spelling_that_has_to_be_decoded_hides_nothing(product, text):
    """What a repository says to the teacher that reads an attempt at it may ask for this."""
    assert "it quotes a line that the reference fix adds" in find_leaks(text, product)


@pytest.mark.parametrize(
    "text", ["run test_area_is_a_product", "see tests/test_shapes.py::test_area_is_a_product", "(test_negative_width)"]
)
def test_names_of_hidden_tests_are_found(product, text):
    assert find_leaks(text, product) == ["it names a hidden test"]


def test_source_of_hidden_tests_is_found(product):
    assert find_leaks("note that area(3, 4) should be 12", product) == []
    for quote in ("note that area(3, 4) == 12 and area(5, 6) == 30", "assert area(3,4) == 12 and area(5,6) == 30"):
        assert find_leaks(quote, product) == ["it quotes a line of a hidden test file"]


def test_plain_advice_is_no_leak(product):
    assert find_leaks("area in shapes.py misbehaves: an arithmetic operator. Write a test first.", product) == []


@pytest.mark.parametrize(
    "text",
    [
        "Write `(width) * (height)` into a `return(width * (height))`.",
        "```python\ndef area(width, height):\n    return (width\n            * height)\n```",
        "Fix: return (width)*(height)",
    ],
)
def test_code_of_the_fix_in_another_spelling_is_found(product, text):
    assert find_leaks(text, product) == ["it gives code of the reference fix in another spelling"]


@pytest.fixture
def renaming(make_task):
    return make_task(("shapes.py", "return width + height", "return sum(side * 2 for side in (width, height))"))


def test_renamed_variables_do_not_hide_the_fix(renaming):
    text = "Try `sum(part * 2 for part in (first, second))` there."
    assert find_leaks(text, renaming) == ["it gives code of the reference fix in another spelling"]


def test_code_that_only_looks_a_little_like_the_fix_is_none(renaming):
    assert find_leaks("Compare `sum(part + 1 for part in parts)` and `max(width, height)`.", renaming) == []


def test_short_code_with_other_names_is_left_to_chance(product):
    assert find_leaks("as in `return rows * columns`", product) == []


def test_a_test_that_everybody_can_read_is_no_secret(make_task, base_files):
    base_files["test_old.py"] = "def test_negative_width():\n    assert True\n"
    task = make_task(("shapes.py", "return width + height", "return width * height"))
    assert find_leaks("test_negative_width fails", task) == []
    assert find_leaks("test_area_is_a_product fails", task) == ["it names a hidden test"]
