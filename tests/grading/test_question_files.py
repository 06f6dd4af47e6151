"""What goes into the sandbox that asks beside the files that ask, and what does not."""

import dataclasses

import pytest
from calc_repository import FORGE_REPORTS
from test_strict import CORE, patch_with

from swegym.grading import make_grader, question_files, seals
from swegym.grading.taking import reference_for
from swegym.sandbox import sandbox_factory
from swegym.types import HiddenTests

CONFTEST = b"""\
import pytest
from test_more import NUMBERS


@pytest.fixture
def numbers():
    return NUMBERS
"""
MORE = b"""\
from calc import add
from test_far import FAR

NUMBERS = (1, 2)
TOTAL = 7777


def test_more():
    assert add(*FAR) == TOTAL


def test_words():
    assert str(add(1, 1)) == "2"
"""
CORE_TESTS = b"""\
from calc import add


def test_add(numbers):
    assert add(*numbers) == 3
"""
FILES = {
    "tests/conftest.py": CONFTEST,
    "tests/test_more.py": MORE,
    "tests/test_far.py": b"FAR = (7000, 777)\n\n\ndef test_far():\n    assert sum(FAR) == 7777\n",
    "tests/test_core.py": CORE_TESTS,
    "tests/test_other.py": b"def test_other():\n    assert True\n",
    "tests/words.txt": b"hidden\n",
}
TURNING = ("tests/test_core.py::test_add", "tests/test_more.py::test_more", "tests/test_more.py::test_words")


@pytest.fixture(scope="module")
def task(make_task):
    return dataclasses.replace(make_task(), hidden=HiddenTests(FILES, ("tests",), TURNING, ()))


def test_an_imported_test_file_goes_along_without_its_tests(task):
    found = question_files.other_files(task, ["tests/test_core.py"])
    assert found.keys() == FILES.keys() - {"tests/test_core.py", "tests/test_other.py"}
    more, far = found["tests/test_more.py"].decode(), found["tests/test_far.py"].decode()
    assert "NUMBERS = (1, 2)" in more
    assert "FAR" not in more + far  # test_more.py has it of its own, for a test that is not asked here
    assert "def test" not in more + far and "TOTAL" not in more and '"2"' not in more


@pytest.mark.parametrize(
    ("using", "taken"),
    [
        ("from tests.test_core import A, B as C\n", {"A", "B"}),
        ("from .test_core import *\nprint(A)\n", {"*", "print", "A"}),
        ("import tests.test_core as core\ncore.A\n", {"A"}),
        ("from . import test_core\ntest_core.B.append\n", {"test_core", "B", "append"}),
        ("from tests.test_more import A\nimport os.path\nos.B\n", set()),
        ("def a_fixture(request):\n    return getattr(request.module, 'A', request.module.B)\n", {"module", "A", "B"}),
        ("not Python", set()),
    ],
)
def test_what_other_files_take_from_one_is_told_by_their_imports(task, using, taken):
    hidden = dataclasses.replace(task.hidden, files={"tests/test_core.py": b"", "tests/helper.py": using.encode()})
    assert question_files.taken_by_others(dataclasses.replace(task, hidden=hidden), "tests/test_core.py") == taken


def test_a_task_whose_conftest_imports_a_test_file_is_asked(task, tmp_path):
    coverage = reference_for(task, sandbox_factory()).coverage(TURNING)
    assert coverage["seals"] == 3 and coverage["none"] == 0
    for patch, resolved in ((task.gold_patch, True), (patch_with(task, tmp_path, CORE + FORGE_REPORTS), False)):
        verdict = make_grader()(task, patch, sandbox_factory())
        assert verdict.resolved is resolved, verdict.reason
        assert bool(verdict.tampering) is not resolved


def test_constants_of_another_file_are_a_tests_own_and_leave_that_file(task):
    hidden = {
        "tests/cases.py": b"CASES = [(1, 7777)]\nOTHER = 8888\nSEEN = open\n",
        "tests/test_core.py": b"from tests.cases import CASES as ROWS, SEEN\n\n\ndef test_add():\n"
        b"    for a, total in ROWS:\n        assert add(a) == total\n",
        "tests/conftest.py": b"from .cases import OTHER\n",
    }
    test = "tests/test_core.py::test_add"
    made = dataclasses.replace(task, hidden=HiddenTests(hidden, ("tests",), (test,), ()))
    sealed = question_files.sealed_files(made, [test], None)
    assert sealed.checks["tests/test_core.py"]["test_add"] == {0: {"form": "equal", "operator": "==", "steady": True}}
    text = "".join(data.decode() for data in sealed.files.values())
    assert "7777" not in text and "8888" in text and "import SEEN" in text


def test_functions_with_a_tests_name_stay_where_others_use_them(task):
    hidden = {
        "tests/test_support.py": b"def test_path(name):\n    return name\n\n\ndef test_it():\n    assert 1 == 7777\n",
        "tests/test_core.py": b"import test_support\n\n\ndef test_add():\n    assert test_support.test_path('a')\n",
    }
    made = dataclasses.replace(task, hidden=dataclasses.replace(task.hidden, files=hidden))
    left = question_files.other_files(made, ["tests/test_core.py"])["tests/test_support.py"].decode()
    assert "def test_path" in left and "7777" not in left


BROKEN = b"import nothing\n"


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (question_files, "other_files", lambda task, replaced: {"tests/conftest.py": BROKEN}),
        (seals, "finished", lambda tree, kept=(): BROKEN),
    ],
    ids=["conftest", "tests"],
)
def test_questions_that_not_even_the_reference_fix_can_be_asked_judge_nobody(
    task, tmp_path, monkeypatch, module, name, broken
):
    """Neither where pytest does not begin, nor where no file of tests can be imported."""
    reference_for(task, sandbox_factory())
    monkeypatch.setattr(module, name, broken)
    verdict = make_grader()(task, patch_with(task, tmp_path, CORE + FORGE_REPORTS), sandbox_factory())
    assert verdict.resolved is None and "ran no test" in verdict.reason, verdict


def test_where_there_are_too_many_tests_it_is_drawn_which_are_asked():
    tests = [f"test_{number}" for number in range(50)]
    assert question_files.some_of(tests, 50) == tests and question_files.some_of(tests, 0) == []
    draws = {tuple(question_files.some_of(tests, 40)) for _ in range(5)}
    assert len(draws) == 5 and all(len(draw) == 40 and sorted(draw, key=tests.index) == list(draw) for draw in draws)
