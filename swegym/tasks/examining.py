"""Examining: which mutations of a release make good tasks, as its own tests tell.

A mutation is kept if at least two test functions notice it, so that either half of the split has one; if it does not
break much of the suite or run out of time; and if the visible half, with the hidden tests cut out, says just what it
said as part of the whole. First the tests that reach the edited line run, which most mutations do not survive; what is
left meets the whole suite and the visible half.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from swegym.errors import TaskError
from swegym.tasks import bug_report, split
from swegym.tasks.mining import Baseline, Project, files_of, grouped, suspicion, tests_at
from swegym.tasks.mutation import Mutation, changes_code, splice, takes_effect
from swegym.tasks.recipe import MutantRecipe
from swegym.tasks.split import Suite
from swegym.tasks.trials import Outcome, Trial, run_trials
from swegym.types import SandboxFactory

MOST_BROKEN = 0.4  # of all tests; a mutation that breaks more is no puzzle
_MOST_CALLS = 60
_MISSING_NAME = ("NameError", "UnboundLocalError")


@dataclass(frozen=True, slots=True)
class Mined:
    """A mutation that makes a task."""

    recipe: MutantRecipe
    rank: int  # of the edited statement among all, by Ochiai on the visible tests; ties count against it
    lines: int  # that failing visible tests reach


@dataclass(frozen=True, slots=True)
class _Noticed:
    """A mutation that some tests notice, and how the suite is split for it."""

    path: str
    mutation: Mutation
    edited: bytes
    failing: frozenset[str]
    hidden: frozenset[str]  # test functions
    visible: frozenset[str]  # tests
    rank: int
    statements: int
    calls: tuple[str, ...]

    @property
    def shown(self) -> frozenset[str]:
        return self.failing & self.visible


def examine(
    project: Project,
    baseline: Baseline,
    batch: Sequence[tuple[str, Mutation]],
    seed: int,
    open_sandbox: SandboxFactory,
    *,
    jobs: int = 1,
    ranks: range | None = None,
    refuse: Callable[[str, Mutation, frozenset[str]], str] = lambda path, mutation, failing: "",
) -> list[Mined | str]:
    """Try mutations, given with the path of their file. For each the task that it makes, or why it makes none.

    `refuse` is asked, in order, before the closer look: why a mutation with these failing tests is not wanted, or "".
    """
    setup = project.setup(baseline.test_files, timeout=min(project.timeout, 5.0 + 3 * baseline.seconds))
    found: list[Mined | str | _Noticed] = [_first_look(baseline, path, mutation) for path, mutation in batch]
    places = [number for number, one in enumerate(found) if not one]
    trials = [_near(baseline, *batch[number]) for number in places]
    for number, outcome in zip(places, run_trials(baseline.image, setup, trials, open_sandbox, jobs), strict=True):
        noticed = _notice(baseline, *batch[number], outcome, seed, ranks)
        reason = "" if isinstance(noticed, str) else refuse(*batch[number], noticed.failing)
        found[number] = reason or noticed

    left = [number for number, one in enumerate(found) if isinstance(one, _Noticed)]
    trials = [trial for number in left for trial in _closer(baseline, found[number])]
    outcomes = iter(run_trials(baseline.image, setup, trials, open_sandbox, jobs))
    for number in left:
        one = found[number]
        assert isinstance(one, _Noticed)
        found[number] = _settle(project, baseline, one, seed, *(next(outcomes) for _ in range(4)))
    return [one for one in found if not isinstance(one, _Noticed)]


def _first_look(baseline: Baseline, path: str, mutation: Mutation) -> str:
    """Why an edit is not worth running, or "" where it is."""
    data = baseline.sources[path]
    return "" if takes_effect(data, mutation) and changes_code(data, mutation) else "no effect on what runs"


def _near(baseline: Baseline, path: str, mutation: Mutation) -> Trial:
    """The tests that reach the edited line, run over the edit."""
    tests = sorted(tests_at(baseline.reached[path], mutation.line) & baseline.passing)
    return Trial({path: splice(baseline.sources[path], mutation)}, files_of(tests), tests)


def _notice(
    baseline: Baseline, path: str, mutation: Mutation, outcome: Outcome, seed: int, ranks: range | None
) -> _Noticed | str:
    tests = tests_at(baseline.reached[path], mutation.line) & baseline.passing
    if not outcome.ended:
        return "does not finish"
    failing = outcome.broken(tests)
    if not failing:
        return "not noticed"
    if len(failing) > MOST_BROKEN * len(baseline.passing):
        return f"breaks {len(failing)} of {len(baseline.passing)} tests"
    if all(message.startswith(_MISSING_NAME) for message in outcome.failed.values()):
        return "a missing name, which no test is needed to find"
    try:
        hidden = split.deal(baseline.suite.functions, {baseline.suite.owner(test) for test in failing}, seed)
    except TaskError:
        return "noticed by one test function only"
    visible = frozenset(test for test in baseline.passing if baseline.suite.owner(test) not in hidden)
    shown = failing & visible
    rank, statements = suspicion(baseline.reached, shown, path, mutation.line, visible)
    if ranks is not None and rank not in ranks:
        return f"rank {rank}"
    calls = dict.fromkeys(call for test in sorted(shown) for call in baseline.calls.get(test, ()))
    edited = splice(baseline.sources[path], mutation)
    some = tuple(calls)[:_MOST_CALLS]
    return _Noticed(path, mutation, edited, failing, hidden, visible, rank, statements, some)


def _closer(baseline: Baseline, noticed: Mined | str | _Noticed) -> list[Trial]:
    """The whole suite over the edit; the visible half; the calls over the edit, and over the release as it is."""
    assert isinstance(noticed, _Noticed)
    edit = {noticed.path: noticed.edited}
    half = {file: split.without(file, data, noticed.hidden) for file, data in baseline.test_files.items()}
    files = list(baseline.test_files)
    return [
        Trial(edit, files),
        Trial({**edit, **half}, files),
        Trial(edit, calls=noticed.calls),
        Trial({}, calls=noticed.calls),
    ]


def _settle(
    project: Project,
    baseline: Baseline,
    noticed: _Noticed,
    seed: int,
    whole: Outcome,
    half: Outcome,
    got: Outcome,
    due: Outcome,
) -> Mined | str:
    """What the closer look says."""
    if not whole.ended or not half.ended:
        return "does not finish"
    if whole.broken(baseline.passing) != noticed.failing:
        return "other tests fail in the whole suite"
    if half.broken(noticed.visible) != noticed.shown:
        return "visible tests say something else alone"
    messages = {test: half.failed.get(test) or "fails" for test in noticed.shown}
    pairs = zip(got.outcomes, due.outcomes, strict=True) if got.ended and due.ended else ()
    reproduction = bug_report.choose(
        bug_report.Reproduction(tuple(one["imports"]), one["shown"], one["result"], other["result"])
        for one, other in pairs
    )
    issue = bug_report.bug_report(project.package, project.release.version, reproduction, messages)
    if leak := _leak(issue, noticed.path, noticed.mutation, noticed.hidden, baseline.suite):
        return f"the report would name {leak}"
    return Mined(_recipe(project, baseline, noticed, seed, issue), noticed.rank, noticed.statements)


def _recipe(project: Project, baseline: Baseline, noticed: _Noticed, seed: int, issue: str) -> MutantRecipe:
    mutation = noticed.mutation
    return MutantRecipe(
        source="mutant",
        package=project.package,
        release=project.release,
        path=noticed.path,
        operator=mutation.operator,
        function=mutation.function,
        line=mutation.line,
        column=mutation.column,
        variant=mutation.variant,
        mutated_sha256=hashlib.sha256(noticed.edited).hexdigest(),
        split_seed=seed,
        rank=noticed.rank,
        statements=noticed.statements,
        issue=issue,
        source_paths=project.source_paths,
        test_paths=project.test_paths,
        pythonpath=project.pythonpath,
        requirements=project.requirements,
        plugins=project.plugins,
        ini=dict(project.ini or {}),
        timeout=project.timeout,
        fail_to_pass=grouped(noticed.failing),
        pass_to_pass=grouped(baseline.passing - noticed.failing),
    )


def _leak(issue: str, path: str, mutation: Mutation, hidden: Collection[str], suite: Suite) -> str | None:
    """What of the answer the issue gives away, if anything."""
    if re.search(rf"(?<![\w/.-]){re.escape(path)}\b", issue) or f"line {mutation.line}" in issue:
        return "the edited file or line"
    # A visible test may have the same short name as a hidden one.
    visible = {function.rpartition("::")[2] for function in suite.functions if function not in hidden}
    words = set(re.findall(r"\w+", issue))
    for function in sorted(hidden):
        name = function.rpartition("::")[2]
        if re.search(rf"{re.escape(function)}(?!\w)", issue) or (name in words and name not in visible):
            return function
    return None
