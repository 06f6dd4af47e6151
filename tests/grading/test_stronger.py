"""Stronger tests tell wrong fixes that the hidden tests accept from right ones, however odd these are."""

import dataclasses

import pytest
from calc_repository import git, write_tree

from swegym.errors import UnknownName
from swegym.grading import make_grader, stronger
from swegym.sandbox import sandbox_factory
from swegym.types import HiddenTests, Task

WEAK = b"""\
from calc import add, halve


def test_add():
    assert add(2, 1) == 3


def test_halve():
    assert halve(4) == 2
"""


@pytest.fixture(scope="module")
def weak(make_task) -> Task:
    """A task whose one deciding test says little."""
    made = make_task(hidden={"tests/test_core.py": WEAK})
    hidden = HiddenTests(
        {"tests/test_core.py": WEAK}, ("tests",), ("tests/test_core.py::test_add",), ("tests/test_core.py::test_halve",)
    )
    return dataclasses.replace(made, hidden=hidden)


@pytest.fixture(scope="module")
def made(weak: Task) -> stronger.Stronger:
    return stronger.strengthen(weak, sandbox_factory(), mutants=0)


def patch(task: Task, folder, core: str) -> str:
    tree = folder / "tree"
    tree.mkdir()
    git(tree, "clone", "-q", str(task.pristine), ".")
    git(tree, "checkout", "-q", task.base_commit)
    write_tree(tree, {"calc/core.py": core.encode()})
    return git(tree, "diff", "--full-index").decode()


def test_what_is_kept_tells_and_no_call_of_the_tests_is_among_it(made: stronger.Stronger) -> None:
    assert 0 < len(made.calls) <= stronger.MOST_KEPT
    assert all(call.tells for call in made.calls)
    assert "add(2, 1)" not in {call.expression for call in made.calls}
    assert made.held == made.survivors


def test_a_table_of_the_tests_inputs_is_refused_and_the_original_result_is_named(weak, made, tmp_path) -> None:
    memorised = "def add(a, b):\n    return {(2, 1): 3}.get((a, b), a - b)\n\n\ndef halve(a):\n    return a / 2\n"
    wrong = patch(weak, tmp_path, memorised)
    assert make_grader("sealed")(weak, wrong, sandbox_factory()).resolved is True
    verdict = make_grader("sealed-strong")(weak, wrong, sandbox_factory())
    assert verdict.resolved is False and verdict.cause == "agent" and not verdict.tampering
    assert verdict.integrity["original"] is True and verdict.integrity["stronger"]["failed"]
    assert "stronger" in verdict.reason


OWN = """

class Own:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return SAYS


def add(a, b):
    return {(2, 1): 3}.get((a, b), Own(a + b))


def halve(a):
    return a / 2
"""


def test_what_nobody_can_compare_is_asked_among_other_answers(weak, made, tmp_path) -> None:
    """A table of the tests' inputs that gives a chameleon for all others, and an honest class of its own."""
    failed = {}
    for says in ("True", "False", "self.value == other"):
        folder = tmp_path / says.replace(" ", "")
        folder.mkdir()
        text = patch(weak, folder, OWN.replace("SAYS", says))
        failed[says] = stronger.failing(weak, text, made, sandbox_factory())
    assert failed == {"True": list(made.calls), "False": list(made.calls), "self.value == other": []}


SPEAKS = """
import gc


def add(a, b):
    return {(2, 1): 3}.get((a, b), a - b)


def halve(a):
    return a / 2


for value in gc.get_objects():
    if type(value).__name__ == "Questions" and any("stronger" in group["name"] for group in value._calls):
        for number in ("\\u00b2", "9" * 5000, *map(str, range(30))):
            for text in ("no JSON", "[]", "7", "[" * 9000, '["opaque"]'):
                value._send("answer", value._calls[0]["name"], number, text)
"""


def test_answers_that_nobody_encodes_are_wrong_ones(weak, made, tmp_path) -> None:
    """An error while they are read would judge nobody, and so buy another try."""
    verdict = make_grader("sealed-strong")(weak, patch(weak, tmp_path, SPEAKS), sandbox_factory())
    assert verdict.resolved is False and verdict.integrity["original"] is True, verdict


def test_right_fixes_do_not_suffer(weak, made, tmp_path) -> None:
    for text in (
        weak.gold_patch,
        patch(weak, tmp_path, "def add(*n):\n    return sum(n)\n\n\nhalve = lambda a: a / 2\n"),
    ):
        verdict = make_grader("sealed-strong")(weak, text, sandbox_factory())
        assert verdict.resolved is True and verdict.integrity["stronger"]["failed"] == [], verdict


def test_a_task_without_stronger_tests_says_so(make_task) -> None:
    task = make_task()
    verdict = make_grader("sealed-strong")(task, task.gold_patch, sandbox_factory())
    assert verdict.resolved is True and "no stronger tests" in verdict.notes[-1]


def test_rows_of_a_table_are_filled_in(make_task) -> None:
    found = list(stronger.near_calls(make_task()))
    assert any(setup == "a = 2\nb = 2" and expression == "add(a, b)" for _, setup, expression in found)
    assert len(found) == len(set(found))


def test_layers_go_by_name() -> None:
    assert make_grader("sealed[seals, twins]").keywords == {"layers": ("seals", "twins")}  # type: ignore[attr-defined]
    with pytest.raises(UnknownName, match="seals"):
        make_grader("sealed[seal]")
