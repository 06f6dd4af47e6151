"""Checkout: exactly one commit of somebody's repository, from a local clone, with its own id and nothing later.

Only the commit and its parents are fetched into an empty repository, so no later object, ref, tag or reflog is there to
be found; its id stays what it is everywhere. Where a bug is laid over the commit, the result is one commit of our own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from swegym.errors import InputError, TaskError
from swegym.tasks import repository
from swegym.tasks.repository import BRANCH, git

_ALLOW_ANY = "git -c uploadpack.allowAnySHA1InWant=true -c safe.directory=* upload-pack"
_LEFT_BY_A_FETCH = ("FETCH_HEAD", "ORIG_HEAD", "packed-refs", "logs", "hooks")


@dataclass(frozen=True, slots=True)
class Changed:
    """What a patch makes of a commit: paths, and the content of those that it does not delete."""

    files: dict[str, bytes]
    deleted: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        return (*self.files, *self.deleted)


def check_out(clone: Path, commit: str, tree: Path, pristine: Path, *, setup_patch: str = "") -> str:
    """Lay the commit out in `tree`, with its repository in `tree/.git` and, bare, at `pristine`. Returns its full id.

    Raises:
        TaskError: The clone does not have the commit, or `setup_patch` does not apply to it.
    """
    full = full_commit(clone, commit)
    repository.create(pristine)
    fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--depth", "2", "--upload-pack", _ALLOW_ANY]
    git(pristine, "-c", "fetch.unpackLimit=1", "-c", "gc.auto=0", *fetch, _address(clone), full)
    git(pristine, "update-ref", f"refs/heads/{BRANCH}", full)
    tree.mkdir(parents=True, exist_ok=True)
    if setup_patch:
        changed = changes(pristine, full, setup_patch, "the patch that makes the bug")
        _lay_out(pristine, full, tree)
        write(tree, changed)
        shutil.rmtree(pristine)
        return repository.seal(tree, pristine, f"{full[:12]} with a bug")
    for left in _LEFT_BY_A_FETCH:
        path = pristine / left
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    _lay_out(pristine, full, tree)
    shutil.copytree(pristine, tree / ".git", ignore=shutil.ignore_patterns("objects", "index"))
    shutil.copytree(pristine / "objects", tree / ".git" / "objects", copy_function=os.link)
    config = (tree / ".git" / "config").read_text()
    (tree / ".git" / "config").write_text(config.replace("bare = true", "bare = false"))
    git(tree / ".git", "read-tree", full)
    return full


def full_commit(clone: Path, commit: str) -> str:
    """The full id of a commit that may be abbreviated, or "ID^" for a parent. Raises `TaskError`."""
    where = directory(clone)
    try:
        return git(where, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").decode().strip()
    except TaskError:
        raise TaskError(
            f"{clone} has no commit {commit}. Fetch it there (git fetch origin {commit.rstrip('^')}), or name a clone "
            "with the whole history."
        ) from None


def describe(clone: Path, commit: str) -> tuple[str, int] | None:
    """The last tag before a commit that looks like a version, and how many commits lie between; None without one."""
    where = directory(clone)
    try:
        said = git(where, "describe", "--tags", "--long", "--match", "*[0-9]*.[0-9]*", commit).decode().strip()
    except TaskError:
        return None
    tag, distance, _ = said.rsplit("-", 2)
    return tag, int(distance)


def date_of(repository_: Path, commit: str) -> str:
    """When the commit was made, as ISO text."""
    return git(directory(repository_), "show", "--no-patch", "--format=%cI", commit).decode().strip()


def changes(pristine: Path, commit: str, patch: str, what: str) -> Changed:
    """What `patch` makes of `commit`, without touching any tree. Raises `TaskError` where it does not apply."""
    index = {"GIT_INDEX_FILE": str(pristine / "swegym-index")}
    file = pristine / "swegym-patch"
    try:
        git(pristine, "read-tree", commit, variables=index)
        file.write_bytes(patch.encode("utf-8", "surrogateescape") + (b"" if patch.endswith("\n") else b"\n"))
        try:
            git(pristine, "apply", "--cached", "--whitespace=nowarn", str(file), variables=index)
        except TaskError as error:
            said = str(error).partition(": ")[2]
            raise TaskError(
                f"{what} does not apply at {commit[:12]}: {said}. Is it of another commit? Correct the row."
            ) from None
        listed = git(pristine, "diff-index", "--cached", "--name-status", "-z", "--no-renames", commit, variables=index)
        fields = os.fsdecode(listed).split("\0")[:-1]
        pairs = list(zip(fields[::2], fields[1::2], strict=True))
        files = {path: git(pristine, "show", f":{path}", variables=index) for kind, path in pairs if kind != "D"}
        return Changed(files, tuple(path for kind, path in pairs if kind == "D"))
    finally:
        (pristine / "swegym-index").unlink(missing_ok=True)
        file.unlink(missing_ok=True)


def content(pristine: Path, commit: str, paths: Iterable[str]) -> dict[str, bytes]:
    """Files as a commit has them."""
    return {path: git(pristine, "show", f"{commit}:{path}") for path in paths}


def listing(pristine: Path, commit: str) -> tuple[str, ...]:
    """All paths of a commit."""
    return tuple(os.fsdecode(git(pristine, "ls-tree", "-r", "-z", "--name-only", commit)).split("\0")[:-1])


def reverse(pristine: Path, commit: str, patch: str) -> str:
    """The patch that undoes `patch`, which is in `commit` already."""
    index = {"GIT_INDEX_FILE": str(pristine / "swegym-index")}
    file = pristine / "swegym-patch"
    try:
        git(pristine, "read-tree", commit, variables=index)
        file.write_bytes(patch.encode("utf-8", "surrogateescape"))
        git(pristine, "apply", "--cached", "--reverse", "--whitespace=nowarn", str(file), variables=index)
        undone = git(pristine, "diff-index", "--cached", "-p", "--full-index", "--binary", commit, variables=index)
        return undone.decode("utf-8", "surrogateescape")
    finally:
        (pristine / "swegym-index").unlink(missing_ok=True)
        file.unlink(missing_ok=True)


def write(tree: Path, changed: Changed) -> None:
    """Carry changes out in a tree of files."""
    for path in changed.deleted:
        (tree / path).unlink(missing_ok=True)
    for path, data in changed.files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)


def directory(clone: Path) -> Path:
    """The git directory of a clone, bare or with a work tree. Raises `InputError`."""
    for place in (clone / ".git", clone):
        if (place / "objects").is_dir() and (place / "HEAD").is_file():
            return place
    raise InputError(f"{clone}: no git repository. Name a clone, bare or not.")


def _address(clone: Path) -> str:
    return directory(clone).absolute().as_uri()  # a plain path would ignore --depth


def _lay_out(pristine: Path, commit: str, tree: Path) -> None:
    index = {"GIT_INDEX_FILE": str(pristine / "swegym-index"), "GIT_WORK_TREE": str(tree)}
    try:
        git(pristine, "read-tree", commit, variables=index)
        git(pristine, "checkout-index", "--all", "--force", variables=index, folder=tree)
    finally:
        (pristine / "swegym-index").unlink(missing_ok=True)
