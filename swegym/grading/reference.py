"""The reference: what a task's own fix answers to the questions that can be made of its hidden tests.

Taken once for each task (`taking.py`) and kept in the store under a key over all that decides it; it never enters a
sandbox. Coverage says which tests can be asked at all. Here are also the runs that ask, and how their reports are read.

A question *tells* when the bare base answers it otherwise than the reference fix does, the answer is more than one bit,
and its test pins it (`in` or `>` do not): who makes that test pass without having fixed the code has to guess it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from swegym import paths
from swegym.errors import GraderError
from swegym.grading import replay
from swegym.grading.apply import Change
from swegym.grading.pytest_run import TestReport, run_hidden
from swegym.grading.work_tree import write_tree
from swegym.images import store
from swegym.types import Sandbox, SandboxFactory, Task

FORMAT = 23
_EXTRAS = ("_evidence", "_questions")
PATIENCE = 4  # times what the tests take, or may take: copies of them run beside each other

Answers = dict[str, dict[str, list[str]]]  # test key -> site number -> what was answered, in order


@dataclass(frozen=True, slots=True)
class Question:
    """What can be asked of one expected test."""

    key: str  # the test whatever its parameters are called (`_questions.key_of`)
    seals: Mapping[str, Any] = field(default_factory=dict)  # site -> its check, and `answers` of the reference fix
    calls: Mapping[str, str] = field(default_factory=dict)  # site -> the reference fix's answer
    twins: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # site -> the twins that the reference fix fails
    altered: tuple[str, ...] = ()  # ways of changing the files that it compares with, by which its assertions fail
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
        return bool(self.seals or self.calls or self.twins or self.altered)


@dataclass(frozen=True, slots=True)
class Reference:
    """All questions of a task, by test id, and what the reference fix itself does to the test machinery."""

    questions: Mapping[str, Question]
    evidence: tuple[str, ...] = ()
    problem: str = ""  # why there are no questions
    goldens: tuple[str, ...] = ()  # other files that its hidden tests read themselves, and no code beside them
    compared: Mapping[str, bytes] = field(default_factory=dict)  # of these and hidden files those that tests read

    def coverage(self, tests: Collection[str]) -> dict[str, int]:
        """How many of `tests` have each kind of question."""
        found = [self.questions[test] for test in tests if test in self.questions]
        return {
            "tests": len(tests),
            "seals": sum(bool(question.seals) for question in found),
            "replay": sum(bool(question.calls) for question in found),
            "twins": sum(bool(question.twins) for question in found),
            "goldens": sum(bool(question.altered) for question in found),
            "tells": sum(question.tells for question in found),
            "one bit": sum(
                not (question.tells or question.altered) and max(map(len, question.twins.values()), default=0) < 2
                for question in found
            ),
            "none": len(tests) - sum(question.covered for question in found),
        }


def known_reference(task: Task) -> Reference | None:
    """The reference of a task if it was taken before."""
    return load(place_of(task))


def patient(task: Task, seconds: float) -> Task:
    """The task with the time that a patch has to be questioned, whose tests took so long."""
    return replace(task, tests=replace(task.tests, timeout=task.tests.timeout + PATIENCE * seconds))


def gate(task: Task) -> Path:
    """A lock: held shared where a task's tests run over a patch, and alone where a patch at it is questioned.

    So no machine that is asked runs beside one that holds the answers, whatever the two could talk by.
    """
    return paths.integrity() / f"{task.digest}.gate"


def place_of(task: Task) -> Path:
    return paths.integrity() / f"{key_of(task)}.json"


def load(place: Path) -> Reference | None:
    try:
        row = json.loads(place.read_bytes())
        questions = {test: _question(**question) for test, question in row["questions"].items()}
        compared = {path: base64.b64decode(data) for path, data in row["compared"].items()}
        return Reference(questions, tuple(row["evidence"]), row["problem"], tuple(row["goldens"]), compared)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return None  # damaged, or of another version: taken again


def _question(twins: Mapping[str, list[int]], altered: list[str], **facts: Any) -> Question:
    return Question(twins={site: tuple(steps) for site, steps in twins.items()}, altered=tuple(altered), **facts)


def dumped(known: Reference) -> bytes:
    """As `load` reads it."""
    compared = {path: base64.b64encode(data).decode() for path, data in known.compared.items()}
    return json.dumps({**asdict(replace(known, compared={})), "compared": compared}).encode("ascii")


def key_of(task: Task) -> str:
    """A key over all that decides what the reference fix answers."""
    files = {path: hashlib.sha256(data).hexdigest() for path, data in task.hidden.files.items()}
    gold = hashlib.sha256(task.gold_patch.encode("utf-8", "surrogateescape")).hexdigest()
    setup = [list(task.tests.pythonpath), list(task.tests.plugins), dict(task.tests.ini), task.tests.timeout]
    setup += [task.tests.runner, task.tests.command]
    hidden = [files, list(task.hidden.owned), list(task.hidden.fail_to_pass), list(task.hidden.pass_to_pass)]
    return store.json_digest([FORMAT, task.base_commit, task.image.digest, setup, hidden, gold])


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
    they are equal to; with `calls_last` the calls come after the tests; with `reads` it says which files are read. A
    test that fails says by which exception.
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
    try:
        return run_hidden(sandbox, task.tests, None, run_files, workdir=task.image.workdir, extras=_EXTRAS, facts=facts)
    except GraderError as error:  # or what runs in there has left as a shell does that finds no Python
        return TestReport({}, str(error), 0.0, "lost")


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


def seconds_of(report: TestReport) -> dict[str, float]:
    """What each test took, by test key."""
    keys = {node: key for kind, node, key, _ in report.facts if kind == "key"}
    return {keys[node]: float(taken) for kind, node, _, taken in report.facts if kind == "seconds" and node in keys}
