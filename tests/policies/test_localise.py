import math

import pytest

from swegym.policies.localise import Function, Place, issue_names, line_scores, ochiai, places, rank


@pytest.mark.parametrize(
    ("failed", "passed", "in_all", "expected"),
    [
        (2, 0, 2, 1.0),  # 2 / sqrt(2 * 2)
        (1, 3, 1, 0.5),  # 1 / sqrt(1 * 4)
        (2, 6, 4, 2 / math.sqrt(32)),  # 2 / sqrt(4 * 8)
        (0, 5, 3, 0.0),
        (0, 0, 0, 0.0),
    ],
)
def test_ochiai_by_hand(failed, passed, in_all, expected):
    assert ochiai(failed, passed, in_all) == pytest.approx(expected)


def test_runs_of_lines_are_unrolled():
    assert line_scores([(3, 4, 1, 0), (9, 9, 1, 3)], 1) == {3: 1.0, 4: 1.0, 9: 0.5}


def test_functions_rank_by_their_worst_line_and_by_being_named():
    plain, worst, named, idle = (Function("a.py", name, i * 10, i * 10 + 9) for i, name in enumerate("pwni", 1))
    scores = {"a.py": {11: 0.2, 21: 0.1, 25: 0.6, 31: 0.3}}
    ranked = rank([plain, worst, named, idle], scores, frozenset({"n"}))
    assert [suspect.function for suspect in ranked] == [named, worst, plain]
    assert ranked[1].score == 0.6 and ranked[1].lines == {21: 0.1, 25: 0.6}


def test_a_named_file_counts_a_little():
    here, there = Function("pkg/a.py", "f", 1, 5), Function("pkg/b.py", "f", 1, 5)
    scores = {"pkg/a.py": {2: 0.5}, "pkg/b.py": {2: 0.5}}
    first, second = rank([here, there], scores, frozenset({"b.py"}))
    assert first.function == there and first.score > second.score == 0.5


def test_a_line_that_was_not_executed_shares_its_functions_suspicion():
    (suspect,) = rank([Function("a.py", "f", 1, 9)], {"a.py": {2: 0.5}}, frozenset())
    assert (suspect.line_score(2), suspect.line_score(3)) == (0.5, pytest.approx(0.2))


def test_names_in_an_issue_are_what_looks_like_code():
    text = "Calling `parse` via pkg.core.read_all(x) gives a KeyError in TableRow, see src/pkg/core.py. It is wrong."
    names = issue_names(text)
    assert {"parse", "read_all", "pkg", "core", "KeyError", "TableRow", "src/pkg/core.py"} <= names
    assert not {"wrong", "gives", "It"} & names


def test_a_hint_is_read_from_its_fixed_line():
    text = "## Where to look\nLook at: src/a.py, function Class.method, lines 10-14\nLook at: b.py, lines 3-3\nelse"
    assert places(text) == [Place("src/a.py", "Class.method", 10, 14), Place("b.py", "", 3, 3)]


@pytest.mark.parametrize("text", ["Look at: the function", "Look here: a.py", "Look at:", ""])
def test_a_hint_without_a_path_is_none(text):
    assert places(text) == []


def test_a_place_holds_functions_by_lines_or_else_by_name():
    function = Function("src/a.py", "Class.method", 10, 20)
    assert Place("a.py", "other", 20, 25).holds(function)
    assert not Place("a.py", "method", 21, 25).holds(function)
    assert Place("src/a.py", "method").holds(function)
    assert not Place("src/b.py", "method").holds(function)
    assert not Place("ba.py").holds(Function("a.py", "f", 1, 2))
