import time

import pytest

from swegym.tools import ToolError
from swegym.tools.edit import edit
from swegym.tools.files import read, write


def test_read_numbers_lines_and_says_how_to_go_on(context):
    context.sandbox.write("/testbed/a.txt", b"".join(b"line %d\n" % i for i in range(1, 11)))
    assert read(context, "a.txt", 2, 2) == "     2\tline 2\n     3\tline 3\n[lines 2 to 3 of 10; go on with start=4]"
    assert read(context, "/testbed/a.txt", 10) == "    10\tline 10"


def test_read_counts_lines_as_git_and_python_do(context):
    context.sandbox.write("/testbed/a.txt", "a\u2028b\x0cc\r\nd".encode())
    assert read(context, "a.txt") == "     1\ta\u2028b\x0cc\n     2\td"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("missing.txt", "does not exist"),
        ("folder", "is a directory. It holds: inner.txt, sub/"),
        ("folder/inner.txt/x", "does not exist|not a directory|cannot be read"),
        ("binary", "binary file of 3 bytes"),
        ("pipe", "cannot be read"),
        ("/dev/zero", "cannot be read"),
        ("/etc/shadow", "does not exist|cannot be read"),
        ("", "empty"),
        ("a\0b", "NUL"),
        ("x" * 5000, "cannot be read|does not exist"),
    ],
)
def test_what_cannot_be_read_is_explained(context, path, said):
    context.sandbox.exec("mkdir -p folder/sub; touch folder/inner.txt; printf 'a\\0b' > binary; mkfifo pipe")
    with pytest.raises(ToolError, match=said):
        read(context, path)


def test_read_of_an_empty_file_and_past_the_end(context):
    context.sandbox.write("/testbed/empty", b"")
    assert "empty" in read(context, "empty")
    context.sandbox.write("/testbed/a", b"one\n")
    with pytest.raises(ToolError, match="has 1 lines"):
        read(context, "a", 2)
    with pytest.raises(ToolError, match="count from 1"):
        read(context, "a", 0)


def test_read_shows_what_is_not_utf_8_and_says_so(context):
    context.sandbox.write("/testbed/latin", b"caf\xe9\n")
    assert read(context, "latin").startswith("     1\tcaf\ufffd\n[this file is not UTF-8")


def test_read_cuts_very_long_lines(context):
    context.sandbox.write("/testbed/long", b"x" * 100_000)
    assert len(read(context, "long")) < 2_100


def test_write_creates_folders_and_replaces(context):
    assert write(context, "new/deep/a.py", "x = 1\n") == "Wrote new/deep/a.py: 1 line."
    assert write(context, "new/deep/a.py", "ñ\n\n") == "Wrote new/deep/a.py: 2 lines."
    assert context.sandbox.read("/testbed/new/deep/a.py") == "ñ\n\n".encode()


def test_write_and_edit_keep_a_script_executable(context):
    context.sandbox.exec("echo old > run.sh; chmod 755 run.sh; echo old > plain.sh")
    write(context, "run.sh", "echo new\n")
    edit(context, "run.sh", "new", "newer")
    edit(context, "plain.sh", "old", "new")
    assert context.sandbox.exec("stat -c %a run.sh plain.sh").text == "755\n644\n"


@pytest.mark.parametrize("path", ["folder", "pipe", "file/x", "/usr/x", "/proc/x"])
def test_what_cannot_be_written_is_explained(context, path):
    context.sandbox.exec("mkdir folder; mkfifo pipe; touch file")
    with pytest.raises(ToolError):
        write(context, path, "x")


def test_edit_changes_the_one_place(context):
    context.sandbox.write("/testbed/a.py", b"a = 1\nb = 2\nc = 3\n")
    assert edit(context, "a.py", "b = 2\n", "b = 4\nd = 5\n") == "Edited a.py, lines 2 to 3."
    assert context.sandbox.read("/testbed/a.py") == b"a = 1\nb = 4\nd = 5\nc = 3\n"
    assert edit(context, "a.py", "d = 5\n", "") == "Edited a.py, line 3."


def test_edit_refuses_an_ambiguous_place_and_says_where(context):
    context.sandbox.write("/testbed/a.py", b"x\ny\nx\n")
    with pytest.raises(ToolError, match="2 times, at lines 1, 3"):
        edit(context, "a.py", "x", "z")
    assert context.sandbox.read("/testbed/a.py") == b"x\ny\nx\n"


def test_edit_counts_overlapping_places(context):
    context.sandbox.write("/testbed/a.py", b"aaa")
    with pytest.raises(ToolError, match="2 times"):
        edit(context, "a.py", "aa", "b")


def test_edit_points_at_the_same_lines_with_other_white_space(context):
    context.sandbox.write("/testbed/a.py", b"def f():\n        return 1\n")
    with pytest.raises(ToolError, match=r"Lines 1 to 2 differ only in white space:\n +1\tdef f\(\):"):
        edit(context, "a.py", "def f():\n    return 1\n", "x")


def test_edit_looks_for_many_lines_in_many_in_a_moment(context):
    """It runs in the process of the run, where no limit of the machine ends it."""
    context.sandbox.write("/testbed/a.py", b"a\n" * 2_000_000)
    began = time.process_time()
    with pytest.raises(ToolError, match="not found"):
        edit(context, "a.py", "a\n" * 20_000 + "b", "x")
    assert time.process_time() - began < 10.0
    context.sandbox.write("/testbed/a.py", b"b\n  a\n a\n")
    with pytest.raises(ToolError, match="Lines 2 to 3 differ"):
        edit(context, "a.py", "a\na\n", "x")


def test_edit_points_at_the_most_similar_line(context):
    context.sandbox.write("/testbed/a.py", b"alpha = 1\nresult = compute(left, right)\n")
    with pytest.raises(ToolError, match="most similar place is line 2"):
        edit(context, "a.py", "result = compute(left, rigth)", "x")
    with pytest.raises(ToolError, match="No line is like it"):
        edit(context, "a.py", "%%%%", "x")


@pytest.mark.parametrize(("old", "new", "said"), [("", "x", "empty"), ("a", "a", "the same")])
def test_edit_refuses_what_changes_nothing(context, old, new, said):
    context.sandbox.write("/testbed/a.py", b"a")
    with pytest.raises(ToolError, match=said):
        edit(context, "a.py", old, new)


def test_edit_keeps_carriage_returns_and_bytes_that_are_no_text(context):
    context.sandbox.write("/testbed/a.txt", b"one\r\ntwo\r\ncaf\xe9\r\n")
    edit(context, "a.txt", "one\ntwo", "1\n2")
    assert context.sandbox.read("/testbed/a.txt") == b"1\r\n2\r\ncaf\xe9\r\n"


def test_edit_of_a_missing_file_is_explained(context):
    with pytest.raises(ToolError, match="does not exist"):
        edit(context, "missing.py", "a", "b")
