"""The seal of a task: what can be reached in its machine is the base commit and nothing later.

A policy that finds a later state of the project has the answer. It could lie in git (objects, commits, reflogs,
remotes, packed refs, alternates, stashes, hooks), in another repository, in an archive of the package (in the caches of
pip and uv, beside the work tree, among the wheels that `ensurepip` carries), or in a second installed or vendored copy.
The look is taken from inside (`_look.py`), with the machine's own interpreter, over everything that it can read.

A copy that somebody else's program carries along has no version that could be believed. It breaks the seal when it
holds a line that the reference fix adds and the base commit lacks, or when the fix adds no line that could tell.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swegym.tasks import _look
from swegym.tasks.environment import canonical_name
from swegym.types import SandboxFactory, Task

_SECONDS = 300.0


def sealed_problems(task: Task, open_sandbox: SandboxFactory) -> list[str]:
    """What in the machine tells more than the base commit does, in words; empty when nothing was found."""
    package, _, version = task.repo.partition(" ")
    job = {
        "package": canonical_name(package),
        "modules": modules_of(task),
        "workdir": task.image.workdir,
        "source": task.source,
        "added": [line[1:] for line in task.gold_patch.splitlines() if line.startswith("+") and line[:3] != "+++"],
    }
    with open_sandbox(task.image) as sandbox:
        done = sandbox.exec(
            ["python", "-I", "-c", Path(_look.__file__).read_text("utf-8")],
            cwd=task.image.workdir,
            stdin=json.dumps(job).encode(),
            timeout=_SECONDS,
        )
    if done.exit_code:
        return [f"the image cannot be looked at: {done.text.strip()[-500:]}"]
    seen = json.loads(done.stdout)
    return [*_git_problems(task, seen), *_copies(package, version, seen)]


def modules_of(task: Task) -> list[str]:
    """The names under which the package's own code is imported: what its source paths are called."""
    names = [path.rstrip("/").rpartition("/")[2].removesuffix(".py") for path in task.source]
    return sorted({name for name in names if name.isidentifier()})


def _git_problems(task: Task, seen: dict[str, Any]) -> list[str]:
    problems = []
    # A published row's commit keeps its id, and with it its parents: what its one branch, which is at it, can reach.
    # What installing the project made, and its own rules ignore, lies there as well (a version file).
    row = task.hidden.official is not None and seen["commits"][:1] == [task.base_commit]
    if row:
        lines = seen["changes"].splitlines(keepends=True)
        left = [name for name in seen["leftovers"] if name != "shallow"]
        seen = {**seen, "leftovers": left, "changes": "".join(line for line in lines if not line.startswith("!! "))}
    elif seen["commits"] != [task.base_commit]:
        problems.append(f"the repository holds the commits {seen['commits']}, not just {task.base_commit}")
    if seen["strangers"]:
        problems.append(f"the repository holds objects outside its commit: {', '.join(seen['strangers'][:5])}")
    if seen["leftovers"]:
        problems.append(f"the repository holds {', '.join(seen['leftovers'])}")
    if seen["refs"]:
        problems.append(f"the repository has more references than its branch: {', '.join(seen['refs'][:5])}")
    if seen["settings"]:
        problems.append(f"the repository's settings lead elsewhere: {', '.join(seen['settings'][:5])}")
    if seen["changes"]:
        problems.append(f"the repository is not clean: {seen['changes'][:200]}")
    if seen["repositories"]:
        problems.append(f"there are other repositories: {', '.join(seen['repositories'][:5])}")
    return problems


def _copies(package: str, version: str, seen: dict[str, Any]) -> list[str]:
    problems = []
    own = [
        (name, found, place)
        for name, found, place in seen["distributions"]
        if canonical_name(name) == canonical_name(package)
    ]
    if [found for _, found, _ in own] != [version]:
        problems.append(f"the package is installed as {own}, not once as {version}")
    if archives := [place for found, place in seen["archives"] if not _not_later(found, version)]:
        problems.append(f"archives of the package can be read: {', '.join(archives[:5])}")
    for kind, said in (
        ("carried", "archives that carry the fix, or may, can be read"),
        ("modules", "another copy of the package holds the fix, or may"),
        ("metadata", "the package is installed in another place, too"),
    ):
        if seen[kind]:
            problems.append(f"{said}: {', '.join(seen[kind][:5])}")
    return problems


def _not_later(found: str | None, version: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return found is not None and Version(found) <= Version(version)
    except InvalidVersion:
        return False
