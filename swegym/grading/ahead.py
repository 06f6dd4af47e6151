"""A machine for questions that is made ready while the tests run in theirs.

Most of what questions cost is no question: a machine, the patched tree, an interpreter, pytest. Nothing of that runs
code of the repository, so it may go on beside the tests. Only when the machine of the tests is closed does the runner
that waits get its job (a named pipe, which it removes first), and only then does code under test run. What two machines
that run at once could carry over, nobody is there to take.

It is done where a core is idle when the grading begins. It saves time and no work, and for a patch that fails its tests
it was in vain.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Collection
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

from swegym.errors import SandboxError
from swegym.grading import strict
from swegym.grading.apply import AppliedPatch
from swegym.grading.pytest_run import MARGIN, source
from swegym.grading.reference import PATIENCE, Reference
from swegym.grading.strict import Plan
from swegym.grading.work_tree import write_tree
from swegym.types import ExecResult, Sandbox, SandboxFactory, Task

# The pipe is there as soon as the runner is; were it not looked for, a file would be made in its place.
_GIVE = 'n=0; until [ -p "$1" ]; do n=$((n + 1)); [ "$n" -lt 1000 ] || exit 1; sleep 0.01; done; exec cat > "$1"'
_LOAD, _LOOKS = Path("/proc/loadavg"), 3


def core_is_idle() -> bool:
    """Whether fewer threads of this host run right now than it has cores; this one is counted. Short bursts are not."""
    for _ in range(_LOOKS):
        try:
            running = int(_LOAD.read_text().split()[3].partition("/")[0])
        except (OSError, ValueError):
            return False
        if running < len(os.sched_getaffinity(0)):
            return True
        time.sleep(0.001)
    return False


class WaitingSandbox:
    """A sandbox in which a runner has imported pytest and waits for its job; all else is the sandbox's own."""

    def __init__(self, sandbox: Sandbox, root: str, timeout: float) -> None:
        self._sandbox = sandbox
        self._pipe = f"/tmp/swegym-{secrets.token_hex(8)}"
        first = {"source": source(), "root": root, "pipe": self._pipe}
        argv = ["python", "-I", "-S", "-B", "-c", source(), "ahead"]
        given = json.dumps(first).encode("ascii")
        self._ending = _in_background(lambda: sandbox.exec(argv, cwd="/", stdin=given, timeout=timeout))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sandbox, name)

    def run_runner(self, job: bytes, timeout: float) -> ExecResult:
        """Give the runner its job and wait for its end."""
        if not self._ending.done():
            self._sandbox.exec(["/bin/sh", "-c", _GIVE, "sh", self._pipe], cwd="/", stdin=job, timeout=timeout)
        done: ExecResult = self._ending.result()
        return done


class Ahead:
    """A plan of questions and the machine that waits for them, made in the background from `begin` on.

    A context manager. Begun before the tests run, it would hold up what leads to them.
    """

    def __init__(
        self,
        task: Task,
        applied: AppliedPatch,
        known: Reference,
        open_sandbox: SandboxFactory,
        layers: Collection[str],
    ) -> None:
        self._facts = (task, applied, known, open_sandbox, layers)
        self._made: Future[Any] | None = None

    def begin(self) -> None:
        """Start making it; once, however often it is called."""
        self._made = self._made or _in_background(self._prepare)

    def _prepare(self) -> tuple[Plan, Sandbox]:
        task, applied, known, open_sandbox, layers = self._facts
        sandbox = open_sandbox(task.image)
        try:
            lasting = (3 + PATIENCE) * task.tests.timeout + 3 * MARGIN + 60  # the tests, twice, and the questions
            waiting = WaitingSandbox(sandbox, task.image.workdir, lasting)
            plan = strict.plan(task, known, layers)
            write_tree(sandbox, task, applied.changes, plan.inquiry.files)
        except BaseException:
            sandbox.close()
            raise
        return plan, cast(Sandbox, waiting)

    def ready(self) -> tuple[Plan, Sandbox] | None:
        """The plan and its machine; None where no machine could be made, or nothing was begun."""
        if self._made is None:
            return None
        try:
            made: tuple[Plan, Sandbox] = self._made.result()
        except SandboxError:
            return None
        return made

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._made is not None:
            with contextlib.suppress(Exception):  # whoever wanted it has met it
                self._made.result()[1].close()


def _in_background(work: Any) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
