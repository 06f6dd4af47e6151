"""A task's repository: git with exactly one commit, and nothing in it that a later release could have left.

Author, date and message are fixed, so the same tree gives the same commit id everywhere. Attributes that would convert
files are off: what is committed is, byte for byte, what lies in the tree. The git of this machine is used with an
empty configuration.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from swegym.errors import TaskError

BRANCH = "main"
_DATE, _TIME = "2000-01-01T00:00:00Z", 946_684_800
_SIGNATURE = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "swegym"), ("EMAIL", "swegym@localhost"), ("DATE", _DATE))
}
_ATTRIBUTES = "* -text !eol !filter !ident !working-tree-encoding !diff !merge\n"


def seal(tree: Path, pristine: Path, message: str) -> str:
    """Commit `tree` as it is. Leaves the repository in `tree/.git` and, bare, at `pristine`; returns the commit id."""
    tidy(tree)
    create(pristine)
    index = {"GIT_INDEX_FILE": str(pristine / "index"), "GIT_WORK_TREE": str(tree)}
    git(pristine, "add", "--all", "--force", ".", variables=index, folder=tree)
    content = git(pristine, "write-tree", variables=index).strip().decode()
    commit = git(pristine, "commit-tree", content, "-m", message).strip().decode()
    git(pristine, "update-ref", f"refs/heads/{BRANCH}", commit)
    # One thread, so that the pack is the same everywhere too.
    git(pristine, "-c", "pack.threads=1", "-c", "repack.writeBitmaps=false", "repack", "-adqn")
    (pristine / "index").unlink()
    # Nobody ever writes to an object, so both repositories may share the files that hold them.
    shutil.copytree(pristine, tree / ".git", ignore=shutil.ignore_patterns("objects"))
    shutil.copytree(pristine / "objects", tree / ".git" / "objects", copy_function=os.link)
    _write_config(tree / ".git", bare=False)
    # An index made from the commit holds no times or inodes of this machine.
    git(tree / ".git", "read-tree", commit)
    level_times(tree)
    return commit


def difference(old: Path, new: Path, paths: Iterable[str], exclude: Iterable[str], scratch: Path) -> str:
    """The git patch that turns `old` into `new` under `paths` but not under `exclude`; binary files included.

    Moved files show as deleted and added.
    """
    create(scratch)
    trees = []
    for number, tree in enumerate((old, new)):
        variables = {"GIT_INDEX_FILE": str(scratch / f"index-{number}"), "GIT_WORK_TREE": str(tree)}
        wanted = [f":(top,literal){path}" for path in paths if (tree / path).exists()]
        if wanted:
            git(scratch, "add", "--all", "--force", "--", *wanted, variables=variables, folder=tree)
        # Not by an excluding pattern: beside a literal one in another folder, git lets it exclude everything.
        for path in exclude:
            unwanted = f":(top,literal){path}"
            git(scratch, "rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", unwanted, variables=variables)
        trees.append(git(scratch, "write-tree", variables=variables).strip().decode())
    patch = git(scratch, "diff-tree", "-r", "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", *trees)
    return patch.decode("utf-8", "surrogateescape")


def level_times(tree: Path) -> None:
    """Give a whole tree one time: what was written last shows where a bug was laid, and which tests were cut."""
    for folder, folders, files in os.walk(tree, topdown=False):
        for name in (*files, *folders):
            os.utime(Path(folder, name), (_TIME, _TIME), follow_symlinks=False)
    os.utime(tree, (_TIME, _TIME))


def tidy(tree: Path) -> None:
    """Make a tree hold only what git can: no empty folders, plain modes, no nested repositories, no compiled files."""
    for folder, folders, files in os.walk(tree, topdown=False):
        here = Path(folder)
        for name in files:
            file = here / name
            if file.is_symlink():
                continue
            if name == ".git" or name.endswith((".pyc", ".pyo")):
                file.unlink()
            else:
                file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
        for name in folders:
            inner = here / name
            if inner.is_symlink():
                continue
            inner.chmod(0o755)
            if name == ".git":
                shutil.rmtree(inner)
            elif not any(inner.iterdir()):
                inner.rmdir()


def git(
    directory: Path, *arguments: str, variables: Mapping[str, str] | None = None, folder: Path | None = None
) -> bytes:
    """Run git on the repository at `directory` and return what it prints; a failure is a `TaskError`."""
    nowhere = os.devnull
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "HOME": nowhere,
        "XDG_CONFIG_HOME": nowhere,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": nowhere,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_DIR": str(directory),
        **_SIGNATURE,
        **(variables or {}),
    }
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder or directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True
        )
    except FileNotFoundError:
        raise TaskError("git is not installed here, and tasks are built with it. Install git.") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise TaskError(f"git {arguments[0]} failed in {folder or directory}: {said}")
    return done.stdout


def create(directory: Path, *, bare: bool = True) -> None:
    """An empty repository, bare unless said, without the samples that git's own template brings."""
    (directory / "objects").mkdir(parents=True)
    (directory / "refs" / "heads").mkdir(parents=True)
    (directory / "info").mkdir()
    (directory / "info" / "attributes").write_text(_ATTRIBUTES)
    (directory / "HEAD").write_text(f"ref: refs/heads/{BRANCH}\n")
    _write_config(directory, bare=bare)


def _write_config(directory: Path, *, bare: bool) -> None:
    (directory / "config").write_text(
        f"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = {str(bare).lower()}\n"
    )
