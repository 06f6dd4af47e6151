"""Mutations edit exactly what they say, in a fixed order, and are found again by their facts."""

import ast
import importlib.util
import textwrap

import pytest

from swegym.errors import TaskError, UnknownName
from swegym.tasks.mutation import Mutation, find, mutations, splice, takes_effect
from swegym.tasks.operators import OPERATORS

SAMPLE = textwrap.dedent('''
    """Module text with a number 7 and a < b."""
    LIMIT = 10  # module level is left alone


    def cut(text, width=80, keep=True):
        """Cut `text` if 1 < 2."""
        # a comment with < and not
        if not text or len(text) <= (width):  # fits: 1 < 2
            return text
        parts = text.strip().split(" ", 1)
        total = width - len(
            parts[0]  # the first
        ) + 1
        if keep and total > 0:
            total += 2
        else:
            total = min(total, 3)
        return f"{text[:total]}é" + fill(text[1:total], width, char="é")


    class Box:
        size = 5

        @decorated(9)
        def put(self, item: "int < 3", count: int = 1) -> bool:
            self.items.append(item)
            return count == 1 and item is not None
''').lstrip()


def made(source: str, operator: str) -> list[str]:
    """What the operator makes of the only function's body, one text per edit."""
    data = source.encode()
    return [splice(data, m).decode() for m in mutations(data) if m.operator == operator]


def body(statement: str, operator: str) -> list[str]:
    head = "def f(a, b, c):\n    "
    return [text.removeprefix(head) for text in made(head + statement, operator)]


@pytest.mark.parametrize(
    ("operator", "statement", "results"),
    [
        ("integer_constant", "return 1", ["return 2", "return 0"]),
        ("integer_constant", "return 0x10", []),
        ("boolean_constant", "return g(x=True)", ["return g(x=False)"]),
        ("comparison_boundary", "return a < b <= c", ["return a <= b <= c", "return a < b < c"]),
        ("comparison_boundary", "return a << b < c", ["return a << b <= c"]),
        ("comparison_negated", "return a is  not b", ["return a is b"]),
        ("comparison_negated", "return (a) in (b)", ["return (a) not in (b)"]),
        ("comparison_negated", "return inner in b", ["return inner not in b"]),
        ("inverted_condition", "return a if b or c else 0", ["return a if not (b or c) else 0"]),
        ("inverted_condition", "return [x for x in a if x]", ["return [x for x in a if not x]"]),
        ("dropped_not", "return not  (a)", ["return (a)"]),
        ("boolean_operator", "return a and b and c", ["return a or b and c", "return a and b or c"]),
        ("arithmetic_operator", "return a - (b) * c", ["return a + (b) * c", "return a - (b) // c"]),
        ("arithmetic_operator", "return '%d' % a + 'x'", []),
        ("augmented_assignment", "a += b", ["a -= b", "a = b"]),
        ("augmented_assignment", "a += 'x'", ["a = 'x'"]),
        ("swapped_arguments", "return g(a, b, *c)", ["return g(b, a, *c)"]),
        ("swapped_arguments", "return g(a, a)", []),
        ("dropped_keyword", "return g(a, key=b, **c)", ["return g(a, **c)"]),
        ("slice_bound", "return a[b:1]", ["return a[:1]", "return a[b + 1:1]", "return a[b:]"]),
        ("removed_branch", "if a: raise b", ["if a: pass"]),
        ("removed_branch", "if a: b()", []),
        ("dropped_else", "if a: b()\n    else: c()", ["if a: b()\n    else: pass"]),
        ("dropped_else", "if a: b()\n    elif b: c()", []),
        ("removed_call", "a.sort()", ["pass"]),
        ("method_name", "return a.b.strip()", ["return a.b.lstrip()", "return a.b.rstrip()"]),
        ("function_name", "return min(a)", ["return max(a)"]),
        ("wrong_variable", "return a", ["return b"]),
        ("wrong_variable", "return g", []),
        ("text_constant", "return a + 'x'", ['return a + ""']),
        ("text_constant", "'help'\n    return f'{a}'", []),
        ("dropped_sign", "return a[-1] - b", ["return a[1] - b"]),
        ("dropped_condition", "return a and b and c", ["return b and c", "return a and c", "return a and b"]),
        ("swapped_values", "return a if b else c", ["return c if b else a"]),
        ("narrowed_type", "return isinstance(a, (b, c))", ["return isinstance(a, b)", "return isinstance(a, c)"]),
        ("rounded_division", "return a / b // c", ["return a // b // c"]),
        ("dropped_fallback", "return a.get(b, c)", ["return a.get(b)"]),
        ("dropped_fallback", "return a.get(b), getattr(a, b)", []),
        ("dropped_conversion", "return list(a)", ["return a"]),
        ("dropped_conversion", "return abs(a - b) * c.copy()", ["return (a - b) * c.copy()", "return abs(a - b) * c"]),
        ("index_end", "return a[0] + b[-1]", ["return a[-1] + b[-1]", "return a[0] + b[0]"]),
        ("range_bound", "return range(a)", ["return range(1, a)", "return range(a - 1)"]),
        ("range_bound", "return range(a, b)", ["return range(a + 1, b)", "return range(a, b - 1)"]),
        ("dropped_branch", "if a: b()", ["if a: pass"]),
        ("dropped_branch", "if a: return b", []),
        ("loop_exit", "for a in b: continue", ["for a in b: break"]),
        ("missing_return", "return a + b", ["a + b"]),
        ("missing_return", "return None", []),
        (
            "wrong_attribute",
            "return self.x - self.y(self.z)",
            ["return self.z - self.y(self.z)", "return self.x - self.y(self.x)"],
        ),
        ("swapped_targets", "a, b = c", ["b, a = c"]),
        ("swapped_targets", "for a, b in c: pass", ["for b, a in c: pass"]),
        ("wrong_exception", "raise ValueError(a)", ["raise TypeError(a)"]),
        ("wrong_exception", "try: a()\n    except KeyError: b()", ["try: a()\n    except IndexError: b()"]),
        (
            "narrowed_except",
            "try: a()\n    except (X, Y): b()",
            [
                "try: a()\n    except X: b()",
                "try: a()\n    except Y: b()",
            ],
        ),
        ("swallowed_error", "try: a()\n    except X: raise", ["try: a()\n    except X: pass"]),
        ("wrong_default", "def g(x=1, y='z'): pass", ["def g(x='z', y='z'): pass", "def g(x=1, y=1): pass"]),
        ("wrong_default", "def g(x, *, y='z'): pass", ['def g(x, *, y=""): pass']),
        (
            "mutable_default",
            "def g(x=None, y=None):\n        if x is None:\n            x = []",
            [
                "def g(x=[], y=None):\n        if x is None:\n            x = []",
            ],
        ),
    ],
)
def test_operator_makes_these_edits(operator, statement, results):
    assert body(statement, operator) == results


def test_every_operator_is_tried_above():
    cases = test_operator_makes_these_edits.pytestmark[0].args[1]
    assert {case[0] for case in cases} == set(OPERATORS)


@pytest.mark.parametrize("module", ["textwrap", "shlex", "string", "bisect"])
def test_on_code_of_others_an_edit_is_one_change_in_one_function_and_can_be_undone(module):
    data = importlib.util.find_spec(module).loader.get_data(importlib.util.find_spec(module).origin)
    whole = functions(data)
    found = mutations(data)
    assert len({mutation.operator for mutation in found}) >= 8
    effective = 0
    sample = found[:: max(1, len(found) // 25)]
    for mutation in sample:
        changed = splice(data, mutation)
        start, end = mutation.edit.start, mutation.edit.start + len(mutation.edit.text)
        assert changed[:start] + data[start : mutation.edit.end] + changed[end:] == data
        if takes_effect(data, mutation):
            effective += 1
            other = functions(changed)
            assert whole.keys() == other.keys()
            differing = {name for name in whole if whole[name] != other[name]}
            assert differing == {mutation.function}
    assert effective > 0.9 * len(sample)


def functions(data: bytes) -> dict[str, str]:
    """Every function's own tree, without those of the functions and classes in it."""
    found: dict[str, str] = {}

    def visit(node: ast.AST, names: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                visit(child, (*names, child.name))
                if isinstance(child, ast.FunctionDef):
                    number = sum(name.partition("#")[0] == ".".join((*names, child.name)) for name in found)
                    found[".".join((*names, child.name)) + ("#" + str(number) if number else "")] = ast.dump(child)
                child.body, child.args = [], ast.arguments([], [], None, [], [], None, [])  # the outer one's is without
            else:
                visit(child, names)

    visit(ast.parse(data), ())
    return found


def test_an_edit_leaves_every_other_byte_as_it_was():
    data = SAMPLE.encode()
    for mutation in mutations(data):
        changed = splice(data, mutation)
        edit = mutation.edit
        assert changed[: edit.start] == data[: edit.start]
        assert changed[edit.start + len(edit.text) :] == data[edit.end :]


def test_every_edit_of_the_sample_takes_effect_as_one_change_of_the_tree():
    data = SAMPLE.encode()
    assert len(mutations(data)) > 40
    assert all(takes_effect(data, mutation) for mutation in mutations(data))


def test_text_comments_annotations_and_decorators_are_left_alone():
    data = SAMPLE.encode()
    lines = {mutation.line: data.splitlines()[mutation.line - 1] for mutation in mutations(data)}
    touched = b"\n".join(lines.values())
    for untouched in (b"Module text", b"LIMIT", b"a comment", b"Cut `text`", b"decorated", b"size = 5"):
        assert untouched not in touched
    signature = next(m for m in mutations(data) if m.function == "Box.put" and m.operator == "integer_constant")
    assert data.splitlines()[signature.line - 1][signature.column :].startswith(b"1) -> bool")


def test_functions_are_named_with_their_class():
    assert {m.function for m in mutations(SAMPLE.encode())} == {"cut", "Box.put"}


def test_order_is_by_place_and_always_the_same():
    data = SAMPLE.encode()
    places = [(m.line, m.column) for m in mutations(data)]
    assert places == sorted(places)
    assert mutations(data) == mutations(data)


def test_every_mutation_is_found_again_by_its_facts():
    data = SAMPLE.encode()
    for m in mutations(data):
        again = find(data, m.operator, m.function, m.line, m.column, m.variant, "sample.py")
        assert again.edit == m.edit


def test_facts_name_one_edit_only():
    facts = [(m.operator, m.function, m.line, m.column, m.variant) for m in mutations(SAMPLE.encode())]
    assert len(facts) == len(set(facts))


def test_columns_count_bytes_and_line_ends_may_be_windows():
    data = 'def f(a):\r\n    g("é"); return a < 1\r\n'.encode()
    (mutation,) = [m for m in mutations(data) if m.operator == "comparison_boundary"]
    assert splice(data, mutation) == data.replace(b"<", b"<=")
    assert mutation.column == data.splitlines()[1].index(b"<")


def test_a_byte_order_mark_moves_nothing():
    data = b"\xef\xbb\xbfdef f(a): return a < 1\n"
    (mutation,) = [m for m in mutations(data) if m.operator == "comparison_boundary"]
    assert splice(data, mutation) == data.replace(b"<", b"<=")


def test_facts_that_do_not_fit_the_file_are_refused_by_name():
    with pytest.raises(TaskError, match=r"sample\.py.*integer_constant.*line 3"):
        find(SAMPLE.encode(), "integer_constant", "cut", 3, 0, 0, "sample.py")


def test_unknown_operator_suggests_a_near_one():
    with pytest.raises(UnknownName, match="integer_constant"):
        find(SAMPLE.encode(), "integer_constnat", "cut", 3, 0, 0, "sample.py")


def test_layout_alone_is_no_effect():
    data = b"def f(a):\n    return a\n"
    mutation = Mutation("none", "f", 2, 4, 0)
    assert not takes_effect(data, mutation)


def test_results_are_python():
    for mutation in mutations(SAMPLE.encode()):
        ast.parse(splice(SAMPLE.encode(), mutation))
