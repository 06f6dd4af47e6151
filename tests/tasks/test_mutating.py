"""Mutating writes recipes that load, goes on where it was ended, and says why the rest became none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swegym.errors import InputError, TaskError
from swegym.grading.pytest_run import run_hidden
from swegym.sandbox import open_sandbox
from swegym.tasks import load_task_set, mutating, release_file
from swegym.tasks.build import assemble
from swegym.tasks.mining import Project
from swegym.tasks.mutating import Wanted, mutate
from swegym.tasks.recipe import MutantRecipe, Release, expected_ids, read_recipe
from swegym.tasks.trials import Trial, run_trials
from tests.tasks.calc_releases import keep_release

CODE = b"""def clamp(value, low, high):
    if value < low:
        return low
    return min(value, high)


def spread(values):
    return max(values) - min(values)


def count(values, above=0):
    return len([value for value in values if value > above])
"""
TESTS = b"""import calc


def test_low():
    assert calc.clamp(0, 1, 3) == 1


def test_lower():
    assert calc.clamp(-5, 1, 3) == 1


def test_high():
    assert calc.clamp(9, 1, 3) == 3


def test_spread():
    assert calc.spread([1, 5, 2]) == 4


def test_wider():
    assert calc.spread([1, 9]) == 8


def test_count():
    assert calc.count([-1, 0, 1]) == 1


def test_count_more():
    assert calc.count([2, 0, 1]) == 2
"""


@pytest.fixture(scope="module")
def project(store: Path) -> Project:
    sha256 = keep_release("2.0", {"calc.py": CODE, "tests/test_calc.py": TESTS})
    return Project("calc", Release(version="2.0", sha256=sha256), ("calc.py",), ("tests",))


@pytest.fixture(scope="module")
def folder(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of three mutants, mined in two goes."""
    place = tmp_path_factory.mktemp("sets") / "calc-mutants"
    place.mkdir()
    (place / "set.toml").write_text('name = "calc-mutants"\nversion = "1"\ndescription = "x"\n')
    mutate(project, place, Wanted(count=1), open_sandbox, run_hidden)
    mutate(project, place, Wanted(count=3), open_sandbox, run_hidden)
    return place


@pytest.mark.network
def test_recipes_are_written_and_load(folder: Path) -> None:
    found = load_task_set(folder)
    assert list(found) == ["mutant-calc-2.0-1", "mutant-calc-2.0-2", "mutant-calc-2.0-3"]
    for task in found:
        recipe = found.recipe(task)
        assert isinstance(recipe, MutantRecipe)
        assert recipe.package == "calc" and recipe.test_paths == ("tests",)
        assert len(expected_ids(recipe.fail_to_pass)) + len(expected_ids(recipe.pass_to_pass)) == 7
        assert recipe.rank is not None and recipe.difficulty == "easy"
        assert len((folder / f"{task}.toml").read_text()) < 2500


@pytest.mark.network
def test_no_two_break_the_same_tests_and_none_stands_in_one_place_thrice(folder: Path) -> None:
    recipes = [read_recipe(path) for path in sorted(folder.glob("mutant-*.toml"))]
    assert len({expected_ids(recipe.fail_to_pass) for recipe in recipes}) == len(recipes)


@pytest.mark.network
def test_going_on_tries_nothing_twice(project: Project, folder: Path) -> None:
    tried: list[mutating.Tried] = []
    (journal,) = (folder / "mining").glob("*.jsonl")
    before = [json.loads(line) for line in journal.read_text().splitlines()]
    found = mutate(project, folder, Wanted(count=3), open_sandbox, run_hidden, tried.append)
    assert tried == [] and len(found.tasks) == 3 and found.tried == len(before)
    places = [tuple(list(entry.values())[:6]) for entry in before]
    assert len(places) == len(set(places))
    assert sum(found.reasons.values()) + 3 == len(before)


@pytest.mark.network
def test_a_journal_cut_off_in_a_line_is_read_up_to_it_and_a_wrong_line_is_named(project, folder, tmp_path) -> None:
    (tmp_path / "mining").mkdir()
    journal = tmp_path / "mining" / "calc-2.0-1.jsonl"
    lines = next((folder / "mining").glob("*.jsonl")).read_text().splitlines()
    journal.write_text(lines[0] + "\n" + lines[1][:20])
    assert len(list(mutating._read(journal))) == 1
    journal.write_text(lines[0] + "\nnonsense\n" + lines[1] + "\n")
    with pytest.raises(InputError, match=r"line 2.*Remove the line"):
        list(mutating._read(journal))


@pytest.mark.network
def test_a_task_is_built_from_a_recipe_and_its_release_file(folder: Path, tmp_path: Path) -> None:
    task = assemble("m", "m", read_recipe(folder / "mutant-calc-2.0-1.toml"), tmp_path, lambda step: None)
    assert task.gold_patch.count("\n+") == 2  # the file's name, and one line
    assert len(task.hidden.expected) == 7


@pytest.mark.network
def test_a_release_file_that_was_changed_is_noticed(folder: Path, tmp_path: Path) -> None:
    text = (folder / "mutant-calc-2.0-1.toml").read_text()
    facts = (folder / "releases" / "calc-2.0.toml").read_text()
    (tmp_path / "releases").mkdir()
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(InputError, match="no such file"):
        read_recipe(tmp_path / "m.toml")
    (tmp_path / "releases" / "calc-2.0.toml").write_text(facts + "\n")
    with pytest.raises(InputError, match="facts_sha256"):
        read_recipe(tmp_path / "m.toml")
    (tmp_path / "m.toml").write_text(text.replace("releases/calc", "../releases/calc"))
    with pytest.raises(InputError, match="below the recipe's folder"):
        read_recipe(tmp_path / "m.toml")


@pytest.mark.network
def test_tests_that_pass_no_more_are_said(project: Project, folder: Path, tmp_path: Path) -> None:
    facts = (folder / "releases" / "calc-2.0.toml").read_text()
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "calc-2.0.toml").write_text(facts.replace('"test_count"', '"test_count", "test_gone"'))
    with pytest.raises(TaskError, match="test_gone passes by"):
        mutate(project, tmp_path, Wanted(count=1), open_sandbox, run_hidden)
    assert release_file.read(folder / "releases" / "calc-2.0.toml").stem == "calc-2.0"
    again = mutating.project_of(folder / "releases" / "calc-2.0.toml")
    assert (again.package, again.release, again.source_paths) == ("calc", project.release, ("calc.py",))


@pytest.mark.network
def test_trials_run_over_their_own_files_and_leave_none_behind(project: Project) -> None:
    from swegym.tasks.mining import prepare

    baseline = prepare(project, open_sandbox, run_hidden)
    broken = CODE.replace(b"value < low", b"value > low")
    endless = CODE.replace(b"    return max(values)", b"    while True: pass\n    return max(values)")
    gone = CODE.replace(b"    return max(values)", b"    import os; os._exit(0)\n    return max(values)")
    files = ["tests/test_calc.py"]
    trials = [
        Trial({"calc.py": broken}, files),
        Trial({}, files),
        Trial({"calc.py": endless}, files),
        Trial({"calc.py": gone}, files),
        Trial({"calc.py": broken}, files, ["tests/test_calc.py::test_low"]),
        Trial({"calc.py": broken}, calls=["calc.clamp(0, 1, 3)", "calc.spread([])"]),
    ]
    found = run_trials(baseline.image, project.setup(timeout=3.0), trials, open_sandbox, jobs=2)
    assert {test.partition("::")[2] for test in found[0].failed} == {"test_low", "test_lower", "test_high"}
    assert found[0].failed["tests/test_calc.py::test_low"].startswith("assert 0 == 1")
    assert found[1].ended and len(found[1].passed) == 7
    assert [outcome.ended for outcome in found] == [True, True, False, False, True, True]
    assert set(found[4].failed) == {"tests/test_calc.py::test_low"} and not found[4].passed
    assert found[5].outcomes[0]["result"] == "0"
    assert "ValueError" in found[5].outcomes[1]["result"]
