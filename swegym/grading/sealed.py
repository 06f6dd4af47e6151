"""The sealed grader: a patch, a fresh sandbox from the pristine image, hidden tests from outside, a verdict.

A test counts as passed when it passed, or failed where it is marked to fail (xfailed), as the official SWE-bench grader
does. A skipped test counts for nothing: the tests listed as passing ran and passed when the task was built, so a patch
after which one is skipped has taken it out. So does a call of pytest.xfail(), which code under test can make as well as
a test can. A test that did not report all its phases is missing, and failed.

Test configuration, hooks, shadowed modules, edited tests, forged output and early exits are excluded (see `rules.py`
and `_runner.py`). Package code shares its interpreter with pytest, so what it forges in there is asked out: a patch
whose tests all passed is questioned in another sandbox (see `strict.py`), as far as its tests can be asked; the verdict
says how far that was. A fix that only satisfies the hidden tests is not found by any of this.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from swegym.errors import GraderError, PatchError, SandboxError, TaskError
from swegym.grading import evidence, reference, strict
from swegym.grading.ahead import Ahead, core_is_idle
from swegym.grading.apply import AppliedPatch, apply_patch
from swegym.grading.listed_tests import by_pytest
from swegym.grading.pytest_run import TestReport, run_hidden
from swegym.grading.reference import Reference, gate, known_reference
from swegym.grading.taking import reference_for
from swegym.grading.work_tree import TreeRefused, write_tree
from swegym.images import store
from swegym.types import Cause, Grader, SandboxFactory, Status, Task, Verdict

_TAIL = 20_000  # characters of the tests' output that a verdict keeps
_TRIES = 2
_GOLDEN = "the hidden tests read it themselves or name it, and no code of the reference fix does"
_NOT_RUN = (2, 3, 4)  # pytest's exit codes for: interrupted, internal error, usage error (a conftest that fails, too)
_PASSING = ("passed", "xfailed")


def grade(
    task: Task,
    patch: str,
    open_sandbox: SandboxFactory,
    *,
    layers: Collection[str] = strict.LAYERS,
) -> Verdict:
    """Judge `patch`. An empty patch, or one that does not apply, is unresolved without a run.

    `layers` of `strict.LAYERS` are carried out; without any, passing tests are enough. Questions are asked when the
    machine of the tests is closed, and no other attempt at the task is tested on this host (`reference.gate`): what two
    machines can see, a lock on a file of the host's /usr for one, would carry answers over.

    A run that breaks off without an answer is tried once more in another sandbox. When there is still none, the
    reference fix is run: if that one works, the end is the patch's doing and the agent's failure; otherwise nothing is
    judged. So it is with a patched tree that cannot be written, which is tried once more after the reference fix's. A
    machine that fails twice in any other way judges nobody. What goes wrong with the task or the grader is a verdict
    too, without a judgement.
    """
    if not patch.strip():
        return Verdict(False, "agent", "empty patch")
    seconds: dict[str, float] = {}
    try:
        with _timed(seconds, "apply"):
            applied = _applied(task, patch)
        return _asked(task, applied, open_sandbox, seconds, layers)
    except PatchError as error:
        return Verdict(False, "agent", f"the patch does not apply: {error}", seconds=seconds)
    except (TaskError, GraderError) as error:
        return Verdict(None, error.cause, str(error), seconds=seconds)


def grade_unasked(task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
    """As `grade`, without any question: in-process forging is paid. For a price, and where patches are trusted."""
    return grade(task, patch, open_sandbox, layers=())


def grader_with(*layers: str) -> Grader:
    """The grader with some of the layers only."""
    return functools.partial(grade, layers=layers)


def _asked(
    task: Task,
    applied: AppliedPatch,
    open_sandbox: SandboxFactory,
    seconds: dict[str, float],
    layers: Collection[str],
) -> Verdict:
    """The verdict of the tests, and where they all passed, of the questions."""
    named = by_pytest(task) if layers else task
    known = known_reference(named) if layers else None
    if known is not None:
        applied = applied.without(known.goldens, _GOLDEN)
    if not applied.changes:
        return Verdict(False, "agent", "nothing in the patch counts", notes=applied.notes, seconds=seconds)
    if not layers:
        return _tried(task, applied, open_sandbox, seconds, ())[0]
    idle = known is not None and known.questions and core_is_idle()
    with Ahead(named, applied, known, open_sandbox, layers) if known and idle else nullcontext() as ahead:
        return _questioned(task, named, applied, open_sandbox, seconds, layers, known, ahead)


def _questioned(
    task: Task,
    named: Task,
    applied: AppliedPatch,
    open_sandbox: SandboxFactory,
    seconds: dict[str, float],
    layers: Collection[str],
    known: Reference | None,
    ahead: Ahead | None,
) -> Verdict:
    """`named` is the task with its tests by names that pytest knows; `known` the reference, if it was taken before."""
    beside = ahead.begin if ahead else None
    verdict, report = _tried(task, applied, open_sandbox, seconds, ("_evidence",), beside)
    if verdict.resolved is not True or report is None:
        return _accused(verdict, report, known)
    try:
        with _timed(seconds, "ask"):
            if known is None:
                known = reference_for(named, open_sandbox)
                if applied.without(known.goldens, _GOLDEN).changes != applied.changes:
                    return _asked(task, applied, open_sandbox, seconds, layers)
            patient, ready = reference.patient(named, report.seconds), ahead.ready() if ahead else None
            asked = strict.question(patient, applied, known, open_sandbox, layers, ready)
        settled = strict.settled(named, verdict, report.facts, known, asked, layers)
        return replace(settled, seconds=dict(seconds))
    except SandboxError as error:
        reason = f"its tests passed, but the sandbox in which it is questioned failed: {error}"
        return replace(verdict, resolved=None, cause="sandbox", reason=reason)


def _accused(verdict: Verdict, report: TestReport | None, known: Reference | None) -> Verdict:
    """A failure that also worked on its judge says so."""
    if verdict.resolved is None or report is None or known is None:
        return verdict
    return replace(verdict, tampering=tuple(evidence.found(report.facts, known.evidence)[0]))


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


def _tried(
    task: Task,
    applied: AppliedPatch,
    open_sandbox: SandboxFactory,
    seconds: dict[str, float],
    extras: tuple[str, ...],
    beside: Callable[[], None] | None = None,
) -> tuple[Verdict, TestReport | None]:
    """The verdict of the tests; `beside` is called when they begin to run."""
    for _ in range(_TRIES):
        run = _run(task, applied, open_sandbox, seconds, extras=extras, beside=beside)
        if run.report is not None:
            if verdict := _judge(task, run.report, applied.notes, seconds):
                return verdict, run.report
            if run.report.finished:
                break
    report = run.report or TestReport({}, "", 0.0, "lost")
    facts = (report.statuses, applied.notes, seconds, report.output[-_TAIL:])
    if run.report is None and not run.refused:
        return Verdict(None, "sandbox", run.trouble, *facts), None
    control = _run(task, apply_patch(task, task.gold_patch), open_sandbox, seconds, phase="control")
    if run.report is None and not _run(task, applied, open_sandbox, seconds, phase="control").refused:
        return Verdict(None, "sandbox", run.trouble, *facts), None
    if control.report is not None and not _failing(task, control.report):
        return Verdict(False, "agent", f"{run.trouble}, and not with the reference fix", *facts), None
    endings: dict[str, Cause] = {"finished": "task", "early": "task", "lost": "grader"}
    cause = "sandbox" if control.report is None else endings.get(control.report.ending, "sandbox")
    return Verdict(None, cause, f"{run.trouble}; with the reference fix: {control.trouble}", *facts), None


@dataclass(frozen=True, slots=True)
class _Run:
    report: TestReport | None = None  # None when the machine failed
    error: str = ""  # of the machine, or why no test could be begun
    refused: bool = False  # it would not take the patched tree

    @property
    def trouble(self) -> str:
        if self.report is None:
            return f"the sandbox failed: {self.error}"
        return {
            "finished": f"pytest did not run the expected tests (exit code {self.report.exit_code})",
            "early": f"pytest ended before its session did (exit code {self.report.exit_code})",
            "time": "the tests ran out of time",
            "lost": self.error or "no result came out of the sandbox",
        }.get(self.report.ending, f"the run hit the limit on {self.report.ending}")


def _run(
    task: Task,
    applied: AppliedPatch,
    open_sandbox: SandboxFactory,
    seconds: dict[str, float],
    phase: str = "",
    extras: tuple[str, ...] = (),
    beside: Callable[[], None] | None = None,
) -> _Run:
    try:
        with store.exclusive(gate(task), shared=True):
            with _timed(seconds, phase or "open"):
                sandbox = open_sandbox(task.image)
            with sandbox:
                with _timed(seconds, phase or "apply"):
                    write_tree(sandbox, task, applied.changes)
                if beside:
                    beside()
                with _timed(seconds, phase or "run"):
                    report = run_hidden(
                        sandbox, task.tests, task.hidden.expected, workdir=task.image.workdir, extras=extras
                    )
        return _Run(report)
    except GraderError as error:  # or what runs in there has left as a shell does that finds no Python
        return _Run(TestReport({}, "", 0.0, "lost"), str(error))
    except SandboxError as error:
        return _Run(error=str(error), refused=isinstance(error, TreeRefused))


def _judge(task: Task, report: TestReport, notes: tuple[str, ...], seconds: Mapping[str, float]) -> Verdict | None:
    """The verdict, or None when only missing tests stand against the patch and pytest did not end as it should."""
    failing = _failing(task, report)
    output = report.output[-_TAIL:]
    if not failing:
        reason = "all expected tests passed"
        return Verdict(True, None, reason, report.statuses, notes, dict(seconds), output, compatible=True)
    proper = report.finished and report.exit_code not in _NOT_RUN
    if not proper and set(failing.values()) == {"missing"} and "error" not in report.statuses.values():
        return None
    shown = ", ".join(f"{test} {status}" for test, status in list(failing.items())[:3])
    more = f" and {len(failing) - 3} more" if len(failing) > 3 else ""
    reason = f"{len(failing)} of {len(task.hidden.expected)} expected tests did not pass: {shown}{more}"
    facts = (report.statuses, notes, dict(seconds), output)
    return Verdict(False, "agent", reason, *facts, compatible=_compatible(task, failing))


def _compatible(task: Task, failing: Mapping[str, Status]) -> bool:
    """What the official rules say of the same run: they let a test that must go on passing be skipped."""
    return all(status == "skipped" and test in task.hidden.pass_to_pass for test, status in failing.items())


def _failing(task: Task, report: TestReport) -> dict[str, Status]:
    statuses = {test: report.statuses.get(test, "missing") for test in task.hidden.expected}
    return {test: status for test, status in statuses.items() if status not in _PASSING}


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        seconds[phase] = seconds.get(phase, 0.0) + time.monotonic() - started
