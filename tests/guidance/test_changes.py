"""Where a patch changes the base version, and what kind of change each place sees."""

import dataclasses

import pytest

from swegym.errors import PatchError
from swegym.guidance import find_leaks
from swegym.guidance.changes import places


def described(task):
    return [(p.path, p.function, p.first, p.last, p.kinds) for p in places(task, task.gold_patch)]


@pytest.mark.parametrize(
    ("old", "new", "function", "lines", "kinds"),
    [
        ("width + height", "width * height", "area", (10, 10), ("an arithmetic operator",)),
        ("width < 0", "width <= 0", "area", (8, 8), ("a comparison operator in a condition",)),
        ("height=1)", "height=2)", "area", (6, 6), ("a number in a default value",)),
        (
            "height=1)",
            "height=1, depth=1)",
            "area",
            (6, 6),
            ("a parameter is missing", "something is missing in a default value"),
        ),
        ("== 1", "== 0", "Box.empty", (23, 23), ("a number in the return value",)),
        ("in self.items:", "in reversed(self.items):", "Box.first", (18, 18), ("what a loop runs over",)),
        (
            "        self.items = items\n",
            "        self.items = items\n        self.check()\n",
            "Box.__init__",
            (15, 16),
            ("a call is missing",),
        ),
        (
            "    return width + height\n",
            "    if not height:\n        return 0\n    return width + height\n",
            "area",
            (9, 10),
            ("a check for a case is missing",),
        ),
        (
            '"square": 4',
            '"square": 4, "line": 1',
            "<module>",
            (3, 3),
            ("something is missing in the value that is assigned",),
        ),
        ("width < 0", "not width < 0", "area", (8, 8), ("a negation in a condition",)),
        ("width < 0", "width < 0 or not height", "area", (8, 8), ("a condition",)),
        (
            "return width + height",
            "return width + height + 1",
            "area",
            (10, 10),
            ("an off-by-one in the return value",),
        ),
        ("len(self.items)", "len(self)", "Box.empty", (23, 23), ("an argument of a call",)),
        (
            "        for item in self.items:\n            return item\n        return None\n",
            "        return None\n        for item in self.items:\n            return item\n",
            "Box.first",
            (17, 20),
            ("the order of statements",),
        ),
        ("ValueError(width)", "TypeError(width)", "area", (9, 9), ("which function or method a call goes to",)),
    ],
)
def test_one_edit_is_placed_and_named(make_task, old, new, function, lines, kinds):
    task = make_task(("shapes.py", old, new))
    assert described(task) == [("shapes.py", function, *lines, kinds)]


def test_lines_added_at_the_end_of_a_function_belong_to_it(make_task):
    end = "        return len(self.items) == 1\n"
    task = make_task(("shapes.py", end, end + "\n    def last(self):\n        return self.items[-1]\n"))
    assert described(task) == [("shapes.py", "Box", 23, 23, ("a definition is missing",))]


def test_several_places_put_the_most_edited_function_first(make_task):
    task = make_task(
        ("other.py", "2 * x", "3 * x"),
        (
            "shapes.py",
            "        for item in self.items:\n            return item\n",
            "        if self.items:\n            return self.items[0]\n",
        ),
    )
    assert [(place.path, place.function) for place in places(task, task.gold_patch)] == [
        ("shapes.py", "Box.first"),
        ("other.py", "twice"),
    ]


def test_a_new_file_has_a_place_too(make_task):
    task = make_task(("fresh.py", "", "def new():\n    return 1\n"))
    assert [(p.path, p.function) for p in places(task, task.gold_patch)] == [("fresh.py", "<module>")]


def test_a_patch_of_another_version_is_refused_by_name(product):
    with pytest.raises(PatchError, match=r"shapes\.py: the hunk at line 7 does not fit"):
        places(
            product,
            product.gold_patch.replace(" if width < 0", " if width < 9").replace(
                "    if width < 0", "    if width < 9"
            ),
        )


def test_kinds_never_hold_code(make_task):
    task = make_task(("shapes.py", "width + height", "scaled_product(width, height)"))
    text = " ".join(kind for place in places(task, task.gold_patch) for kind in place.kinds)
    assert "scaled_product" not in text and "width" not in text


def test_a_version_number_is_no_place(make_task, base_files):
    base_files["shapes.py"] += '\n__version__ = "1.0"\n'
    task = make_task(("shapes.py", "width + height", "width * height"), ("shapes.py", '"1.0"', '"1.1"'))
    assert [place.function for place in places(task, task.gold_patch) if place.function != "area"] == []


def test_lines_of_a_long_function_are_where_most_is_edited(make_task, base_files):
    body = "".join(f"    x{n} = {n}\n" for n in range(100))
    base_files["other.py"] = f"def long():\n{body}"
    task = make_task(
        ("other.py", "x3 = 3\n", "x3 = 4\n"), ("other.py", "x80 = 80\n    x81 = 81\n", "x80 = 1\n    x81 = 2\n")
    )
    (place,) = places(task, task.gold_patch)
    assert (place.first, place.last, place.weight) == (82, 83, 6)


@pytest.mark.parametrize("end", ["\x0c", "\u2028", "\x85", "\r"], ids=repr)
def test_a_line_ends_with_a_line_feed_alone(make_task, base_files, end):
    """As for git: else no patch to such a line could be read, and no leak of one be seen."""
    base_files["shapes.py"] = base_files["shapes.py"].replace('"""The area."""', f'"""The{end}area."""  # before')
    task = make_task(("shapes.py", "# before", f"# the area{end}of a rectangle"))
    old, new = (f'    """The{end}area."""  # {said}\n' for said in ("before", f"the area{end}of a rectangle"))
    head = "diff --git a/shapes.py b/shapes.py\n--- a/shapes.py\n+++ b/shapes.py\n@@ -7 +7 @@\n"
    task = dataclasses.replace(task, gold_patch=f"{head}-{old}+{new}")
    assert [(p.path, p.function, p.first, p.last) for p in places(task, task.gold_patch)] == [
        ("shapes.py", "area", 7, 7)
    ]
    assert find_leaks(f"write {new}", task) == ["it quotes a line that the reference fix adds"]
