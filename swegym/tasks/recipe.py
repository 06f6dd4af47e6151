"""A recipe: the facts from which one task is built, and nothing else. No code of the package it is about is in it.

A task set is a folder with `set.toml` and one recipe file per task; the file's name is the task's id. `source` says
which kind of recipe it is. Test ids are grouped by test file, `"tests/test_a.py" = ["test_x", "TestCase::test_y[1]"]`,
and read as `tests/test_a.py::test_x`, which is what pytest prints.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from swegym import config
from swegym.errors import InputError
from swegym.tasks.micro_options import MicroTable, Split
from swegym.types import TestSetup

if TYPE_CHECKING:
    from swegym.tasks.row_recipe import RowRecipe

_PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")


def _inside(path: str) -> str:
    parsed = PurePosixPath(path)
    if parsed.is_absolute() or ".." in parsed.parts or str(parsed) != path or "\\" in path:
        raise ValueError('must be a plain path inside the repository, such as "src/package"')
    return path


def _pinned(requirement: str) -> str:
    if not _PINNED.fullmatch(requirement):
        raise ValueError('must be pinned exactly, such as "attrs==25.4.0"')
    return requirement


InsidePath = Annotated[str, pydantic.AfterValidator(_inside)]
Pin = Annotated[str, pydantic.AfterValidator(_pinned)]
TestNames = dict[InsidePath, tuple[str, ...]]
HunkNames = dict[InsidePath, tuple[Annotated[str, Field(pattern="^[1-9][0-9]*:[0-9a-f]{12}$")], ...]]


class Release(config.Config):
    """One source release on the package index, with the hash it must have."""

    version: str = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class _Recipe(config.Config):
    """What every kind of recipe says."""

    package: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")
    issue: str = Field(min_length=40)
    source_paths: tuple[InsidePath, ...] = Field(min_length=1)  # hold the package's own code
    test_paths: tuple[InsidePath, ...] = Field(min_length=1)  # everything under them comes from the hidden tests
    pythonpath: tuple[InsidePath, ...] = (".",)  # folders from which the package is imported
    requirements: tuple[Pin, ...] = ()  # beside pytest and coverage, with all that they need themselves
    plugins: tuple[str, ...] = ()  # pytest plugins to load
    ini: dict[str, str] = Field(default={})  # pytest ini options
    timeout: float = Field(default=120.0, gt=0)  # seconds for one whole run of the hidden tests
    silent_network: bool = False  # tests wait for private addresses that never answer; else these are refused at once
    fail_to_pass: TestNames
    pass_to_pass: TestNames

    @pydantic.model_validator(mode="after")
    def _check_tests(self) -> Self:
        failing, passing = set(expected_ids(self.fail_to_pass)), set(expected_ids(self.pass_to_pass))
        if not failing:
            raise ValueError("fail_to_pass names no test, so nothing would decide")
        if both := sorted(failing & passing):
            raise ValueError(f"{both[0]} is in fail_to_pass and in pass_to_pass")
        for path in (*self.fail_to_pass, *self.pass_to_pass):
            if not any(is_under(path, folder) for folder in self.test_paths):
                raise ValueError(f"{path} holds expected tests but is not under test_paths {list(self.test_paths)}")
        return self

    def setup(self, visible: tuple[str, ...] = ()) -> TestSetup:
        return TestSetup(visible or self.test_paths, self.pythonpath, self.plugins, dict(self.ini), self.timeout)


class PyPIRecipe(_Recipe):
    """A release with a bug and the release that fixes it."""

    source: Literal["pypi"]
    buggy: Release
    fixed: Release
    gold_paths: tuple[InsidePath, ...] = ()  # parts of source_paths that make up the reference fix; empty: all of them
    gold_hunks: HunkNames = Field(default={})  # only these of the difference (see `swegym.tasks.hunks`); empty: all

    @property
    def version(self) -> str:
        """The version that the repository is at."""
        return self.buggy.version


class GitRecipe(_Recipe):
    """Two commits of a local clone: the state with a bug, and the one that fixes it."""

    source: Literal["git"]
    clone: str = Field(min_length=1)  # folder of the clone on this machine
    base: str = Field(pattern="^[0-9a-f]{40}$")
    fix: str = Field(pattern="^[0-9a-f]{40}$")
    gold_hunks: HunkNames = Field(default={})  # only these of the difference (see `swegym.tasks.hunks`); empty: all

    @property
    def version(self) -> str:
        """The version that the repository is at, as packaging tools write a commit."""
        return f"0+g{self.base[:12]}"


class MutantRecipe(_Recipe):
    """A release with one bug injected: an edit named by its operator and place (see `swegym.tasks.mutation`)."""

    source: Literal["mutant"]
    release: Release
    path: InsidePath
    operator: str
    function: str
    line: int = Field(ge=1)
    column: int = Field(ge=0)
    variant: int = Field(default=0, ge=0)
    mutated_sha256: str = Field(pattern="^[0-9a-f]{64}$")  # of the file after the edit
    split_seed: int = 0  # deals the test functions into a visible and a hidden half (see `swegym.tasks.split`)
    # Of the edited statement among those that failing visible tests reach, by how much they point at it.
    rank: int | None = Field(default=None, ge=1)
    statements: int | None = Field(default=None, ge=1)

    @property
    def version(self) -> str:
        """The version that the repository is at."""
        return self.release.version

    @property
    def difficulty(self) -> Literal["easy", "medium", "hard"] | None:
        """How hard the place is to find: among the first 5 suspects, the first 25, or further down."""
        if self.rank is None:
            return None
        return "easy" if self.rank <= 5 else "medium" if self.rank <= 25 else "hard"


class BaitTable(config.Config):
    """What a honeypot's recipe says of its bait (see `swegym.types.Bait`)."""

    unsolvable: bool = False
    untouched: tuple[str, ...] = ()
    canaries: dict[str, Annotated[str, Field(min_length=12)]] = Field(default={})  # shorter ones occur by chance


class InlineRecipe(_Recipe):
    """A repository written out in the recipe: for tasks of our own making, such as honeypots and fixtures."""

    source: Literal["inline"]
    version: str = Field(default="1.0", min_length=1)
    files: dict[InsidePath, str]  # the repository, by path
    fixed: dict[InsidePath, str]  # what the reference fix changes of it, and the hidden tests
    bait: BaitTable | None = None


Recipe = PyPIRecipe | MutantRecipe | InlineRecipe | GitRecipe


class SetFile(config.Config):
    """What `set.toml` says of a task set."""

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]*$")
    version: str
    description: str
    include: tuple[Annotated[str, Field(pattern="^[a-z0-9-]+:.+$")], ...] = ()  # "SET:GLOB": tasks of other sets
    splits: dict[Split, tuple[str, ...]] = Field(default={})  # packages by split; what none names is for training
    micro: MicroTable | None = None  # the set's tasks are generated (see `swegym.tasks.micro_options`)

    @pydantic.model_validator(mode="after")
    def _check_splits(self) -> Self:
        seen: dict[str, str] = {}
        for split, packages in self.splits.items():
            for package in packages:
                if package in seen:
                    raise ValueError(f"splits: {package} is in {seen[package]} and in {split}; it must be in one")
                seen[package] = split
        return self

    def split_of(self, package: str) -> Split:
        return next((split for split, packages in self.splits.items() if package in packages), "train")


def read_recipe(path: Path) -> Recipe | RowRecipe:
    """Read and check one recipe file; what is wrong with it is an `InputError` that names file, field and value."""
    data = config.read_toml(path)
    kinds: dict[Any, type[PyPIRecipe] | type[MutantRecipe] | type[InlineRecipe] | type[GitRecipe]] = {
        "git": GitRecipe,
        "pypi": PyPIRecipe,
        "mutant": MutantRecipe,
        "inline": InlineRecipe,
    }
    kind = data.get("source")
    if kind == "row":
        from swegym.tasks.row_recipe import RowRecipe

        return config.validate(RowRecipe, data, path)
    if not isinstance(kind, str) or kind not in kinds:
        known = ", ".join([*kinds, "row"])
        raise InputError.at(path, "source", kind, "no such kind of recipe", f"Use one of: {known}.")
    if kind == "mutant":
        from swegym.tasks import release_file

        data = release_file.expanded(data, path)
    return config.validate(kinds[kind], data, path)


def read_set_file(path: Path) -> SetFile:
    return config.load(SetFile, path)


def expected_ids(names: TestNames) -> tuple[str, ...]:
    """The ids as pytest prints them, in the recipe's order."""
    return tuple(f"{path}::{name}" for path, tests in names.items() for name in tests)


def is_under(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it; both as plain paths inside the repository."""
    return folder == "." or path == folder or path.startswith(folder + "/")
