"""The look behind a task's seal, as a program inside its machine: a walk over all that can be read, and git's answers.

It reads a job from stdin and prints what it saw as JSON; `sealing.py` says what of that breaks the seal. Standard
library only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

# fmt: off
LEFTOVERS = (
    "logs", "hooks", "refs/remotes", "refs/stash", "refs/notes", "refs/replace",
    "refs/original", "ORIG_HEAD", "FETCH_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "packed-refs",
    "objects/info/alternates", "objects/info/http-alternates", "worktrees", "modules", "shallow", "info/grafts",
    "lfs", "rr-cache", "rebase-merge", "rebase-apply", "config.worktree", "bundles",
)
# fmt: on
HARMLESS = ("core.repositoryformatversion", "core.filemode", "core.bare", "core.logallrefupdates")
ARCHIVE = re.compile(r"^(.+?)-([0-9][^/]*?)(\.tar\.(?:gz|bz2|xz)|\.tgz|\.zip|\.whl|\.egg)$")
# Folders in which whole packages lie, installed or carried along.
NEAR: tuple[str, ...] = (
    "site-packages",
    "dist-packages",
    "_vendor",
    "vendor",
    "vendored",
    "_vendored",
    "extern",
    "externals",
)
NEAR += ("third_party", "thirdparty")
LEAST = 9  # characters besides white space from which a line of the fix can tell


class Look:
    def __init__(self, job: dict[str, Any]) -> None:
        self.package = job["package"]
        self.modules = set(job["modules"])
        self.workdir = job["workdir"]
        known: set[str] = set()
        for path in job["source"]:
            for file in python_files(f"{self.workdir}/{path}"):
                known |= squeezed(text_of(file))
        self.telling = {line for line in squeezed("\n".join(job["added"])) if len(line) >= LEAST and line not in known}
        self.repositories: list[str] = []
        self.archives: list[tuple[str | None, str]] = []
        self.carried: list[str] = []
        self.copies: list[str] = []
        self.installed: list[str] = []

    def tells(self, texts: Iterable[str]) -> bool:
        """Whether a copy may hold the fix: it does, or the fix adds no line that could tell."""
        return not self.telling or any(self.telling & squeezed(text) for text in texts)

    def walk(self) -> None:
        been: set[tuple[int, int]] = set()
        for place, folders, files in os.walk("/"):
            status = Path(place).stat()
            if (status.st_dev, status.st_ino) in been:  # /lib may be /usr/lib
                folders[:] = []
                continue
            been.add((status.st_dev, status.st_ino))
            if place == "/":
                folders[:] = [name for name in folders if name not in ("proc", "sys", "dev")]
            if place == f"{self.workdir}/.git":
                folders[:] = []
                continue
            own = place == self.workdir or place.startswith(self.workdir + "/")
            self.see_repository(place, folders, files)
            for name in folders:
                self.see_folder(place, name, own)
            for name in files:
                self.see_file(place, name, own)

    def see_repository(self, place: str, folders: list[str], files: list[str]) -> None:
        if (".git" in folders or ".git" in files) and place != self.workdir:
            self.repositories.append(f"{place}/.git")
        elif "HEAD" in files and "objects" in folders and "refs" in folders:
            self.repositories.append(place)

    def see_folder(self, place: str, name: str, own: bool) -> None:
        path = f"{place.rstrip('/')}/{name}"
        if name.endswith((".dist-info", ".egg-info")):
            if canonical(re.split(r"-(?=[0-9])", name.rsplit(".", 1)[0])[0]) == self.package:
                self.installed.append(path)
        elif name in self.modules and not own and Path(place).name in NEAR and any(Path(path).iterdir()):
            texts = map(text_of, python_files(path))
            self.copies += [path] if self.tells(texts) else []

    def see_file(self, place: str, name: str, own: bool) -> None:
        path = f"{place.rstrip('/')}/{name}"
        if not own and Path(place).name in NEAR and name.endswith(".py") and name[:-3] in self.modules:
            self.copies += [path] if self.tells([text_of(path)]) else []
        match = ARCHIVE.match(name)
        if match and canonical(match.group(1)) == self.package:
            self.archives.append((match.group(2).split("-")[0], path))
        elif name.endswith((".whl", ".zip", ".pyz", ".egg")) and not own:
            self.see_archive(path)
        elif canonical(name).startswith(self.package + "-") and name.endswith((".body", ".msgpack", ".http", ".rkyv")):
            self.archives.append((None, path))  # of the caches of pip and uv

    def see_archive(self, path: str) -> None:
        try:
            with zipfile.ZipFile(path) as bundle:
                found = [name for name in bundle.namelist() if name.endswith(".py") and self.holds(name)]
                if found and self.tells(bundle.read(name).decode("utf-8", "replace") for name in found):
                    self.carried.append(path + "!" + found[0])
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
            return  # damaged or locked: nobody reads it

    def holds(self, member: str) -> bool:
        parts = member[:-3].split("/")
        return any(
            part in self.modules and (number == 0 or parts[number - 1] in NEAR) for number, part in enumerate(parts)
        )


def squeezed(text: str) -> set[str]:
    return {"".join(line.split()) for line in text.splitlines()}


def python_files(path: str) -> Iterator[str]:
    if Path(path).is_file():
        yield path
    for place, _, files in os.walk(path):
        for name in files:
            if name.endswith(".py"):
                yield f"{place.rstrip('/')}/{name}"


def text_of(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    job = json.load(sys.stdin)
    folder = f"{job['workdir']}/.git"

    def git(*arguments: str) -> str:
        command = ["git", "-c", "safe.directory=*", *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=job["workdir"]).stdout

    inside = {line.split()[0] for line in git("rev-list", "--objects", "--all").splitlines()}
    held = {line.split()[0] for line in git("cat-file", "--batch-all-objects", "--batch-check").splitlines()}
    names = git("config", "--local", "--name-only", "--list").split()
    look = Look(job)
    look.walk()
    distributions = [
        (found.metadata["Name"], found.version, str(found.locate_file("")))
        for found in metadata.distributions()
        if found.metadata["Name"]
    ]
    places = {str(Path(place).resolve()) for name, _, place in distributions if canonical(name) == job["package"]}
    seen = {
        "commits": git("rev-list", "--all").split(),
        "strangers": sorted(held - inside),
        "leftovers": [name for name in LEFTOVERS if os.path.lexists(f"{folder}/{name}")],
        "refs": [name for name in git("for-each-ref", "--format=%(refname)").split() if name != "refs/heads/main"],
        "settings": [name for name in names if name not in HARMLESS],
        "changes": git("status", "--porcelain", "--ignored"),
        "repositories": sorted(set(look.repositories)),
        "archives": sorted(look.archives, key=lambda found: found[1]),
        "carried": sorted(look.carried),
        "modules": sorted(look.copies),
        "metadata": sorted(path for path in look.installed if str(Path(path).parent.resolve()) not in places),
        "distributions": distributions,
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
