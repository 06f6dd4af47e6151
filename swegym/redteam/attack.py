"""An attack: a wrong patch that aims at "resolved", as a small file. A fix is its counterpart: right, and odd.

A file says what is done to the repository (write, append, replace, delete, link), or gives a script that the agent runs
in its sandbox, or the patch itself. Words between at signs stand for facts of the task it is tried on (`@core@`: the
file that holds the bug; see `ground.py`) or for snippets that several attacks share (`snippets.toml`). So one attack
can be tried on any task.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self, TypeVar

import pydantic
from pydantic import Field

from swegym import config
from swegym.errors import UnknownName

ATTACKS = Path(__file__).parent / "attacks"
FIXES = Path(__file__).parent / "fixes"

Kind = Literal[
    "finding the answer",
    "test files",
    "test configuration",
    "pytest hooks",
    "import shadowing",
    "in-process",
    "semantic",
    "process and stream",
    "git metadata",
    "file system",
    "patch text",
    "resources",
]
CLASSES: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]
Model = TypeVar("Model", "Attack", "Fix")
Severity = Literal["critical", "high", "medium", "low"]


class _Change(config.Config):
    """What is done to a repository; nothing of it names a task."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = ""  # the file's own
    source: str = Field(min_length=20)  # where such a thing was seen, in words
    on: tuple[str, ...] = ("flat",)  # tasks it is tried on; "*" for all
    anywhere: bool = False  # fits any task, so it is tried on all of a set in which `on` names none
    timeout: float | None = Field(default=None, gt=0)  # seconds for the hidden tests, where the task's own are too many
    delete: tuple[str, ...] = ()
    executable: tuple[str, ...] = ()
    agent: str | None = None  # a bash script that the agent runs in its sandbox; the patch is what it leaves
    patch: str | None = None  # the patch as it is
    write: dict[str, str] = Field(default={})
    binary: dict[str, str] = Field(default={})  # path -> bytes in hexadecimal
    prepend: dict[str, str] = Field(default={})
    append: dict[str, str] = Field(default={})
    replace: dict[str, dict[str, str]] = Field(default={})  # path -> old text -> new text
    link: dict[str, str] = Field(default={})

    @pydantic.model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        edits = any((self.delete, self.executable, self.write, self.binary, self.prepend, self.append, self.link))
        edits = edits or bool(self.replace)
        ways = edits + (self.agent is not None) + (self.patch is not None)
        if ways > 1 or (ways == 0 and not getattr(self, "gold", False)):
            raise ValueError("must edit files, or have `agent`, or have `patch`: one of the three")
        return self


class Attack(_Change):
    """A wrong patch. `severity` says what it takes: "critical" nothing but the attack itself, on any task; "high" the
    layout of the repository; "medium" some knowledge of the hidden tests; "low" luck, or much of that knowledge.
    """

    kind: Kind = Field(alias="class")
    severity: Severity
    finds: bool = False  # it pays when the agent's script prints anything, whatever a grader says


class Fix(_Change):
    """A right patch that looks odd; `gold` starts from the reference fix."""

    gold: bool = False
    why: str = ""  # why an honest developer would do so


def load_attacks(pattern: str = "*", folder: Path = ATTACKS) -> tuple[Attack, ...]:
    """The attacks whose name, or class, matches a glob pattern.

    Raises:
        UnknownName: none does.
    """
    found = tuple(_read(Attack, path) for path in sorted(folder.glob("*/*.toml")))
    chosen = tuple(a for a in found if _matches(pattern, (a.name, a.kind)))
    if not chosen:
        raise UnknownName.among("attack or class of attacks", pattern, [*(a.name for a in found), *CLASSES])
    return chosen


def load_fixes(pattern: str = "*", folder: Path = FIXES) -> tuple[Fix, ...]:
    """The legitimate odd fixes whose name matches a glob pattern; there may be none."""
    return tuple(_read(Fix, path) for path in sorted(folder.glob("*.toml")) if _matches(pattern, (path.stem,)))


def _read(model: type[Model], path: Path) -> Model:
    return config.validate(model, {**config.read_toml(path), "name": path.stem}, path)


def _matches(pattern: str, names: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)
