"""A bench: one sandbox in which parts of a change are tried, one after the other, under the later state's own tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from swegym.errors import TaskError
from swegym.tasks import hunks
from swegym.tasks.check import lay_hidden_tests
from swegym.tasks.hunks import Hunk
from swegym.types import Sandbox, SandboxFactory, Status, Task, TestSetup

PASSING = ("passed", "xfailed")


class Report(Protocol):
    """What a test run gives; see `swegym.grading.pytest_run.TestReport`."""

    @property
    def statuses(self) -> Mapping[str, Status]: ...
    @property
    def output(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def ending(self) -> str: ...
    @property
    def finished(self) -> bool: ...


class Run(Protocol):
    """Runs whole test files or folders, or single test functions by id, and reports every test."""

    def __call__(self, sandbox: Sandbox, setup: TestSetup, expected: None, paths: Sequence[str], /) -> Report: ...


class Bench:
    """A task's repository with its hidden tests laid out, and any part of the change applied."""

    def __init__(self, task: Task, tree: Path, open_sandbox: SandboxFactory, run: Run) -> None:
        self.task = task
        self.sandbox = open_sandbox(task.image)
        self._tree = tree  # the same files outside
        self._run = run
        self._changed: set[str] = set()
        lay_hidden_tests(task, self.sandbox)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sandbox.close()

    def apply(self, part: Iterable[Hunk]) -> None:
        """Make the sources what they are with exactly this part of the change."""
        wanted = hunks.patched(self._tree, part)
        for path in self._changed - wanted.keys():
            place = self._tree / path
            self._put(path, place.read_bytes() if place.is_file() else None)
        for path, data in wanted.items():
            self._put(path, data)
        self._changed = set(wanted)

    def run(self, paths: Sequence[str]) -> Report:
        """Raises TaskError when the tests do not come to their end: what did not run says nothing."""
        report = self._run(self.sandbox, self.task.tests, None, paths)
        if not report.finished:
            raise TaskError(f"its tests do not come to their end ({report.ending})")
        return report

    def _put(self, path: str, data: bytes | None) -> None:
        place = f"{self.task.image.workdir}/{path}"
        if data is None:
            self.sandbox.exec(["rm", "-f", "--", place])
        else:
            self.sandbox.write(place, data)


def function_of(test: str) -> str:
    """The id of the test function that a test belongs to: without parameters."""
    path, separator, name = test.partition("::")
    return path + separator + name.partition("[")[0]
