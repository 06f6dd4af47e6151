import pytest

from swegym.policies.splice import Region, Snippet
from swegym.policies.templates import TEMPLATES, mentioned, proposals

NAMES = ("compute_size", "compute_sizes", "helper")


def edits(source):
    snippet = Snippet(Region("a.py", 1, source, "f", NAMES))
    return snippet, proposals(snippet)


def line(text, number=2):
    return text.splitlines(keepends=True)[number - 1]


def function(*body):
    return "def f(a, b, items, flag=True):\n" + "".join(f"    {text}\n" for text in body)


@pytest.mark.parametrize(
    ("template", "wrong", "right"),
    [
        ("change_comparison", "return a < b", "return a <= b"),
        ("change_comparison", "return a is b", "return a is not b"),
        ("change_comparison", "return 0 < a < b", "return 0 < a <= b"),
        ("negate_condition", "if a: return b", "if not a: return b"),
        ("negate_condition", "if not a: return b", "if a: return b"),
        ("negate_condition", "return [x for x in items if x]", "return [x for x in items if not x]"),
        ("change_connective", "return a > 1 and b", "return a > 1 or b"),
        ("drop_operand", "return a and b", "return a"),
        ("drop_operand", "return a + b", "return b"),
        ("fix_condition", "if a: return b", "if False: return b"),
        ("extend_condition", "if a: return b", "if a and b is not None: return b"),
        ("swap_branches", "return a if flag else b", "return b if flag else a"),
        ("change_arithmetic", "return a + b", "return a - b"),
        ("change_arithmetic", "return a - b", "return b - a"),
        ("change_arithmetic", "a += b", "a -= b"),
        ("change_arithmetic", "items[a] = b", "items[a] += b"),
        ("off_by_one", "return range(a)", "return range(a + 1)"),
        ("off_by_one", "return items[a]", "return items[a - 1]"),
        ("change_slice", "return items[a:b]", "return items[a:]"),
        ("change_slice", "return items[0]", "return items[-1]"),
        ("change_constant", "return 10", "return 11"),
        ("change_constant", "return True", "return False"),
        ("change_constant", "return a, 'x', 'y'", "return a, 'y', 'y'"),
        ("change_pattern", "return re.match(r'a+b', a)", "return re.match(r'a*b', a)"),
        ("change_arguments", "return g(a, b)", "return g(b, a)"),
        ("change_arguments", "return g(a, key=b)", "return g(a)"),
        ("add_argument", "return g(a)", "return g(a, b)"),
        ("add_argument", "return g(a)", "return g(a, flag=flag)"),
        ("similar_name", "return a.lstrip()", "return a.rstrip()"),
        ("similar_name", "return compute_size(a)", "return compute_sizes(a)"),
        ("swap_variable", "return a", "return b"),
        ("wrap_call", "return a.strip()", "return a"),
        ("wrap_call", "return a", "return str(a)"),
        ("widen_handler", "try: g()\n    except ValueError: pass", "except (ValueError, TypeError): pass"),
        ("change_jump", "return a", "return None"),
    ],
)
def test_a_template_proposes_the_classic_repair(template, wrong, right):
    snippet, made = edits(function(wrong))
    found = [edit for edit in made if edit.new.strip() == right]  # another template may have come to the same
    assert found, [edit.new for edit in made if edit.template == template]
    assert snippet.changes(found[0])


def test_a_guard_is_put_in_front_of_a_statement_with_its_indentation():
    _, made = edits(function("g()", "return len(items)"))
    guard = "    if items is None:\n        return []\n    return len(items)\n"
    assert guard in [edit.new for edit in made if edit.template == "insert_guard"]


def test_a_guard_in_a_loop_can_go_on_with_the_next_turn():
    _, made = edits(function("for x in items:", "    a += x"))
    assert "        if not x:\n            continue\n        a += x\n" in [edit.new for edit in made]


def test_neighbouring_statements_are_swapped():
    _, made = edits(function("a = b", "b = a", "return b"))
    assert "    b = a\n    a = b\n" in [edit.new for edit in made if edit.template == "swap_statements"]


def test_no_edit_is_proposed_twice():
    _, made = edits(function("if a < b and items[0]: return a + 1", "return not flag"))
    assert len({(edit.first, edit.last, edit.new) for edit in made}) == len(made)


def test_proposals_are_the_same_every_time():
    source = function("if a < b and items[0]: return a + 1", "return x(a, b).strip()")
    assert edits(source)[1] == edits(source)[1]


def test_docstrings_are_left_alone():
    _, made = edits(function('"""Text."""', "return a"))
    assert not [edit for edit in made if edit.first == 2]


def test_every_template_has_a_prior_and_words():
    names = [template.__name__ for template, _, _ in TEMPLATES]
    assert len(set(names)) == len(names)
    assert all(0 < prior <= 1 and words for _, prior, words in TEMPLATES)


def test_the_words_of_a_plan_name_templates():
    assert "change_comparison" in mentioned("a comparison operator in a condition")
    assert "change_slice" in mentioned("an index or slice")
    assert mentioned("read it closely") == frozenset()
