"""The tests of a generated repository, run in this process: for facts about edits that a generator made itself.

Nothing that a policy wrote may come here: there is no sandbox. What the generator's operators make loops over short
lists only and touches nothing outside itself.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

from swegym.types import Status


def statuses(files: Mapping[str, str], tests: Sequence[str]) -> dict[str, Status]:
    """The outcome of each test, by its id `path::name`."""
    spaces: dict[str, dict[str, Any]] = {}
    found: dict[str, Status] = {}
    for test in tests:
        path, _, name = test.partition("::")
        try:
            space = _run(files, path, spaces)
        except Exception:
            found[test] = "error"
            continue
        try:
            space[name]()
        except Exception:
            found[test] = "failed"
        else:
            found[test] = "passed"
    return found


def _run(files: Mapping[str, str], path: str, spaces: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The names that a file defines; other files of the repository are imported from `files`."""

    def imported(name: str, *rest: Any) -> Any:
        if name == "pytest":
            return SimpleNamespace(raises=_raises)
        module = ModuleType(name)
        vars(module).update(_run(files, f"{name}.py", spaces))
        return module

    if path not in spaces:
        space: dict[str, Any] = {"__builtins__": {**vars(builtins), "__import__": imported}}
        exec(compile(files[path], path, "exec"), space)
        spaces[path] = space
    return spaces[path]


@contextlib.contextmanager
def _raises(expected: type[Exception]) -> Iterator[None]:
    try:
        yield
    except expected:
        return
    raise AssertionError(f"{expected.__name__} was not raised")
