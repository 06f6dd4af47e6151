"""Mining commits: walk the history of a local clone for commits that change sources and tests, as SWE-bench does.

The parent is the state with the bug, the commit's tests are the hidden ones, and its source changes the fix, or the
smallest part of them that makes each test pass. The history itself never gets into a task.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym.errors import InputError, TaskError
from swegym.images import store
from swegym.tasks import repository
from swegym.tasks.miners.change import Examined, Workshop, examine
from swegym.tasks.miners.journal import Entry, Journal
from swegym.tasks.miners.pins import pinned, plugins_of
from swegym.tasks.miners.project import read_layout
from swegym.tasks.recipe import GitRecipe
from swegym.tasks.sources.clone import check_out, git_directory

_TRAILER = re.compile(
    r"^[A-Za-z-]+-by: .*$|^\(?(close[sd]?|fix(e[sd])?|resolve[sd]?|ref|see):? #\d+\)?\.?$", re.I | re.M
)
_TEST = re.compile(r"(^|/)tests?/|(^|/)test_[^/]*\.py$|_test\.py$|(^|/)tests?\.py$")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit with one parent that changes Python sources and tests."""

    id: str
    parent: str
    message: str


def mine_clone(
    clone: Path,
    package: str,
    journal: Journal,
    shop: Workshop,
    most: int,
    on_entry: Callable[[Entry], None],
    on_doing: Callable[[str], None],
) -> None:
    """Look through the newest `most` commits of a clone's current branch, those that the journal knows excepted."""
    try:
        directory = git_directory(clone)
    except TaskError as error:
        raise InputError.at(
            "CLONE", "folder", str(clone), "is no git repository", "Give the folder of a clone."
        ) from error
    for commit in commits(directory, most):
        key = f"{package} {commit.id[:12]}"
        if key in journal.entries:
            continue
        on_doing(key)
        stem = f"{package}-{commit.id[:12]}"
        look = functools.partial(examine_commit, clone, directory, package, commit, shop)
        on_entry(journal.examine(key, stem, look))


def commits(directory: Path, most: int) -> Iterator[Commit]:
    """Of the newest `most` commits along the first parents, those that change Python sources and tests."""
    listed = repository.git(
        directory, "log", "--first-parent", f"--max-count={most}", "--format=%H %P", "HEAD"
    ).decode()
    for line in listed.splitlines():
        commit, *parents = line.split()
        if len(parents) != 1:
            continue  # a merge, or the first one
        names = repository.git(directory, "diff-tree", "-r", "--name-only", "--no-renames", parents[0], commit)
        paths = [name for name in names.decode("utf-8", "replace").splitlines() if name.endswith(".py")]
        tests = [path for path in paths if _TEST.search(path)]
        if tests and len(tests) < len(paths):
            message = repository.git(directory, "show", "--no-patch", "--format=%B", commit).decode("utf-8", "replace")
            yield Commit(commit, parents[0], message.strip())


def examine_commit(clone: Path, directory: Path, package: str, commit: Commit, shop: Workshop) -> Examined:
    """Look through one commit. Raises TaskError with the reason where it gives nothing."""
    with store.scratch() as folder:
        layout = read_layout(check_out(directory, commit.id, folder / "look"), package)
        pins = pinned(layout.requirements, package)
        fields: dict[str, Any] = {
            "source": "git",
            "package": package,
            "clone": str(clone.expanduser().resolve()),
            "base": commit.parent,
            "fix": commit.id,
            "source_paths": layout.source_paths,
            "test_paths": layout.test_paths,
            "pythonpath": layout.pythonpath,
            "requirements": pins,
            "plugins": plugins_of(pins) if any(pin.startswith("pytest") for pin in pins) else (),
            "ini": layout.ini,
            "timeout": 2 * shop.limits.timeout,
        }
        return examine(GitRecipe, fields, folder, shop, said=told(commit.message))


def told(message: str) -> str:
    """What a commit's message tells a reader, without trailers; empty when that is too little for an issue."""
    text = re.sub(r"\n{3,}", "\n\n", _TRAILER.sub("", message)).strip()
    return text if len(text) >= 60 and "\n" in text else ""
