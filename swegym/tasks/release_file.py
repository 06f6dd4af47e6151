"""A release file: what the mutants of one release share, written once: where things lie, needs of tests, which pass.

A mutant's recipe then says only what is its own, and names the file by `facts` and its hash by `facts_sha256`. It lies
below the set's folder, in `releases/`, so that it is not taken for a recipe. `swegym tasks mutate` writes it, and takes
one as a package to go on with.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from swegym import config
from swegym.errors import InputError
from swegym.tasks.recipe import InsidePath, Pin, Release, TestNames

FOLDER = "releases"


class ReleaseFile(config.Config):
    """The facts of one release."""

    package: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")
    release: Release
    source_paths: tuple[InsidePath, ...] = Field(min_length=1)
    test_paths: tuple[InsidePath, ...] = Field(min_length=1)
    pythonpath: tuple[InsidePath, ...] = (".",)
    requirements: tuple[Pin, ...] = ()
    plugins: tuple[str, ...] = ()
    ini: dict[str, str] = Field(default={})
    timeout: float = Field(default=60.0, gt=0)
    passing: TestNames  # every test that passes on the release as it is, twice

    @property
    def stem(self) -> str:
        return f"{self.package}-{self.release.version}"


def read(path: Path) -> ReleaseFile:
    return config.load(ReleaseFile, path)


def expanded(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The fields of a mutant's recipe with those of its release file filled in; what it says itself counts.

    Raises:
        InputError: there is no such file, or its hash is another one.
    """
    if "facts" not in data:
        return dict(data)
    own = {name: value for name, value in data.items() if name not in ("facts", "facts_sha256")}
    facts, expected = data["facts"], data.get("facts_sha256")
    if not isinstance(facts, str) or facts.startswith("/") or ".." in facts.split("/"):
        raise InputError.at(path, "facts", facts, "must be a path below the recipe's folder", "Correct it.")
    place = path.parent / facts
    try:
        actual = hashlib.sha256(place.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise InputError.at(path, "facts", facts, "no such file", "Correct the path.") from None
    if actual != expected:
        remedy = "If the change is meant, mine the task again."
        raise InputError.at(path, "facts_sha256", expected, f"{facts} has the sha256 {actual}", remedy)
    shared = _parsed(place, actual)
    failing = {(file, test) for file, tests in own.get("fail_to_pass", {}).items() for test in tests}
    kept = {
        file: tuple(test for test in tests if (file, test) not in failing) for file, tests in shared.passing.items()
    }
    common = {name: getattr(shared, name) for name in ReleaseFile.model_fields if name != "passing"}
    return {**common, "pass_to_pass": {file: tests for file, tests in kept.items() if tests}, **own}


@functools.lru_cache(maxsize=32)
def _parsed(place: Path, sha256: str) -> ReleaseFile:
    return read(place)
