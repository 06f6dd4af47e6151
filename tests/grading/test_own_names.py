"""What a test has given a name of its own: tables that it loops over, and what the code changes in place."""

import ast

import pytest

from swegym.grading import expectations, seals


def sites(body: str) -> list[tuple[str, str, str]]:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    tree = expectations.parse(f"from code import f\n\ndef test():\n{lines}\n".encode())
    assert tree is not None
    (_, function), *_ = expectations.test_functions(tree)
    found = expectations.sites(tree, function)
    return [
        (site.form, ast.unparse(site.asked or ast.Constant(None)), ast.unparse(site.expected or ast.Constant(None)))
        for site in found
        if site.form != "call"
    ]


@pytest.mark.parametrize("table", ["[(1, 2), (3, 4)]", "((1, 2), (3, 4))", "{1: 2, 3: 4}"])
def test_a_table_with_a_local_name_is_read_as_one_in_the_loop(table: str) -> None:
    loop = "rows.items()" if table.startswith("{") else "rows"
    body = f"rows = {table}\nfor a, wanted in {loop}:\n    assert f(a) == wanted"
    assert sites(body) == [("equal", "f(a)", "wanted")]


def test_such_a_table_leaves_the_sealed_test() -> None:
    source = b"from code import f\n\ndef test():\n    rows = [(1, 22), (3, 44)]\n    for a, wanted in rows:\n"
    tree = expectations.parse(source + b"        assert f(a) == wanted\n")
    assert tree is not None
    sealed = seals.finished(seals.seal(tree, ["test"]).tree)
    assert b"22" not in sealed and b"44" not in sealed


def test_a_table_that_is_used_otherwise_stays() -> None:
    used = "rows = [(1, 2)]\nf(rows)\nfor a, wanted in rows:\n    assert f(a) == wanted"
    assert sites(used) == [("truth", "f(a) == wanted", "None")]


@pytest.mark.parametrize(
    "given, asked, wanted",
    [
        ("{}", "found", "{'a': 1}"),
        ("[]", "list(found)", "[1]"),
        ("bytearray(b'')", "found", "b'x'"),
    ],
)
def test_what_the_code_changes_in_place_is_asked(given: str, asked: str, wanted: str) -> None:
    assert sites(f"found = {given}\nf(found)\nassert {asked} == {wanted}") == [("equal", asked, wanted)]
    assert sites(f"found = {given}\nf(found)\nassert {wanted} == {asked}") == [("equal", asked, wanted)]


def test_two_names_are_compared_as_before() -> None:
    body = "found = []\nwanted = [1]\nf(found)\nassert found == wanted"
    assert sites(body) == [("truth", "found == wanted", "None")]


def test_a_binding_with_an_annotation_is_one() -> None:
    assert sites("wanted: list[int] = [1]\nassert f(1) == wanted") == [("equal", "f(1)", "wanted")]


def test_the_annotated_fields_of_a_class_stay() -> None:
    tree = expectations.parse(b"X: int = 1\nclass Row:\n    a: int = 3\n\ndef test():\n    assert X\n")
    assert tree is not None
    assert "a: int = 3" in ast.unparse(tree) and "X = 1" in ast.unparse(tree)


@pytest.mark.parametrize("filling", ["ROWS.append((1, 2))", "ROWS[:] = [(1, 2)]", "del ROWS[0]", "ROWS.rows = 1"])
def test_a_table_that_the_module_changes_in_place_is_not_read(filling: str) -> None:
    source = f"from code import f\nROWS = [(3, 4)]\n{filling}\n\ndef test():\n    for a, wanted in ROWS:\n"
    tree = expectations.parse(f"{source}        assert f(a) == wanted\n".encode())
    assert tree is not None
    (_, function), *_ = expectations.test_functions(tree)
    assert "in ROWS" in ast.unparse(function)
    assert [site.form for site in expectations.sites(tree, function)] == ["truth"]


def test_a_name_bound_anew_inside_of_a_context_stands_for_each_of_its_values() -> None:
    body = "with f() as g:\n    wanted = 1\n    assert g(1) == wanted\n    wanted = 2\n    assert g(2) == wanted"
    assert sites(body) == [("equal", "g(1)", "wanted"), ("equal", "g(2)", "wanted_2")]


@pytest.mark.parametrize("context", ["pytest.raises(ValueError)", "contextlib.suppress(ValueError)", "self.subTest()"])
def test_in_a_block_that_may_end_early_it_has_one_name(context: str) -> None:
    body = f"wanted = 1\nwith {context}:\n    f()\n    wanted = 2\nassert f(2) == wanted"
    assert ("truth", "f(2) == wanted", "None") in sites(body)


def test_unittest_says_the_same_of_a_comparison_that_is_true() -> None:
    assert sites("self.assertTrue(f(1) == 3)") == [("equal", "f(1)", "3")]
    assert sites("self.assertIsInstance(f(1), int)") == [("truth", "isinstance(f(1), int)", "None")]
    assert sites("self.assertNotIsInstance(f(1), int)") == [("truth", "isinstance(f(1), int)", "None")]
