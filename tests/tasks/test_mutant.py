"""A mutant's material: the release with one edit and half of its tests gone, and the release as it is."""

import hashlib

import pytest

from swegym.errors import DownloadError, TaskError
from swegym.tasks import mutation
from swegym.tasks.recipe import MutantRecipe, Release
from swegym.tasks.sources import gather, mutant
from tests.tasks.calc_releases import keep_release

CODE = b"""def clamp(value, low, high):
    # keep this comment
    if value < low:
        return low
    return min(value, high)
"""
TESTS = b"""from calc import clamp


def test_low():
    assert clamp(0, 1, 3) == 1


def test_lower():
    assert clamp(-5, 1, 3) == 1


class TestHigh:
    def test_high(self):
        assert clamp(9, 1, 3) == 3

    def test_inside(self):
        assert clamp(2, 1, 3) == 2
"""
FILES = {"calc.py": CODE, "tests/test_calc.py": TESTS, "tests/helper.py": b"def test_unused(): pass\n"}
NAMES = ("test_low", "test_lower", "TestHigh::test_high", "TestHigh::test_inside")


def recipe(**changes) -> MutantRecipe:
    (edit,) = [found for found in mutation.mutations(CODE) if found.operator == "removed_branch"]
    fields = {
        "source": "mutant",
        "package": "calc",
        "release": Release(version="1.0", sha256=keep_release("1.0", FILES)),
        "path": "calc.py",
        "operator": edit.operator,
        "function": edit.function,
        "line": edit.line,
        "column": edit.column,
        "variant": edit.variant,
        "mutated_sha256": hashlib.sha256(mutation.splice(CODE, edit)).hexdigest(),
        "issue": "clamp(0, 1, 3) gives 0, which is below the lower bound.",
        "source_paths": ("calc.py",),
        "test_paths": ("tests",),
        "fail_to_pass": {"tests/test_calc.py": ("test_low", "test_lower")},
        "pass_to_pass": {"tests/test_calc.py": ("TestHigh::test_high", "TestHigh::test_inside")},
    }
    return MutantRecipe(**{**fields, **changes})


def test_the_fixed_tree_is_the_release(tmp_path):
    fixed = gather(recipe(), tmp_path).fixed
    assert {name: (fixed / name).read_bytes() for name in FILES} == FILES


def test_the_buggy_tree_has_the_edit_and_nothing_else_in_its_source(tmp_path):
    buggy = gather(recipe(), tmp_path).buggy
    assert (buggy / "calc.py").read_bytes() == CODE.replace(b"        return low\n", b"        pass\n")


@pytest.mark.parametrize("seed", range(8))
def test_one_failing_and_half_of_the_passing_tests_are_hidden(tmp_path, seed):
    found = gather(recipe(split_seed=seed), tmp_path)
    visible = (found.buggy / "tests/test_calc.py").read_text()
    kept = [name for name in NAMES if f"def {name.rpartition('::')[2]}(" in visible]
    assert len([name for name in kept if name.startswith("test_low")]) == 1
    assert len([name for name in kept if "High" in name]) == 1


def test_files_that_hold_no_expected_test_are_left_alone(tmp_path):
    assert (gather(recipe(), tmp_path).buggy / "tests/helper.py").read_bytes() == FILES["tests/helper.py"]


def test_an_edit_with_another_result_is_drift(tmp_path):
    with pytest.raises(TaskError, match=r"calc\.py of calc 1\.0.*mine the task again"):
        gather(recipe(mutated_sha256="0" * 64), tmp_path)


def test_a_place_without_such_an_edit_is_an_error_that_names_it(tmp_path):
    with pytest.raises(TaskError, match=r"removed_branch makes no edit.*line 1"):
        gather(recipe(line=1), tmp_path)


def test_a_file_that_the_release_lacks_is_named(tmp_path):
    with pytest.raises(TaskError, match=r"other\.py.*has no such file"):
        gather(recipe(path="other.py"), tmp_path)


def test_a_broken_archive_is_an_error(tmp_path):
    sha256 = keep_release("1.0", {"calc.py": b"x"})
    with pytest.raises((DownloadError, TaskError)):
        gather(recipe(release=Release(version="1.0", sha256=sha256)), tmp_path)


def test_hidden_functions_are_those_that_are_cut(tmp_path):
    task = recipe()
    found = gather(task, tmp_path)
    hidden = mutant.hidden_functions(task, found.fixed)
    visible = (found.buggy / "tests/test_calc.py").read_text()
    assert len(hidden) == 2
    for function in hidden:
        assert f"def {function.rpartition('::')[2]}(" not in visible
