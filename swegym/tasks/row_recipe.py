"""Row recipes: one published row of the SWE-bench family, whatever its first shape was, as a task of a set.

The tests that decide are listed by the names that the row's log parser gives them; how these become tests that can be
run is for the builder to find out. `[build]` holds what a person adds where the project's own files do not say enough.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from swegym import config
from swegym.tasks.recipe import InsidePath, TestNames

Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]


def _date(text: str) -> str:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError('must be a day, such as "2021-06-30"') from None
    return text


def _image(text: str) -> str:
    if not text.startswith(("docker://", "oci:")) and not text.endswith(".tar"):
        raise ValueError('must be "docker://REFERENCE", "oci:FOLDER" or the path of a .tar')
    return text


class BuildOptions(config.Config):
    """How a row's repository is installed and its tests are run; what is left out is found out or left at its default.

    A relative path lies in the repository.
    """

    base: str | None = None  # a base image by name; its own Python is used
    image: Annotated[str, pydantic.AfterValidator(_image)] | None = None  # all is taken from it, nothing installed
    activate: str | None = None  # shell lines that make the image's environment the one that is used
    python: Annotated[str, Field(pattern=r"^\d+\.\d+$")] | None = None
    date: Annotated[str, pydantic.AfterValidator(_date)] | None = None  # packages are taken as of this day
    install: Literal["editable", "develop", "none"] | None = None  # "develop": setup.py's own, for Python 3.6
    extras: tuple[str, ...] | None = None  # of the project itself
    requirement_files: tuple[InsidePath, ...] | None = None
    requirements: tuple[str, ...] = ()  # more, as pip writes them
    newest: dict[str, str] = Field(default={})  # package -> day: taken as of that day instead
    build_isolation: bool = True
    version: str | None = None  # what the project is told that its version is, where it asks version control
    commands: tuple[str, ...] = ()  # shell lines after the installation, in the repository
    runner: Literal["pytest", "command"] | None = None
    command: str | None = None  # how the tests are run; {files} stands for the test files
    parser: str | None = None
    plugins: tuple[str, ...] | None = None
    environment: dict[str, str] = Field(default={})
    source: tuple[InsidePath, ...] | None = None
    visible: tuple[InsidePath, ...] | None = None
    timeout: float = Field(default=900.0, gt=0)
    silent_network: bool = False  # tests wait for private addresses that never answer; else these are refused at once


class RowRecipe(config.Config):
    """One row. `failing` and `passing` are its FAIL_TO_PASS and PASS_TO_PASS."""

    source: Literal["row"]
    origin: str  # the shape it came in
    package: Repository  # owner/name
    version: str = ""
    base_commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}\^?$")]  # with "^": its parent
    created: str = ""
    issue: str = Field(min_length=1)
    patch: str = Field(min_length=1)
    test_patch: str = ""
    setup_patch: str = ""  # laid over the base commit first: a bug that was made
    test_files: dict[InsidePath, str] = Field(default={})  # hidden tests that are no patch
    failing: tuple[str, ...] = Field(min_length=1)
    passing: tuple[str, ...] = ()
    only_failures: bool = False  # the log names no test that passed
    image: str | None = None  # the published one; the official harness needs it, the builder does not
    command: str | None = None  # of the row's own evaluation script
    parser: str | None = None
    activate: str = ""  # likewise: what it activates the environment with
    build: BuildOptions = BuildOptions()

    @property
    def fail_to_pass(self) -> TestNames:
        return {"": self.failing}

    @property
    def pass_to_pass(self) -> TestNames:
        return {"": self.passing}
