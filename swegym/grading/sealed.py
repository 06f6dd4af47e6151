"""The sealed grader: a patch, a fresh sandbox from the pristine image, hidden tests from outside, a verdict.

A test counts as passed when it passed, or failed where it is marked to fail (xfailed), as the official SWE-bench grader
does. A skipped test counts for nothing: the tests listed as passing ran and passed when the task was built, so a patch
after which one is skipped has taken it out. So does a call of pytest.xfail(), which code under test can make as well as
a test can. A test that did not report all its phases is missing, and failed.

What is excluded: test configuration, hooks, shadowed modules, edited tests, forged output, early exits (see `rules.py`
and `_runner.py`). What is not: package code that forges results inside the interpreter it shares with pytest, and
fixes that only satisfy the hidden tests. No verdict of this grader says that a patch is free of those.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from swegym.errors import GraderError, PatchError, SandboxError, TaskError
from swegym.grading.apply import AppliedPatch, Change, apply_patch
from swegym.grading.pytest_run import TestReport, run_hidden
from swegym.grading.scratch import EXECUTABLE, LINK
from swegym.types import Cause, Sandbox, SandboxFactory, Status, Task, Verdict

_TAIL = 20_000  # characters of the tests' output that a verdict keeps
_TRIES = 2
_NOT_RUN = (2, 3, 4)  # pytest's exit codes for: interrupted, internal error, usage error (a conftest that fails, too)
_PASSING = ("passed", "xfailed")


def grade(task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
    """Judge `patch`. An empty patch, or one that does not apply, is unresolved without a run.

    A run that breaks off without an answer is tried once more in another sandbox. When there is still none, the
    reference fix is run: if that one works, the end is the patch's doing and the agent's failure; otherwise nothing is
    judged. A machine that fails twice judges nobody. What goes wrong with the task or the grader is a verdict too,
    without a judgement.
    """
    if not patch.strip():
        return Verdict(False, "agent", "empty patch")
    seconds: dict[str, float] = {}
    try:
        with _timed(seconds, "apply"):
            applied = _applied(task, patch)
        if not applied.changes:
            return Verdict(False, "agent", "nothing in the patch counts", notes=applied.notes, seconds=seconds)
        return _tried(task, applied, open_sandbox, seconds)
    except PatchError as error:
        return Verdict(False, "agent", f"the patch does not apply: {error}", seconds=seconds)
    except (TaskError, GraderError) as error:
        return Verdict(None, error.cause, str(error), seconds=seconds)


def _applied(task: Task, patch: str) -> AppliedPatch:
    """The patch, applied. Git also fails when this host does, e.g. on a full disk: the reference fix tells which."""
    try:
        return apply_patch(task, patch)
    except PatchError as error:
        if error.__cause__ is None:  # refused for its size, before git saw it
            raise
        try:
            apply_patch(task, task.gold_patch)
        except PatchError as also:
            raise GraderError(f"git applies neither the patch nor the reference fix: {also}") from error
        return apply_patch(task, patch)


def _tried(task: Task, applied: AppliedPatch, open_sandbox: SandboxFactory, seconds: dict[str, float]) -> Verdict:
    for _ in range(_TRIES):
        run = _run(task, applied, open_sandbox, seconds)
        if run.report is not None:
            if verdict := _judge(task, run.report, applied.notes, seconds):
                return verdict
            if run.report.finished:
                break
    report = run.report or TestReport({}, "", 0.0, "lost")
    facts = (report.statuses, applied.notes, seconds, report.output[-_TAIL:])
    if run.report is None:
        return Verdict(None, "sandbox", run.trouble, *facts)
    control = _run(task, apply_patch(task, task.gold_patch), open_sandbox, seconds, phase="control")
    if control.report is not None and not _failing(task, control.report):
        return Verdict(False, "agent", f"{run.trouble}, and not with the reference fix", *facts)
    endings: dict[str, Cause] = {"finished": "task", "early": "task", "lost": "grader"}
    cause = "sandbox" if control.report is None else endings.get(control.report.ending, "sandbox")
    return Verdict(None, cause, f"{run.trouble}; with the reference fix: {control.trouble}", *facts)


@dataclass(frozen=True, slots=True)
class _Run:
    report: TestReport | None = None  # None when the machine failed
    error: str = ""

    @property
    def trouble(self) -> str:
        if self.report is None:
            return f"the sandbox failed: {self.error}"
        return {
            "finished": f"pytest did not run the expected tests (exit code {self.report.exit_code})",
            "early": f"pytest ended before its session did (exit code {self.report.exit_code})",
            "time": "the tests ran out of time",
            "lost": "no result came out of the sandbox",
        }.get(self.report.ending, f"the run hit the limit on {self.report.ending}")


def _run(
    task: Task,
    applied: AppliedPatch,
    open_sandbox: SandboxFactory,
    seconds: dict[str, float],
    phase: str = "",
) -> _Run:
    try:
        with _timed(seconds, phase or "open"):
            sandbox = open_sandbox(task.image)
        with sandbox:
            with _timed(seconds, phase or "apply"):
                _write_tree(sandbox, task, applied.changes)
            with _timed(seconds, phase or "run"):
                report = run_hidden(sandbox, task.tests, task.hidden.expected, workdir=task.image.workdir)
        return _Run(report)
    except SandboxError as error:
        return _Run(error=str(error))


def _judge(task: Task, report: TestReport, notes: tuple[str, ...], seconds: Mapping[str, float]) -> Verdict | None:
    """The verdict, or None when only missing tests stand against the patch and pytest did not end as it should."""
    failing = _failing(task, report)
    output = report.output[-_TAIL:]
    if not failing:
        return Verdict(True, None, "all expected tests passed", report.statuses, notes, dict(seconds), output)
    proper = report.finished and report.exit_code not in _NOT_RUN
    if not proper and set(failing.values()) == {"missing"} and "error" not in report.statuses.values():
        return None
    shown = ", ".join(f"{test} {status}" for test, status in list(failing.items())[:3])
    more = f" and {len(failing) - 3} more" if len(failing) > 3 else ""
    reason = f"{len(failing)} of {len(task.hidden.expected)} expected tests did not pass: {shown}{more}"
    return Verdict(False, "agent", reason, report.statuses, notes, dict(seconds), output)


def _failing(task: Task, report: TestReport) -> dict[str, Status]:
    statuses = {test: report.statuses.get(test, "missing") for test in task.hidden.expected}
    return {test: status for test, status in statuses.items() if status not in _PASSING}


def _write_tree(sandbox: Sandbox, task: Task, changes: Mapping[str, Change]) -> None:
    """Put the changes that count over the pristine tree, empty the owned folders, restore the hidden files."""
    files = {path: change for path, change in changes.items() if change.data is not None}
    files |= {path: Change(data) for path, data in task.hidden.files.items()}
    gone = [*(path for path, change in changes.items() if change.data is None), *task.hidden.owned, *files]
    workdir = task.image.workdir
    removal = "".join(f"./{path}\0" for path in gone).encode("utf-8", "surrogateescape")
    _must(sandbox, ["/usr/bin/xargs", "-0", "-r", "/bin/rm", "-rf", "--"], workdir, removal)
    _must(sandbox, ["/bin/tar", "-xf", "-", "--no-same-owner", "-p"], workdir, _tar(files))


def _tar(files: Mapping[str, Change]) -> bytes:
    archive = io.BytesIO()
    now = time.time()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as members:
        for path, change in sorted(files.items()):
            data = change.data or b""
            member = tarfile.TarInfo(path)
            member.mtime = now
            member.mode = 0o755 if change.mode == EXECUTABLE else 0o644
            if change.mode == LINK:
                member.type, member.linkname = tarfile.SYMTYPE, data.decode("utf-8", "surrogateescape")
                members.addfile(member)
            else:
                member.size = len(data)
                members.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def _must(sandbox: Sandbox, command: list[str], workdir: str, stdin: bytes) -> None:
    done = sandbox.exec(command, cwd=workdir, stdin=stdin, env={"PATH": "/usr/bin:/bin"}, timeout=120.0)
    if done.exit_code != 0:
        reason = done.limit or done.text.strip()[:300] or f"exit code {done.exit_code}"
        raise SandboxError(f"the patched tree could not be written ({posixpath.basename(command[0])}): {reason}")


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        seconds[phase] = seconds.get(phase, 0.0) + time.monotonic() - started
