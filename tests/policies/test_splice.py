import ast

import pytest

from swegym.policies.splice import Region, Snippet

METHOD = '    def größe(self):\n        return self.ä <  self.b  # kept\n'  # fmt: skip


def snippet(text, first=10):
    return Snippet(Region("a.py", first, text))


def only(tree, kind):
    return next(node for node in ast.walk(tree) if isinstance(node, kind))


def test_an_edit_holds_whole_lines_and_leaves_every_other_byte_alone():
    made = snippet(METHOD)
    node = only(made.tree, ast.Compare)
    edit = made.edit(*made.span(node), "self.ä > self.b", "swap", 1.0)
    assert (edit.first, edit.last) == (11, 11)
    assert edit.old == "        return self.ä <  self.b  # kept\n"
    assert edit.new == "        return self.ä > self.b  # kept\n"


def test_an_edit_over_several_lines_covers_them_all():
    made = snippet("x = f(\n    a,\n    b,\n)\ny = 1\n", first=1)
    edit = made.edit(*made.span(only(made.tree, ast.Call)), "f(a)", "drop", 1.0)
    assert (edit.first, edit.last, edit.new) == (1, 4, "x = f(a)\n")


def test_text_before_the_first_line_of_a_region_is_not_counted():
    made = snippet("x = 1\n", first=1)
    edit = made.edit(0, 0, "y = 2\n", "insert", 1.0)
    assert (edit.first, edit.last, edit.old, edit.new) == (1, 1, "x = 1\n", "y = 2\nx = 1\n")


@pytest.mark.parametrize(
    ("text", "changes"), [("self.ä > 1", True), ("self.ä > (", False), ("(self.ä < self.b)", False)]
)
def test_changes_means_that_it_parses_and_differs(text, changes):
    made = snippet(METHOD)
    assert made.changes(made.edit(*made.span(only(made.tree, ast.Compare)), text, "t", 1.0)) is changes


def test_the_insides_of_formatted_text_and_annotations_are_not_offered():
    made = snippet('def f(a: Kind) -> Other:\n    return f"{inner}" + outer\n', first=1)
    names = {node.id for node in made.nodes() if isinstance(node, ast.Name)}
    assert names == {"outer"}


def test_a_region_that_does_not_parse_is_a_syntax_error():
    with pytest.raises(SyntaxError):
        snippet("        return (\n")
