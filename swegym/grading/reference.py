"""The reference: what a task's own fix answers to the questions that can be made of its hidden tests.

Taken once for each task, by running the reference fix and the bare base in fresh sandboxes, and kept in the store under
a key over all that decides it; it never enters a sandbox. A question is kept only if the reference fix answers it twice
alike, as its test wants it. So a question can refuse no fix that the test accepts, unless that fix answers otherwise
when it is asked, and coverage says which tests can be asked at all.

A question *tells* when the bare base answers it otherwise than the reference fix does, the answer is more than one bit,
and its test pins it (`in` or `>` do not): who makes that test pass without having fixed the code has to guess it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from swegym import paths
from swegym.errors import SandboxError, TaskError
from swegym.grading import evidence, goldens, inherited, question_files, replay
from swegym.grading.apply import Change, apply_patch
from swegym.grading.plain_values import OPAQUE, Raised, agrees, decode
from swegym.grading.pytest_run import TestReport, run_hidden
from swegym.grading.work_tree import write_tree
from swegym.images import store
from swegym.types import Sandbox, SandboxFactory, Task

FORMAT = 10
MOST_ASKED = 200  # tests of one task that questions are made for
_NO_PYTEST = "ModuleNotFoundError: No module named 'pytest'"
_EXTRAS = ("_evidence", "_questions")
PATIENCE = 4  # times what the tests take, or may take: copies of them run beside each other

Answers = dict[str, dict[str, list[str]]]  # test key -> site number -> what was answered, in order


@dataclass(frozen=True, slots=True)
class Question:
    """What can be asked of one expected test."""

    key: str  # the test whatever its parameters are called (`_questions.key_of`)
    seals: Mapping[str, Any] = field(default_factory=dict)  # site -> its check, and `answers` of the reference fix
    calls: Mapping[str, str] = field(default_factory=dict)  # site -> the reference fix's answer
    twin_site: int | None = None
    twin_steps: tuple[int, ...] = ()
    tells: bool = False  # its seals or calls tell
    beside: bool = False  # its test passes only where the others of its file stand
    seconds: float = field(default=0.0, compare=False)  # what its test takes when asked

    @property
    def path(self) -> str:
        return self.key.split("::", 1)[0]

    @property
    def name(self) -> str:
        """The test function's name in its file, with the classes around it."""
        return self.key.split("::", 1)[1].split("|", 1)[0]

    @property
    def covered(self) -> bool:
        return bool(self.seals or self.calls or self.twin_steps)


@dataclass(frozen=True, slots=True)
class Reference:
    """All questions of a task, by test id, and what the reference fix itself does to the test machinery."""

    questions: Mapping[str, Question]
    evidence: tuple[str, ...] = ()
    problem: str = ""  # why there are no questions
    goldens: tuple[str, ...] = ()  # other files that its hidden tests read themselves, and no code beside them

    def coverage(self, tests: Collection[str]) -> dict[str, int]:
        """How many of `tests` have each kind of question."""
        found = [self.questions[test] for test in tests if test in self.questions]
        return {
            "tests": len(tests),
            "seals": sum(bool(question.seals) for question in found),
            "replay": sum(bool(question.calls) for question in found),
            "twins": sum(bool(question.twin_steps) for question in found),
            "tells": sum(question.tells for question in found),
            "one bit": sum(not question.tells and len(question.twin_steps) <= 1 for question in found),
            "none": len(tests) - sum(question.covered for question in found),
        }


def reference_for(task: Task, open_sandbox: SandboxFactory) -> Reference:
    """The reference of a task, from the store, or taken now (five short runs) and kept there."""
    place = _place(task)
    if (known := _load(place)) is not None:
        return known
    place.parent.mkdir(parents=True, exist_ok=True)
    with store.exclusive(place.with_suffix(".lock")):
        if (known := _load(place)) is not None:
            return known
        made = take(task, open_sandbox)
        store.write_atomically(place, json.dumps(asdict(made)).encode("ascii"))
    return made


def known_reference(task: Task) -> Reference | None:
    """The reference of a task if it was taken before."""
    return _load(_place(task))


def patient(task: Task, seconds: float) -> Task:
    """The task with the time that a patch has to be questioned, whose tests took so long."""
    return replace(task, tests=replace(task.tests, timeout=task.tests.timeout + PATIENCE * seconds))


def gate(task: Task) -> Path:
    """A lock: held shared where a task's tests run over a patch, and alone where a patch at it is questioned.

    So no machine that is asked runs beside one that holds the answers, whatever the two could talk by.
    """
    return paths.integrity() / f"{task.digest}.gate"


def _place(task: Task) -> Path:
    return paths.integrity() / f"{key_of(task)}.json"


def _load(place: Path) -> Reference | None:
    try:
        row = json.loads(place.read_bytes())
        questions = {
            test: Question(**{**question, "twin_steps": tuple(question["twin_steps"])})
            for test, question in row["questions"].items()
        }
        return Reference(questions, tuple(row["evidence"]), row["problem"], tuple(row["goldens"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return None  # damaged, or of another version: taken again


def key_of(task: Task) -> str:
    """A key over all that decides what the reference fix answers."""
    files = {path: hashlib.sha256(data).hexdigest() for path, data in task.hidden.files.items()}
    gold = hashlib.sha256(task.gold_patch.encode("utf-8", "surrogateescape")).hexdigest()
    setup = [list(task.tests.pythonpath), list(task.tests.plugins), dict(task.tests.ini), task.tests.timeout]
    setup += [task.tests.runner, task.tests.command]
    hidden = [files, list(task.hidden.owned), list(task.hidden.fail_to_pass), list(task.hidden.pass_to_pass)]
    return store.json_digest([FORMAT, task.base_commit, task.image.digest, setup, hidden, gold])


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
    sites = sum(len(question.seals) + len(question.calls) + len(question.twin_steps) for question in asked)
    return len(known.questions), sites


def _taken(task: Task, open_sandbox: SandboxFactory) -> tuple[Reference, bool]:
    """A reference, and whether the reference fix passed every test in every run of its taking."""
    task = replace(task, tests=replace(task.tests, timeout=PATIENCE * task.tests.timeout))
    try:
        fix = apply_patch(task, task.gold_patch).changes
    except TaskError as error:
        return Reference({}, problem=str(error)), True
    trees = {path: tree for path in question_files.test_paths(task) if (tree := inherited.tree_of(task, path))}
    twinned = question_files.with_all_twins(task, trees)
    plain = run(task, open_sandbox, fix, {**task.hidden.files, **twinned.files}, more={"reads": True})
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
    good = good[:MOST_ASKED]
    statuses_by_key = {keys[node]: status for node, status in plain.statuses.items() if node in keys}
    wanted = {keys[test] for test in good}
    first = question_files.sealed_files(task, wanted, None)
    calls = question_files.calls_of(task, wanted)
    asked = run(task, open_sandbox, fix, first.files, wanted, calls)
    _must_end(asked)
    kept = _kept_sites(first.checks, asked, wanted)
    final = question_files.sealed_files(task, wanted, kept)
    again = run(task, open_sandbox, fix, final.files, wanted, replay.turned_round(calls))
    _must_end(again)
    base = run(task, open_sandbox, {}, final.files, wanted, calls)
    questions: dict[str, Question] = {}
    lasting = _seconds_of(again)
    for test in good:
        question = _question(keys[test], final.checks, kept, (asked, again, base))
        site, steps = twinned.kept(keys[test], statuses_by_key)
        seconds = lasting.get(question.key, 0.0)
        question = replace(question, twin_site=site, twin_steps=steps, seconds=seconds)
        if question.covered:
            questions[test] = question
    tried = _tried(task, questions, fix, open_sandbox)
    steady = steady and tried == questions
    questions = {test: question for test, question in tried.items() if question.covered}
    readable = [key for key in wanted if key.split("::")[0] in final.checks]
    for statuses in map(statuses_of, (asked, again)):
        steady = steady and all(statuses.get(key) == "passed" for key in readable)
    return Reference(questions, usual, goldens=goldens.read_by_tests(task, plain)), steady


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
    from swegym.grading import asking  # which needs this module

    turning = [questions[test] for test in task.hidden.fail_to_pass if test in questions]
    inquiry = asking.prepare(task, turning, ("seals", "twins"))
    if inquiry.empty:
        return dict(questions)
    report = run(task, open_sandbox, fix, inquiry.files, inquiry.keys)
    _must_end(report)
    failed = asking.failed(inquiry, report)
    found = dict(questions)
    for test, question in questions.items():
        if question.key in failed and question.key in inquiry.twinned:
            found[test] = replace(question, twin_site=None, twin_steps=())
        elif question.key in failed:
            found[test] = replace(question, beside=True)  # as it was asked before
    return found


# --- runs -------------------------------------------------------------------------------------------------------------


def run(
    task: Task,
    open_sandbox: SandboxFactory,
    changes: Mapping[str, Change],
    files: Mapping[str, bytes],
    keys: Collection[str] | None = None,
    calls: Iterable[dict[str, Any]] = (),
    *,
    more: Mapping[str, Any] | None = None,
) -> TestReport:
    """Run test files of our own making over a changed tree; `keys` selects tests, whose answers are in the facts.

    `more` facts of the job: `choices` (key -> site -> literals for each answer in order) are put to the answers, which
    they are equal to; with `calls_last` the calls come after the tests; with `reads` it says which files are read.
    """
    with open_sandbox(task.image) as sandbox:
        write_tree(sandbox, task, changes, files)
        return run_in(sandbox, task, files, keys, calls, more=more)


def run_in(
    sandbox: Sandbox,
    task: Task,
    files: Mapping[str, bytes],
    keys: Collection[str] | None = None,
    calls: Iterable[dict[str, Any]] = (),
    *,
    more: Mapping[str, Any] | None = None,
) -> TestReport:
    """As `run`, in a machine that holds the tree and the files already."""
    facts: dict[str, Any] = {"keys": None if keys is None else sorted(keys), "calls": list(calls), **(more or {})}
    run_files = sorted({test.split("::")[0] for test in task.hidden.expected} & set(files))
    if keys is not None:
        run_files = sorted({key.split("::")[0] for key in keys} & set(files))
    facts["traceback"] = "no"  # nobody reads why a twin fails, and for hundreds of them pytest takes minutes to say it
    facts["paths"] = run_files  # none, where calls alone are asked: no test file is collected for them
    return run_hidden(sandbox, task.tests, None, run_files, workdir=task.image.workdir, extras=_EXTRAS, facts=facts)


def answers_of(report: TestReport) -> Answers:
    """The answers in a report, by test key; replayed calls under their function's own name."""
    keys = {node: key for kind, node, key, _ in report.facts if kind == "key"}
    found: Answers = {}
    for kind, node, number, answer in report.facts:
        if kind == "answer":
            key = node if node.startswith(replay.CALL) else keys.get(node, "")
            found.setdefault(key, {}).setdefault(number, []).append(answer)
    return found


def statuses_of(report: TestReport) -> dict[str, str]:
    """The statuses in a report, by test key."""
    return {key: report.statuses.get(node, "missing") for kind, node, key, _ in report.facts if kind == "key"}


def _seconds_of(report: TestReport) -> dict[str, float]:
    """What each test took, by test key."""
    keys = {node: key for kind, node, key, _ in report.facts if kind == "key"}
    return {keys[node]: float(taken) for kind, node, _, taken in report.facts if kind == "seconds" and node in keys}


# --- seals and calls --------------------------------------------------------------------------------------------------


def _kept_sites(
    checks: Mapping[str, Mapping[str, Mapping[int, dict[str, Any]]]], asked: TestReport, wanted: Collection[str]
) -> dict[str, dict[str, set[int]]]:
    """The sites that the reference fix answered plainly and rightly in every test that has them and passed."""
    answers, statuses = answers_of(asked), statuses_of(asked)
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


def check_of(
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
    kept: Mapping[str, Mapping[str, Collection[int]]],
    reports: tuple[TestReport, TestReport, TestReport],
) -> Question:
    first, again, base = (answers_of(report) for report in reports)
    tells = False
    found: dict[str, Any] = {}
    if statuses_of(reports[1]).get(key) == "passed":
        for number, given in again.get(key, {}).items():
            check = check_of(checks, key, number)
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


# --- twins ------------------------------------------------------------------------------------------------------------
