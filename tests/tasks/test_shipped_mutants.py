"""The mutants that come with swegym: enough of them, of many kinds, split by package, and small files."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

from swegym.tasks import load_task_set
from swegym.tasks.recipe import MutantRecipe, expected_ids, read_set_file

FOLDER = Path(__file__).parents[2] / "tasks" / "mutants"


@cache
def recipes() -> dict[str, MutantRecipe]:
    found = load_task_set(FOLDER)
    loaded = {task: found.recipe(task) for task in found}
    assert all(isinstance(recipe, MutantRecipe) for recipe in loaded.values())
    return loaded  # type: ignore[return-value]


def test_there_are_two_hundred_over_ten_packages_by_many_operators() -> None:
    assert len(recipes()) >= 200
    packages = Counter(recipe.package for recipe in recipes().values())
    assert len(packages) >= 10
    operators = Counter(recipe.operator for recipe in recipes().values())
    assert len(operators) >= 25 and max(operators.values()) < 0.15 * len(recipes())
    assert {recipe.difficulty for recipe in recipes().values()} >= {"easy", "medium", "hard"}


def test_every_package_is_in_one_split_and_every_split_has_some() -> None:
    named = read_set_file(FOLDER / "set.toml").splits
    assert set(named) == {"train", "dev", "test"}
    packages = {recipe.package for recipe in recipes().values()}
    assert sorted(package for some in named.values() for package in some) == sorted(packages)
    found = load_task_set(FOLDER)
    sizes = Counter(found.split(task) for task in found)
    assert sizes["train"] > sizes["test"] > 20 and sizes["dev"] > 8


def test_no_two_tasks_of_a_release_make_the_same_edit_or_break_the_same_tests() -> None:
    edits: dict[tuple[str, str], list[str]] = defaultdict(list)
    broken: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for task, recipe in recipes().items():
        edits[recipe.package, recipe.mutated_sha256].append(task)
        broken[(recipe.package, *sorted(expected_ids(recipe.fail_to_pass)))].append(task)
    assert [some for some in edits.values() if len(some) > 1] == []
    assert [some for some in broken.values() if len(some) > 1] == []


def test_no_issue_names_the_place() -> None:
    for task, recipe in recipes().items():
        assert f"line {recipe.line}" not in recipe.issue, task
        assert f" {recipe.path}" not in recipe.issue, task


def test_the_folder_is_small() -> None:
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 1_600_000
    assert {file.parent.name for file in files} == {"mutants", "releases"}
