import pytest

from swegym.tools import ToolError
from swegym.tools.search import search


@pytest.fixture(autouse=True)
def repository(context):
    files = {
        "b.py": b"import os\ndef find_me(x):\n    return x\n",
        "a/z.py": b"find_me(1)\nFIND_ME = 2\n",
        "a/note.txt": b"find_me:in:text\n",
        "binary.bin": b"find_me\0\n",
        ".git/config": b"find_me\n",
        "-dash.py": b"dash = 1\n",
        "odd:name 1:2.py": b"odd = 1\n",
    }
    for name, data in files.items():
        context.sandbox.write(f"/testbed/{name}", data)


def test_matches_are_path_line_text_in_the_order_of_paths(context):
    assert search(context, "find_me").splitlines() == [
        "a/note.txt:1:find_me:in:text",
        "a/z.py:1:find_me(1)",
        "b.py:2:def find_me(x):",
    ]


def test_narrowed_to_a_folder_a_file_a_glob_or_any_case(context):
    assert search(context, "find_me", path="a", glob="*.py") == "a/z.py:1:find_me(1)"
    assert search(context, "find_me", path="/testbed/b.py") == "b.py:2:def find_me(x):"
    assert search(context, "find_me", path="a", glob="*.py", ignore_case=True).count("\n") == 1


def test_patterns_are_perls(context):
    assert search(context, r"^def (?=find)\w+\(") == "b.py:2:def find_me(x):"


def test_odd_names_do_not_confuse_it(context):
    assert search(context, "dash", path="-dash.py") == "-dash.py:1:dash = 1"
    assert search(context, "^odd") == "odd:name 1:2.py:1:odd = 1"
    assert search(context, "-e dash") == "[no match]"


def test_outside_the_repository(context):
    context.sandbox.write("/tmp/x/y.txt", b"needle\n")
    assert search(context, "needle", path="/tmp/x") == "/tmp/x/y.txt:1:needle"


def test_too_many_matches_are_cut_and_said(context):
    context.sandbox.write("/testbed/many.txt", b"many\n" * 5000)
    rows = search(context, "many", limit=10).splitlines()
    assert len(rows) == 11 and "more matches" in rows[-1]


def test_long_lines_are_cut(context):
    context.sandbox.write("/testbed/long.js", b"needle" + b"x" * 100_000)
    assert len(search(context, "needle")) < 400


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pattern": "("}, "failed.*parenthes"),
        ({"pattern": ""}, "empty"),
        ({"pattern": "a\nb"}, "one line"),
        ({"pattern": "a\0b"}, "NUL"),
        ({"pattern": "a", "path": "missing"}, "missing does not exist"),
        ({"pattern": "a", "limit": 0}, "limit"),
    ],
)
def test_what_cannot_be_searched_is_explained(context, arguments, said):
    with pytest.raises(ToolError, match=said):
        search(context, **arguments)
