"""A task made by hand: one real commit of a two-file package, a fix, and hidden tests."""

import dataclasses
import difflib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from swegym.types import HiddenTests, Image, Task, TestSetup

SHAPES = '''\
"""Shapes."""

SIDES = {"square": 4}


def area(width, height=1):
    """The area."""
    if width < 0:
        raise ValueError(width)
    return width + height


class Box:
    def __init__(self, items):
        self.items = items

    def first(self):
        for item in self.items:
            return item
        return None

    def empty(self):
        return len(self.items) == 1
'''
HIDDEN = b"""\
from shapes import area


def test_area_is_a_product():
    assert area(3, 4) == 12 and area(5, 6) == 30


def test_negative_width():
    assert True
"""


@pytest.fixture
def base_files() -> dict[str, str]:
    return {"shapes.py": SHAPES, "other.py": "def twice(x):\n    return 2 * x\n"}


@pytest.fixture
def make_task(tmp_path: Path, base_files: dict[str, str]) -> Callable[..., Task]:
    """make_task(path, old, new, ...): the task whose fix makes these replacements in the base version."""

    def make(*replacements: tuple[str, str, str], hidden: HiddenTests | None = None) -> Task:
        repository = tmp_path / "repository"
        repository.mkdir()
        for name, text in base_files.items():
            (repository / name).write_text(text)
        variables = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

        def git(*arguments: str) -> str:
            identity = ["-c", "user.name=base", "-c", "user.email=base@example.invalid"]
            command = ["git", *identity, "-C", str(repository), *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True, env=variables).stdout.strip()

        git("init", "-q")
        git("add", ".")
        git("commit", "-q", "-m", "base")
        commit = git("rev-parse", "HEAD")

        return Task(
            id="shapes-1",
            set="made",
            repo="shapes 1",
            issue="area is wrong",
            image=Image("d", "fake"),
            tests=TestSetup(visible=("tests",)),
            hidden=hidden
            or HiddenTests(
                {"tests/test_shapes.py": HIDDEN},
                ("tests",),
                ("tests/test_shapes.py::test_area_is_a_product",),
                ("tests/test_shapes.py::test_negative_width",),
            ),
            gold_patch=patch(base_files, *replacements),
            pristine=repository / ".git",
            base_commit=commit,
            source=("shapes.py", "other.py"),
            digest="digest",
        )

    return make


def patch(files: dict[str, str], *replacements: tuple[str, str, str]) -> str:
    changed = dict(files)
    for path, old, new in replacements:
        assert path not in files or old in changed[path]
        changed[path] = changed[path].replace(old, new, 1) if path in files else new
    pieces = []
    for path in sorted(changed):
        before = files.get(path, "")
        if before == changed[path]:
            continue
        source = f"a/{path}" if path in files else "/dev/null"
        lines = difflib.unified_diff(
            before.splitlines(keepends=True), changed[path].splitlines(keepends=True), source, f"b/{path}"
        )
        pieces.append(f"diff --git a/{path} b/{path}\n" + "".join(lines))
    return "".join(pieces)


@pytest.fixture
def make_patch(base_files: dict[str, str]) -> Callable[..., str]:
    return lambda *replacements: patch(base_files, *replacements)


@pytest.fixture
def product(make_task: Callable[..., Task]) -> Task:
    return make_task(("shapes.py", "return width + height", "return width * height"))


def with_gold(task: Task, gold: str) -> Task:
    return dataclasses.replace(task, gold_patch=gold)
