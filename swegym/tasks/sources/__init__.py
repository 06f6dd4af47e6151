"""Where the two trees of a task come from: the repository with the bug, and the one that holds fix and tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swegym.tasks.recipe import GitRecipe, InlineRecipe, MutantRecipe, Recipe


@dataclass(frozen=True, slots=True)
class Material:
    """What a source hands to the builder: two unpacked trees without version control, which the builder may change.

    The repository is `buggy` as it is. Under the recipe's source paths the two differ by the reference fix, and the
    hidden tests are what `fixed` has under the recipe's test paths.
    """

    buggy: Path
    fixed: Path


def gather(recipe: Recipe, folder: Path) -> Material:
    """Fetch what the recipe names and lay both trees out in `folder`, which is empty."""
    if isinstance(recipe, MutantRecipe):
        from swegym.tasks.sources import mutant

        return mutant.gather(recipe, folder)
    if isinstance(recipe, InlineRecipe):
        from swegym.tasks.sources import inline

        return inline.gather(recipe, folder)
    if isinstance(recipe, GitRecipe):
        from swegym.tasks.sources import clone

        return clone.gather(recipe, folder)
    from swegym.tasks.sources import pypi

    return pypi.gather(recipe, folder)
