"""Files that hidden tests read themselves, wherever they lie, are what they were."""

import dataclasses

import pytest
from calc_repository import BASE, patch_of

from swegym.grading import apply_patch, make_grader
from swegym.grading.taking import reference_for
from swegym.sandbox import sandbox_factory
from swegym.types import HiddenTests

TESTS = b"""\
import os.path

import calc


def test_sums():
    path = os.path.join(os.path.dirname(__file__), "..", "examples", "sums.txt")
    with open(path) as file:
        for line in file:
            a, b, total = map(int, line.split())
            assert calc.add(a, b) == total


def test_name():
    assert open(calc.NAMES).read() == calc.name() + "\\n"
"""
CORE = b"""\
import pathlib

NAMES = pathlib.Path(__file__).parents[1] / "names.txt"


def add(a, b):
    return a - b


def name():
    return NAMES.read_text().strip()
"""
FILES = BASE | {
    "calc/__init__.py": b"from calc.core import NAMES, add, name\n",
    "calc/core.py": CORE,
    "examples/sums.txt": b"1 2 3\n4 0 4\n",
    "names.txt": b"calc\n",
}
GOLD = """\
--- a/calc/core.py
+++ b/calc/core.py
@@ -6,4 +6,4 @@
 def add(a, b):
-    return a - b
+    return a + b
 
 
"""


@pytest.fixture(scope="module")
def task(make_task):
    hidden = HiddenTests(
        {"tests/test_core.py": TESTS, "tests/__init__.py": b""},
        ("tests",),
        ("tests/test_core.py::test_sums",),
        ("tests/test_core.py::test_name",),
    )
    return dataclasses.replace(make_task(FILES), hidden=hidden, gold_patch=GOLD)


def test_only_what_no_code_reads_belongs_to_the_tests(task):
    assert reference_for(task, sandbox_factory()).goldens == ("examples/sums.txt",)


LINKED = {
    "file": (
        {"sums/v1.txt": b"1 2 3\n", "examples/other.txt": b""},
        "examples/sums.txt",
        "../sums/v1.txt",
        "../wrong.txt",
    ),
    "folder": ({"sums/v1/sums.txt": b"1 2 3\n"}, "examples", "sums/v1", "wrong"),
}


@pytest.mark.parametrize("way", LINKED)
def test_a_link_that_leads_tests_to_a_golden_file_is_restored_too(task, make_task, tmp_path, way):
    files, link, target, other = LINKED[way]
    kept = {path: data for path, data in FILES.items() if not path.startswith("examples/")}
    made = dataclasses.replace(make_task(kept | files, links={link: target}), hidden=task.hidden, gold_patch=GOLD)
    assert reference_for(made, sandbox_factory()).goldens == tuple(sorted((link, *files)))
    wrong = "wrong.txt" if way == "file" else "wrong/sums.txt"
    patch = patch_of(made, tmp_path, {wrong: b"1 2 -1\n"}, delete=[link], links={link: other})
    verdict = make_grader()(made, patch, sandbox_factory())
    assert verdict.resolved is False and any(note.startswith(link) for note in verdict.notes), verdict


def test_what_would_take_the_place_of_a_golden_file_is_set_aside(task):
    assert apply_patch(task, GOLD).without(["calc"], "of a rule").changes == {}


@pytest.mark.parametrize("way", ["changed", "folder"])
def test_a_golden_file_is_restored_and_the_verdict_says_so(task, tmp_path, way):
    if way == "changed":
        patch = patch_of(task, tmp_path, {"examples/sums.txt": b"1 2 -1\n", "README.md": b"x\n"})
    else:
        files = {"wrong/sums.txt": b"1 2 -1\n"}
        patch = patch_of(task, tmp_path, files, delete=["examples/sums.txt"], links={"examples": "wrong"})
    verdict = make_grader()(task, patch, sandbox_factory())
    assert verdict.resolved is False and "test_sums failed" in verdict.reason, verdict
    assert any("examples" in note and "read it themselves" in note for note in verdict.notes), verdict.notes


def test_nothing_else_in_a_patch_is_no_fix(task, tmp_path):
    reference_for(task, sandbox_factory())
    verdict = make_grader()(task, patch_of(task, tmp_path, {"examples/sums.txt": b"1 2 -1\n"}), sandbox_factory())
    assert verdict.resolved is False and verdict.reason == "nothing in the patch counts"


def test_a_fix_that_adds_examples_and_renames_what_the_code_reads_is_paid(task, tmp_path):
    files = {
        "calc/core.py": CORE.replace(b"a - b", b"a + b").replace(b'"names.txt"', b'"calc" / "name.txt"'),
        "calc/name.txt": b"calc\n",
        "examples/sums.txt": b"1 2 3\n4 0 4\n5 5 10\n",
    }
    verdict = make_grader()(task, patch_of(task, tmp_path, files), sandbox_factory())
    assert verdict.resolved is True, verdict.reason
    assert any(note.startswith("examples/sums.txt") for note in verdict.notes)


def test_a_patch_without_some_paths_keeps_its_notes(task):
    applied = apply_patch(task, GOLD)
    left = applied.without(["calc/core.py"], "of a rule")
    assert not left.changes and left.notes == ("calc/core.py: of a rule; set aside",)
    assert applied.without(["other.txt"], "of a rule") == applied


GIVEN_TESTS = b"""\
import pathlib
import subprocess
import sys

import calc

ROOT = pathlib.Path(__file__).parents[1]


def test_sums():
    assert calc.add(*calc.read(ROOT / "examples" / "sums.txt")) == 3


def test_name():
    count = "print(len(open('examples/lines.txt').readlines()))"
    done = subprocess.run([sys.executable, "-c", count], cwd=ROOT, stdout=subprocess.PIPE)
    assert done.stdout == b"2\\n"
    assert calc.tidy((ROOT / "samples" / "untidy.py").read_text()) == (ROOT / "samples" / "tidied.py").read_text()
    assert calc.name() == "calc" and (ROOT / "rules.txt").read_text()
    from tools.run import ready

    assert ready and calc.table() == "1"
"""
GIVEN_CORE = (
    CORE.replace(b"    return a - b", b"    return a - b\n\n\ndef tidy(text):\n    return text")
    + b"""

def read(path):
    return map(int, path.read_text().split())


def table():
    return (NAMES.parent / "table.txt").read_text().strip()
"""
)


def test_what_tests_name_or_read_as_data_belongs_to_them(task, make_task):
    """Inputs by their path, for this process and for another; modules that are examples; whatever its mode is."""
    given = {
        "calc/__init__.py": b"from calc.core import NAMES, add, name, read, table, tidy\n",
        "calc/core.py": GIVEN_CORE,
        "examples/sums.txt": b"1 2\n",
        "examples/lines.txt": b"1\n2\n",
        "examples/in-a-named-folder.txt": b"1\n",
        "notes/other.txt": b"1\n",
        "samples/untidy.py": b"x = 1\n",
        "samples/tidied.py": b"x = 1\n",
        "rules.txt": b"1\n",
        "table.txt": b"1\n",
        "tools/run.py": b"ready = True\n",
    }
    hidden = dataclasses.replace(task.hidden, files={"tests/test_core.py": GIVEN_TESTS, "tests/__init__.py": b""})
    gold = GOLD.replace("-6,4 +6,4", "-6,7 +6,7") + " def tidy(text):\n     return text\n \n"
    made = dataclasses.replace(make_task(FILES | given), hidden=hidden, gold_patch=gold)
    assert reference_for(made, sandbox_factory()).goldens == (
        "examples/in-a-named-folder.txt",
        "examples/lines.txt",
        "examples/sums.txt",
        "rules.txt",
        "samples/tidied.py",
        "samples/untidy.py",
    )
