"""A row's environment taken from an image that somebody else built, as published task sets come with one for each row.

The image is taken apart: everything but the repository becomes a base image of the store, shared by rows whose images
have it in common; the repository becomes the task's own layer. Its .git is never used as it is, for published images
are known to hold later commits: objects and references alone are read, and what comes back is a repository with the
base commit and its parents. Files that installing left behind stay where they are; what the image changed or added
beyond the project's own ignore rules is one commit on top, so that the work tree begins clean.

Nothing is installed. An environment that is activated by a script (conda's, a virtual one) is activated once, here, and
what that changes of the variables is kept, so that no command has to do it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from swegym.errors import InputError, SandboxError, TaskError
from swegym.images import imports, store
from swegym.sandbox import open_sandbox
from swegym.tasks import checkout, install, repository
from swegym.tasks.install import Installed
from swegym.types import Image, Sandbox

VARIABLES = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "TZ": "UTC"}
_CONDA = ("opt/miniconda3", "opt/conda", "opt/anaconda3", "root/miniconda3", "root/anaconda3")
_CONDA_ENVIRONMENT = "testbed"  # as the published sets name theirs
_VIRTUAL = ("{workdir}/.venv", "{workdir}/venv", "/opt/venv", "/venv")
_READ_OF_GIT = ("objects", "refs", "packed-refs", "HEAD", "shallow")
_OF_THE_SHELL = ("_", "SHLVL", "PWD", "OLDPWD", "PS1", "PROMPT_COMMAND")
_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Taken:
    """An image taken apart."""

    base: str  # name of the base image: all of it but the repository
    tree: Path  # the repository as it lay there, without its .git
    history: Path | None  # bare: what its .git held
    activate: str  # the shell line that its folders suggest; "" where its own PATH will do


def spelled(template: str, task: str, image: str | None) -> str | None:
    """Where a row's image is: "row" is what the row names, otherwise {id} and {docker_id} are filled in.

    {docker_id} is the id as published names have it: in small letters, with "_1776_" for "__". None where the row names
    none.
    """
    if template == "row":
        return image and f"docker://{image}"
    filled = template.replace("{id}", task).replace("{docker_id}", task.lower().replace("__", "_1776_"))
    return filled if filled.startswith(("docker://", "oci:")) or filled.endswith(".tar") else f"docker://{filled}"


def take_apart(source: str, workdir: str, folder: Path) -> Taken:
    """Bring an image into the store, its repository into `folder`. `TaskError` where it has none at `workdir`."""
    tree, found = folder / "from-image", {"activate": ""}

    def carve(root: Path, described: str) -> None:
        place = root / workdir.lstrip("/")
        if place.is_symlink() or not place.is_dir() or not any(place.iterdir()):
            where = f"its own working directory is {described}" if described != workdir else "that folder is empty"
            raise TaskError(
                f"{source}: there is no repository at {workdir}, where rows of this family have it; {where}."
            )
        found["activate"] = _activation(root, workdir)
        shutil.move(place, tree)

    name = f"{imports.ROW_PREFIX}{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    try:
        imports.import_image(source, name, carve)
    except InputError as error:
        raise TaskError(f"its image cannot be used: {error}") from error
    history = folder / "history.git" if _read_history(tree / ".git", folder / "history.git") else None
    _remove(tree / ".git")
    for place, folders, _ in os.walk(tree):
        if "__pycache__" in folders:
            store.remove_tree(Path(place, "__pycache__"))
            folders.remove("__pycache__")
    return Taken(name, tree, history, found["activate"])


def seal(clone: Path, commit: str, taken: Taken, pristine: Path, scratch: Path, *, setup_patch: str = "") -> str:
    """Give the repository of an image a .git with `commit` from `clone`; returns the commit that it is at then.

    That is `commit` itself where the image has its files as they are, else one on top of it. Where a bug is laid over
    it (`setup_patch`), the commit stands alone, for its parent would show the fix.
    """
    made, tree = scratch / "made.git", taken.tree
    full = checkout.check_out(clone, commit, scratch / "as-committed", made)
    index = {"GIT_INDEX_FILE": str(made / "index"), "GIT_WORK_TREE": str(tree)}
    repository.git(made, "read-tree", full, variables=index)
    if setup_patch:
        changed = checkout.changes(made, full, setup_patch, "the patch that makes the bug")
        for path in changed.paths:  # links are the image's, and may lead anywhere on this machine
            if any((tree / part).is_symlink() for part in (path, *map(str, list(Path(path).parents)[:-1]))):
                raise TaskError(f"the patch that makes the bug changes {path}, which goes through a link in the image.")
        checkout.write(tree, changed)
    repository.git(made, "add", "--all", ".", variables=index, folder=tree)
    content = repository.git(made, "write-tree", variables=index).decode().strip()
    if setup_patch or content != repository.git(made, "rev-parse", f"{full}^{{tree}}").decode().strip():
        parents = [] if setup_patch else ["-p", full]
        message = f"{full[:12]} {'with a bug' if setup_patch else 'as its image has it'}"
        full = repository.git(made, "commit-tree", content, *parents, "-m", message).decode().strip()
    at = checkout.check_out(made, full, scratch / "sealed", pristine)
    (scratch / "sealed" / ".git").rename(tree / ".git")
    if setup_patch:
        repository.level_times(tree)
    return at


def look_inside(image: Image, activate: str) -> tuple[dict[str, str], Installed, str]:
    """The variables that activating sets, what is installed, and the version of the environment's Python."""
    try:
        with open_sandbox(image) as sandbox:
            before, after = _variables(sandbox, ""), _variables(sandbox, activate)
            changed = {name: text for name, text in after.items() if before.get(name) != text}
            variables = {name: text for name, text in changed.items() if name not in _OF_THE_SHELL}
            version = _said(sandbox, variables, "import sys; print(sys.version.split()[0])").strip()
            minor = ".".join(version.split(".")[:2])
            look = install.look_of(minor)
            facts = json.loads(_said(sandbox, variables, look, image.workdir).partition("FACTS")[2].split("\n")[0])
    except SandboxError as error:
        raise TaskError(f"its image cannot be started: {error}") from error
    return variables, install.installed(facts, day="", taken="its published image"), version


def _variables(sandbox: Sandbox, activate: str) -> dict[str, str]:
    done = sandbox.exec(f"{{ {activate or ':'}\n}} >/dev/null || exit 9\nenv -0", timeout=_SECONDS)
    if done.exit_code:
        raise TaskError(
            f"its image's environment cannot be activated by `{activate}`: {done.text.strip()[-300:]} "
            'Say how in an overrides file: activate = "...".'
        )
    return dict(entry.partition("=")[::2] for entry in done.stdout.decode("utf-8", "replace").split("\0") if entry)


def _said(sandbox: Sandbox, variables: Mapping[str, str], *program: str) -> str:
    done = sandbox.exec(["python", "-I", "-c", *program], env=variables, timeout=_SECONDS)
    if done.exit_code:
        remedy = 'Say how to activate its environment in an overrides file: activate = "..."'
        raise TaskError(f"its image's python cannot be asked what it has: {done.text.strip()[-300:]} {remedy}.")
    return done.stdout.decode("utf-8", "replace")


def _activation(root: Path, workdir: str) -> str:
    for prefix in _CONDA:
        environment = root / prefix / "envs" / _CONDA_ENVIRONMENT
        if os.path.lexists(environment) and (root / prefix / "bin" / "activate").is_file():
            return f"source /{prefix}/bin/activate {_CONDA_ENVIRONMENT}"
    for pattern in _VIRTUAL:
        folder = pattern.format(workdir=workdir)
        if (root / folder.lstrip("/") / "bin" / "activate").is_file():
            return f"source {folder}/bin/activate"
    return ""


def _read_history(git: Path, target: Path) -> bool:
    """Copy what a .git knows as plain data: no configuration, no hooks, no borrowed objects."""
    if git.is_symlink() or not (git / "objects").is_dir() or (git / "objects").is_symlink():
        return False
    target.mkdir()
    for name in _READ_OF_GIT:
        place = git / name
        if place.is_dir() and not place.is_symlink():
            shutil.copytree(place, target / name, symlinks=True, ignore=shutil.ignore_patterns("alternates"))
        elif place.is_file() and not place.is_symlink():
            shutil.copy(place, target / name)
    return True


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        store.remove_tree(place)
    else:
        place.unlink(missing_ok=True)
