"""Taking a reference: the reference fix and the bare base are asked all that can be, in fresh sandboxes.

A question is kept only if the reference fix answers it twice alike, as its test wants it, and where a patch would meet
it. So a question can refuse no fix that the test accepts, unless that fix answers otherwise when it is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from swegym.errors import SandboxError, TaskError
from swegym.grading import (
    asking,
    crowded,
    evidence,
    golden_twins,
    goldens,
    inherited,
    inquiries,
    question_files,
    reference,
    replay,
)
from swegym.grading.apply import Change, apply_patch
from swegym.grading.plain_values import OPAQUE, Raised, agrees, decode
from swegym.grading.pytest_run import TestReport
from swegym.grading.reference import Question, Reference
from swegym.images import store
from swegym.types import SandboxFactory, Task

MOST_ASKED = 200  # tests of one task that questions are made for
_NO_PYTEST = "ModuleNotFoundError: No module named 'pytest'"


def reference_for(task: Task, open_sandbox: SandboxFactory) -> Reference:
    """The reference of a task, from the store, or taken now (five or six short runs) and kept there."""
    place = reference.place_of(task)
    if (known := reference.load(place)) is not None:
        return known
    place.parent.mkdir(parents=True, exist_ok=True)
    with store.exclusive(place.with_suffix(".lock")):
        if (known := reference.load(place)) is not None:
            return known
        made = take(task, open_sandbox)
        store.write_atomically(place, reference.dumped(made))
    return made


def take(task: Task, open_sandbox: SandboxFactory) -> Reference:
    """Ask the reference fix and the base. A fix that fails its tests has no questions.

    A task that seems to have few questions pays whoever forges. So where the fix failed a test in any of the runs, as
    on a host that has no memory or processes left, all is taken once more, and what asks more is kept.

    Raises SandboxError: a machine failed, or the reference fix did not come to an end, as on a busy host. That is kept
    for nobody.
    """
    if task.tests.runner != "pytest":
        return Reference({}, problem=f"its tests are run by a {task.tests.runner}, and none is one that pytest can run")
    first, steady = _taken(task, open_sandbox)
    if steady:
        return first
    again, _ = _taken(task, open_sandbox)
    return max(first, again, key=_extent)


def _extent(known: Reference) -> tuple[int, int]:
    """How much can be asked: tests, and sites."""
    asked = known.questions.values()
    sites = sum(len(one.seals) + len(one.calls) + len(one.twins) + bool(one.altered) for one in asked)
    return len(known.questions), sites


def _taken(task: Task, open_sandbox: SandboxFactory) -> tuple[Reference, bool]:
    """A reference, and whether the reference fix passed every test in every run of its taking."""
    task = replace(task, tests=replace(task.tests, timeout=reference.PATIENCE * task.tests.timeout))
    try:
        fix = apply_patch(task, task.gold_patch).changes
    except TaskError as error:
        return Reference({}, problem=str(error)), True
    twinned, plain = _with_twins(task, fix, open_sandbox)
    if plain.ending == "early" and _NO_PYTEST in plain.output:
        return Reference({}, problem="pytest, which would ask, is not installed there"), True
    _must_end(plain)
    keys = {node: key for kind, node, key, _ in plain.facts if kind == "key"}
    good = [test for test in task.hidden.expected if plain.statuses.get(test) == "passed" and test in keys]
    usual = evidence.usual(plain.facts)
    if not good:
        return Reference({}, usual, "no expected test passes with the reference fix"), False
    listed = [test for test in task.hidden.expected if "::" in test]  # others are a command's names
    steady = all(plain.statuses.get(test) in ("passed", "xfailed") for test in listed)
    turning = question_files.some_of([test for test in good if test in task.hidden.fail_to_pass], MOST_ASKED)
    staying = [test for test in good if test not in task.hidden.fail_to_pass]
    good = turning + question_files.some_of(staying, MOST_ASKED - len(turning))
    statuses_by_key = {keys[node]: status for node, status in plain.statuses.items() if node in keys}
    wanted = {keys[test] for test in good}
    first = question_files.sealed_files(task, wanted, None)
    calls = question_files.calls_of(task, wanted)
    asked = reference.run(task, open_sandbox, fix, first.files, wanted, calls)
    _must_end(asked)
    kept = _kept_sites(first.checks, asked, wanted)
    final = question_files.sealed_files(task, wanted, kept)
    again = reference.run(task, open_sandbox, fix, final.files, wanted, replay.turned_round(calls))
    _must_end(again)
    base = reference.run(task, open_sandbox, {}, final.files, wanted, calls)
    compared = goldens.compared(task, plain)
    ways = golden_twins.ways_of(task, fix, compared, {keys[test] for test in turning}, open_sandbox)
    questions: dict[str, Question] = {}
    lasting = reference.seconds_of(again)
    for test in good:
        question = _question(keys[test], final.checks, (asked, again, base))
        failing = twinned.kept(keys[test], statuses_by_key)
        altered, seconds = ways.get(question.key, ()), lasting.get(question.key, 0.0)
        question = replace(question, twins=failing, altered=altered, seconds=seconds)
        question = _without_end(question, str(twinned.ends.get(question.key.partition("|")[0])))
        if question.covered:
            questions[test] = question
    tried = _tried(task, questions, fix, open_sandbox)
    steady = steady and tried == questions
    questions = {test: question for test, question in tried.items() if question.covered}
    readable = [key for key in wanted if key.split("::")[0] in final.checks]
    for statuses in map(reference.statuses_of, (asked, again)):
        steady = steady and all(statuses.get(key) == "passed" for key in readable)
    if not ways:
        compared = {}
    return Reference(questions, usual, goldens=goldens.of_tests(task, plain), compared=compared), steady


def _with_twins(
    task: Task, fix: Mapping[str, Change], open_sandbox: SandboxFactory
) -> tuple[question_files.Twinned, TestReport]:
    """The hidden files with all twins in them, and how the reference fix does there.

    A decorator may go by the names of tests (to open a file of that name, say), and a file of such tests cannot be
    imported with copies of them in it. It then has twins only of tests without any.
    """
    failed: Mapping[str, Collection[int]] | None = None
    undecorated: frozenset[str] = frozenset()
    while True:
        trees = {path: tree for path in question_files.test_paths(task) if (tree := inherited.tree_of(task, path))}
        failed = crowded.failed_by_the_base(task, trees, open_sandbox) if failed is None else failed
        twinned = question_files.with_all_twins(task, trees, failed, undecorated)
        files = {**task.hidden.files, **twinned.files}
        plain = reference.run(task, open_sandbox, fix, files, more={"reads": True})
        there = {test.split("::")[0] for test in plain.statuses.keys() & set(task.hidden.expected)}
        broken = twinned.files.keys() - there - undecorated
        if not plain.finished or not broken:
            return twinned, plain
        undecorated |= broken


def _without_end(question: Question, end: str) -> Question:
    """What is asked of a test whose helper can be told another expectation: that it ends says nothing beside that."""
    twins = {site: steps for site, steps in question.twins.items() if site != end}
    seals = {site: check for site, check in question.seals.items() if site != end}
    return replace(question, twins=twins, seals=seals) if twins else question


def _must_end(report: TestReport) -> None:
    if not report.finished:
        raise SandboxError(f"the reference fix was asked and did not come to an end ({report.ending}). Try again.")


def _tried(
    task: Task, questions: Mapping[str, Question], fix: Mapping[str, Change], open_sandbox: SandboxFactory
) -> dict[str, Question]:
    """The questions as far as the reference fix answers them where a patch would meet them.

    There a test stands among its twins alone, or without those before it, unless it needs them. Who fails a question
    that the reference fix fails as well is not accused, so such a one proves nothing.
    """
    turning = [questions[test] for test in task.hidden.fail_to_pass if test in questions]
    inquiry = inquiries.prepare(task, turning, ("seals", "twins"))
    if inquiry.empty:
        return dict(questions)
    report = reference.run(task, open_sandbox, fix, inquiry.files, inquiry.keys)
    _must_end(report)
    failed = asking.failed(inquiry, report)
    found = dict(questions)
    for test, question in questions.items():
        if question.key in failed and question.key in inquiry.twinned:
            found[test] = replace(question, twins={}, beside=question.tells)
        elif question.key in failed:
            found[test] = replace(question, beside=True)  # as it was asked before
    return found


# --- seals and calls --------------------------------------------------------------------------------------------------


def _kept_sites(
    checks: Mapping[str, Mapping[str, Mapping[int, dict[str, Any]]]], asked: TestReport, wanted: Collection[str]
) -> dict[str, dict[str, set[int]]]:
    """The sites that the reference fix answered plainly and rightly in every test that has them and passed."""
    answers, statuses = reference.answers_of(asked), reference.statuses_of(asked)
    kept: dict[str, dict[str, set[int]]] = {}
    for path, functions in checks.items():
        for name, found in functions.items():
            bare = name.rpartition("::")[2]
            keys = [
                key for key in wanted
                if key.startswith(f"{path}::") and key.split("|")[0].rpartition("::")[2] == bare
            ]  # fmt: skip
            passed = [key for key in keys if statuses.get(key) == "passed"]
            if not passed:
                kept.setdefault(path, {})[name] = set()
                continue
            kept.setdefault(path, {})[name] = {
                number
                for number, check in found.items()
                if not any(
                    value is OPAQUE or not agrees(check, value, value)
                    for key in passed
                    for value in map(decode, answers.get(key, {}).get(str(number), []))
                )
            }
    return kept


def _check_of(
    checks: Mapping[str, Mapping[str, Mapping[int, dict[str, Any]]]], key: str, number: str
) -> dict[str, Any] | None:
    """The check of a site, also where the test is inherited from a class of another name."""
    path, _, rest = key.partition("::")
    bare = rest.split("|", 1)[0].rpartition("::")[2]
    for name, found in checks.get(path, {}).items():
        if name.rpartition("::")[2] == bare and int(number) in found:
            return found[int(number)]
    return None


def _question(
    key: str,
    checks: Mapping[str, Mapping[str, Mapping[int, dict[str, Any]]]],
    reports: tuple[TestReport, TestReport, TestReport],
) -> Question:
    first, again, base = (reference.answers_of(report) for report in reports)
    tells = False
    found: dict[str, Any] = {}
    if reference.statuses_of(reports[1]).get(key) == "passed":
        for number, given in again.get(key, {}).items():
            check = _check_of(checks, key, number)
            if check is None or first.get(key, {}).get(number) != given:
                continue
            found[number] = {**check, "answers": given}
            pinned = check["form"] != "compare"  # a long enough answer holds every text
            tells = tells or (pinned and _tells(given, base.get(key, {}).get(number, [])))
    calls: dict[str, str] = {}
    place = f"{replay.CALL}{key}"
    for number, given in again.get(place, {}).items():
        sealed = found.get(number, {}).get("answers")
        if first.get(place, {}).get(number) == given and sealed and set(sealed) == set(given):
            calls[number] = given[0]
            tells = tells or _tells(given, base.get(place, {}).get(number, []))
    return Question(key, found, calls, tells=tells)


def _tells(given: list[str], base: list[str]) -> bool:
    values = [decode(answer) for answer in given]
    wide = any(not isinstance(value, bool) and value is not None and value is not OPAQUE for value in values)
    return wide and given != base and any(not isinstance(value, Raised) or value[0] for value in values)
