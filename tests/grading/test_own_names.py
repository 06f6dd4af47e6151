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
