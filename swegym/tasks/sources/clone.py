"""Commits of a local git repository: the state with the bug and the one that fixes it, checked out side by side.

Only files are taken over, never objects: what the clone knows beyond the two states stays in the clone. Filters and
hooks of its own configuration belong to whoever owns the clone.
"""

from __future__ import annotations

from pathlib import Path

from swegym.errors import TaskError
from swegym.tasks import repository
from swegym.tasks.recipe import GitRecipe
from swegym.tasks.sources import Material


def gather(recipe: GitRecipe, folder: Path) -> Material:
    """Both states of the recipe, in `folder`."""
    directory = git_directory(Path(recipe.clone).expanduser())
    return Material(
        buggy=check_out(directory, recipe.base, folder / "buggy"),
        fixed=check_out(directory, recipe.fix, folder / "fixed"),
    )


def git_directory(clone: Path) -> Path:
    """Where a clone keeps its objects: it may be bare, or a work tree."""
    for place in (clone / ".git", clone):
        if (place / "objects").is_dir() and (place / "HEAD").is_file():
            return place.resolve()
    raise TaskError(f"{clone} is no git repository. Give the folder of a clone.")


def check_out(directory: Path, commit: str, target: Path) -> Path:
    """The files of a commit, all of them, whatever the project leaves out of its archives."""
    target.mkdir(parents=True)
    index = {"GIT_INDEX_FILE": str(target.with_name(target.name + ".index")), "GIT_WORK_TREE": str(target)}
    try:
        repository.git(directory, "read-tree", f"{commit}^{{commit}}", variables=index)
    except TaskError as error:
        raise TaskError(
            f"{directory} has no commit {commit}. Fetch it there, or correct the recipe. ({error})"
        ) from None
    repository.git(directory, "checkout-index", "--all", "--force", variables=index, folder=target)
    Path(index["GIT_INDEX_FILE"]).unlink()
    return target
