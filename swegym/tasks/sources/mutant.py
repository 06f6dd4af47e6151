"""Injected bugs: one source release with one edit in its own code, and half of its own tests hidden.

The recipe names the edit by facts alone. If the edited file does not have the hash that the recipe says, the operators
or the release are not what they were, and nothing is built.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from swegym.errors import TaskError
from swegym.tasks import mutation, split
from swegym.tasks.recipe import MutantRecipe, expected_ids
from swegym.tasks.sources import Material, pypi
from swegym.tasks.sources.archive import unpack


def gather(recipe: MutantRecipe, folder: Path) -> Material:
    """The release twice in `folder`: as it is, and with the edit made and the hidden tests cut out."""
    archive = pypi.download(recipe.package, recipe.release)
    material = Material(
        buggy=unpack(archive, folder / "buggy"),
        fixed=unpack(archive, folder / "fixed"),
    )
    inject(recipe, material.buggy)
    hide(recipe, material.buggy)
    return material


def inject(recipe: MutantRecipe, tree: Path) -> None:
    """Make the recipe's edit in an unpacked release."""
    data = _read(tree, recipe.path, recipe)
    found = mutation.find(
        data, recipe.operator, recipe.function, recipe.line, recipe.column, recipe.variant, recipe.path
    )
    edited = mutation.splice(data, found)
    actual = hashlib.sha256(edited).hexdigest()
    if actual != recipe.mutated_sha256:
        raise TaskError(
            f"{recipe.path} of {recipe.package} {recipe.version}: after the edit its sha256 is {actual}, but the "
            f"recipe says {recipe.mutated_sha256}. The operator makes another edit than it did; mine the task again."
        )
    (tree / recipe.path).write_bytes(edited)


def hide(recipe: MutantRecipe, tree: Path) -> None:
    """Cut the hidden test functions out of an unpacked release."""
    hidden = hidden_functions(recipe, tree)
    for path in _test_files(recipe):
        (tree / path).write_bytes(split.without(path, _read(tree, path, recipe), hidden))


def hidden_functions(recipe: MutantRecipe, tree: Path) -> frozenset[str]:
    """The test functions that the recipe's seed hides, as the test files of the original release are written."""
    suite = split.read_suite({path: _read(tree, path, recipe) for path in _test_files(recipe)})
    failing = {suite.owner(test) for test in expected_ids(recipe.fail_to_pass)}
    return split.deal(suite.functions, failing, recipe.split_seed)


def _test_files(recipe: MutantRecipe) -> list[str]:
    return sorted({*recipe.fail_to_pass, *recipe.pass_to_pass})


def _read(tree: Path, path: str, recipe: MutantRecipe) -> bytes:
    try:
        return (tree / path).read_bytes()
    except FileNotFoundError:
        raise TaskError(f"{path}: {recipe.package} {recipe.version} has no such file. Correct the recipe.") from None
