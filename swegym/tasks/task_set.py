"""A task set: named, versioned, ordered tasks. A folder with `set.toml` and one recipe per task, or pointers to others.

Recipes are read when they are asked for; `ids` costs a folder listing. A task that a set includes from another stays
that set's task: same id, built once, whoever asks for it. Of a generated set, set.toml stands for every recipe, and a
task is built when it is first loaded.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from swegym import paths
from swegym.errors import InputError, NotBuilt, UnknownName
from swegym.images import store
from swegym.tasks import built
from swegym.tasks.health import without_flaky
from swegym.tasks.micro_options import Split
from swegym.tasks.recipe import Recipe, SetFile, read_recipe, read_set_file
from swegym.tasks.row_recipe import RowRecipe
from swegym.tasks.sources import micro
from swegym.types import Task

SET_FILE = "set.toml"
# A new number makes every built task out of date.
BUILD_FORMAT = 1


@dataclass(frozen=True, slots=True)
class TaskSet:
    """Tasks in order. Iterates over ids."""

    name: str
    version: str
    description: str
    recipes: Mapping[str, Path] = field(repr=False)  # id -> recipe file, in order

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.recipes)

    @property
    def digest(self) -> str:
        """Over the name, version and every recipe as it is written."""
        contents = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in set(self.recipes.values())}
        files = [(task, contents[path]) for task, path in self.recipes.items()]
        return store.json_digest([self.name, self.version, files])

    def __len__(self) -> int:
        return len(self.recipes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.recipes)

    def __contains__(self, task: object) -> bool:
        return task in self.recipes

    def select(self, patterns: Iterable[str] = (), limit: int | None = None) -> TaskSet:
        """The tasks that match any of the glob patterns (none given: all), at most `limit` of them, in order.

        Raises:
            UnknownName: a pattern matches no task.
        """
        patterns = tuple(patterns)
        chosen = set(self.ids) if not patterns else set()
        for pattern in patterns:
            found = fnmatch.filter(self.ids, pattern)
            if not found:
                raise UnknownName.among(f"task in set {self.name!r}", pattern, self.ids)
            chosen.update(found)
        kept = [task for task in self.ids if task in chosen][:limit]
        return replace(self, recipes={task: self.recipes[task] for task in kept})

    def recipe(self, task: str) -> Recipe | RowRecipe:
        if place := self.generated(task):
            return micro.recipe(micro.micro_task(place.series, place.index, place.options))
        return read_recipe(self._file(task))

    def generated(self, task: str) -> micro.Place | None:
        """For a generated task what it is generated from, which is all that `micro.micro_task` needs; else None."""
        file = self._file(task)
        return micro.place(_set_file(file), task) if file.name == SET_FILE else None

    def split(self, task: str) -> Split:
        """Whether a task is for training, for choosing between what was trained, or held out for the end.

        It is decided by the package (`[splits]` of the set that the task belongs to), so that no held-out code is seen
        in training; of generated tasks by their part. What no split names is for training.
        """
        if place := self.generated(task):
            return place.split
        return _set_file(self._file(task).parent / SET_FILE).split_of(self.recipe(task).package)

    def home(self, task: str) -> str:
        """The set that a task belongs to: this one, or the one that it is included from."""
        return self._file(task).parent.name

    def stamp(self, task: str) -> str:
        """Over everything that a build of this task depends on: recipe, builder and this machine's interpreter."""
        if place := self.generated(task):
            return store.json_digest([BUILD_FORMAT, place.facts(), sys.version_info[:3], sys.platform])
        recipe = hashlib.sha256(self._file(task).read_bytes()).hexdigest()
        return store.json_digest([BUILD_FORMAT, recipe, sys.version_info[:3], sys.platform])

    def is_built(self, task: str) -> bool:
        return built.is_current(self.home(task), task, self.stamp(task))

    def load(self, task: str, *, whole: bool = False) -> Task:
        """The built task, without tests that a check found to be flaky; a generated one is built now if need be.

        Args:
            task: Its id.
            whole: With the flaky tests, as its recipe has it.

        Raises:
            NotBuilt: it was not built yet, or its recipe has changed since.
        """
        if not self.is_built(task):
            if self.generated(task):
                from swegym.tasks.build import build_one

                build_one(self, task)
                return built.load(self.home(task), task)
            raise NotBuilt(f"task {task} is not built. Run `swegym tasks build {self.name} -i {task}`.")
        found = built.load(self.home(task), task)
        return found if whole else without_flaky(found)

    def _file(self, task: str) -> Path:
        try:
            return self.recipes[task]
        except KeyError:
            raise UnknownName.among(f"task in set {self.name!r}", task, self.ids) from None


def _set_file(path: Path) -> SetFile:
    """A set.toml, read again only when it has changed: a generated set is asked once for each of thousands of tasks."""
    return _read_set_file(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _read_set_file(path: Path, modified: int) -> SetFile:
    return read_set_file(path)


def load_task_set(name_or_folder: str | Path) -> TaskSet:
    """A task set by name, looked for in the `tasks` folders (see `swegym.paths`), or by the path of its folder.

    Raises:
        UnknownName: no such set.
        InputError: its set.toml is wrong, or includes what is not there.
    """
    return _load(name_or_folder, ())


def _load(name_or_folder: str | Path, including: tuple[Path, ...]) -> TaskSet:
    folder = _find(name_or_folder)
    described = read_set_file(folder / SET_FILE)
    if described.name != folder.name:
        remedy = f"Write name = {folder.name!r}, or rename the folder."
        raise InputError.at(folder / SET_FILE, "name", described.name, "must be the folder's own name", remedy)
    recipes = {file.stem: file for file in sorted(folder.glob("*.toml")) if file.name != SET_FILE}
    if described.micro is not None:
        recipes.update(dict.fromkeys(micro.ids(described), folder / SET_FILE))
    for number, entry in enumerate(described.include):
        other, _, pattern = entry.partition(":")
        place = folder.parent / other
        where = (folder / SET_FILE, f"include.{number}", entry)
        if place in (*including, folder):
            raise InputError.at(*where, "the set would include itself", "Remove it.")
        try:
            found = _load(place if place.is_dir() else other, (*including, folder)).select([pattern])
        except UnknownName as error:
            raise InputError.at(*where, str(error), "Correct it.") from None
        recipes.update(found.recipes)
    return TaskSet(described.name, described.version, described.description, recipes)


def known_task_sets() -> dict[str, Path]:
    """The sets that can be loaded by name, and where they lie."""
    found: dict[str, Path] = {}
    for folder in paths.data_folders("tasks"):
        for file in sorted(folder.glob("*/set.toml")):
            found.setdefault(file.parent.name, file.parent)
    return found


def _find(name_or_folder: str | Path) -> Path:
    if isinstance(name_or_folder, Path) or "/" in name_or_folder:
        folder = Path(name_or_folder).expanduser().absolute()
        if not (folder / SET_FILE).is_file():
            raise UnknownName(f"{folder} is no task set: it has no set.toml. Give the folder of a set, or its name.")
        return folder
    known = known_task_sets()
    if name_or_folder not in known:
        raise UnknownName.among("task set", name_or_folder, known)
    return known[name_or_folder]
