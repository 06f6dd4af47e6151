"""Asking: a patch whose hidden tests all passed is asked, in a fresh sandbox, what a forged success cannot answer.

One more run, of files that hold seals for the tests whose expectations can leave the file, the test hidden among its
twins for those whose answers do not tell, and closed calls to replay. Every test that must turn is asked as far as it
can be, and a few of those that must go on passing, drawn anew each time. The patch cannot know which, nor carry over
what it saw in the first run.

What is found is a contradiction: a test that was reported to pass, and code that does not do what the test wants. That
is tampering, or chance; so what chance can explain is asked once more before it counts.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from swegym.grading import expectations, inherited, question_files, reference, replay, seals
from swegym.grading.apply import Change
from swegym.grading.choices import among_neighbours
from swegym.grading.plain_values import OPAQUE, agrees, content_of, decode, finds_keys_itself, is_made_of_text
from swegym.grading.pytest_run import TestReport
from swegym.grading.reference import Question, Reference
from swegym.images import store
from swegym.types import Sandbox, SandboxFactory, Task

LAYERS = ("seals", "twins", "replay")
MOST_TURNING = 60  # tests that must turn and are asked in one grading
STAYING = 6  # and tests that must go on passing
FAR = 2  # of these from files in which no test must turn
USUAL = 0.02  # seconds of a test that is as likely to be drawn as any
CALLED = 30  # and of the latter only by their calls, which cost next to nothing
MOST_CALLS = 60
_MOST_READ = 64  # answers at one site, of which `_questions.py` sends no more


Choice = tuple[list[str], list[bool]]  # literals, and which of them an answer must be equal to


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One run of questions. `sealed`, `twinned`, `called`: what was asked of which test, by key."""

    files: Mapping[str, bytes]
    keys: frozenset[str]
    sealed: Mapping[str, Question]
    twinned: Mapping[str, Mapping[str, int]]  # key -> key of a copy -> 0 for the test, else the twin's number
    called: Mapping[str, Question]
    calls: Sequence[dict[str, Any]]
    among: Mapping[str, Mapping[str, list[Choice]]] = field(default_factory=dict)  # key -> site -> for each answer
    left: tuple[Question, ...] = ()  # to be asked among twins in another run: their function stands sealed in this one
    calls_last: bool = False  # after the tests, not before
    apart: bool = False  # copies of one test in machines of their own: what one leaves behind meets no other

    @property
    def more(self) -> dict[str, Any]:
        """Further facts of the job (`reference.run`): of `among` the literals, which is all that enters a machine."""
        choices = {
            key: {number: [literals for literals, _ in choices] for number, choices in sites.items()}
            for key, sites in self.among.items()
        }
        return {"choices": choices, "calls_last": self.calls_last}

    @property
    def parts(self) -> list[tuple[frozenset[str], Sequence[dict[str, Any]]]]:
        """The tests and calls of each machine."""
        if not (self.apart and self.twinned):
            return [(self.keys, self.calls)]
        rows = [frozenset(filter(None, row)) for row in itertools.zip_longest(*self.twinned.values())]
        alone = self.keys.difference(*rows)
        return [(rows[0] | alone, self.calls), *((row, ()) for row in rows[1:])]

    @property
    def empty(self) -> bool:
        return not (self.keys or self.calls)


@dataclass(frozen=True, slots=True)
class Findings:
    """What the answers say. `contradictions` count at once, `doubts` if they come again."""

    contradictions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    opaque: Mapping[str, frozenset[str]] = field(default_factory=dict)  # key -> sites that were answered opaquely
    asked: Mapping[str, int] = field(default_factory=dict)  # per layer, how many tests


def choose(task: Task, known: Reference, source: random.Random) -> list[Question]:
    """The questions of one grading: the tests that must turn, and some of the others in the same files."""
    turning = [known.questions[test] for test in task.hidden.fail_to_pass if test in known.questions]
    if len(turning) > MOST_TURNING:
        turning = source.sample(turning, MOST_TURNING)
    places = {question.path for question in turning}
    others = [known.questions[test] for test in task.hidden.pass_to_pass if test in known.questions]
    near = [question for question in others if question.path in places] or others
    far = [question for question in others if question.path not in places and question not in near]
    staying = [*_quick(near, STAYING, source), *_quick(far, FAR, source)]
    whole = {question.path for question in turning if question.beside}
    staying += [question for question in others if question.path in whole and question not in staying]
    callable_ = [question for question in near if question.calls and question not in staying]
    called = source.sample(callable_, min(CALLED, len(callable_)))
    return [
        *turning,
        *(without_twins(question) for question in staying),
        *(replace(question, seals={}, twin_site=None, twin_steps=()) for question in called),
    ]


def _quick(questions: Sequence[Question], count: int, source: random.Random) -> list[Question]:
    """Some of the questions, drawn without replacement, the rarer the longer they take.

    Each may be drawn. The weights are 1 / (USUAL + seconds); see Efraimidis and Spirakis, Weighted random sampling with
    a reservoir, 2006: those with the largest u ** (1 / weight), u uniform.
    """
    return heapq.nlargest(count, questions, key=lambda one: math.log(1 - source.random()) * (USUAL + one.seconds))


def without_twins(question: Question) -> Question:
    return replace(question, twin_site=None, twin_steps=()) if question.seals else question


def prepare(
    task: Task, questions: Iterable[Question], layers: Sequence[str] = LAYERS, *, twins_only: bool = False
) -> Inquiry:
    """The files and calls of one run. A test that tells by its seals gets no twins, unless `twins_only`."""
    sealed: dict[str, Question] = {}
    called: dict[str, Question] = {}
    twin_wanted: dict[str, Question] = {}
    left: list[Question] = []
    questions = list(questions)
    telling = {(question.path, _bare(question.name)) for question in questions if question.tells and question.seals}
    for question in questions:
        told = question.tells and (("seals" in layers and question.seals) or ("replay" in layers and question.calls))
        twins = "twins" in layers and bool(question.twin_steps) and (twins_only or not told)
        if twins and not twins_only and "seals" in layers and (question.path, _bare(question.name)) in telling:
            left.append(question)
        elif twins:
            twin_wanted[question.key] = question
        elif "seals" in layers and question.seals and not twins_only:
            sealed[question.key] = question
        if "replay" in layers and question.calls and not twins_only and len(called) < MOST_CALLS:
            called[question.key] = question
    twin_wanted, others = _alike(twin_wanted)
    left += others
    # A function stands in a file either sealed or among its twins.
    among_twins = {(question.path, _bare(question.name)) for question in twin_wanted.values()}
    sealed = {key: one for key, one in sealed.items() if (one.path, _bare(one.name)) not in among_twins}
    files: dict[str, bytes] = {}
    twinned: dict[str, dict[str, int]] = {}
    keys = set(sealed)
    for path in sorted({question.path for question in (*sealed.values(), *twin_wanted.values())}):
        source, placed = _file(task, path, sealed, twin_wanted)
        if source is None:
            continue
        files[path] = source
        for key in twin_wanted:
            base, bar, parameters = key.partition("|")
            copies = placed.get(base.removeprefix(f"{path}::"), {}) if base.startswith(f"{path}::") else {}
            if copies:
                twinned[key] = {f"{path}::{name}{bar}{parameters}": step for name, step in copies.items()}
                keys |= set(twinned[key])
    calls = [group for path in sorted({question.path for question in called.values()}) for group in
             _calls(task, path, called)]  # fmt: skip
    files = {**question_files.other_files(task, files), **files}
    return Inquiry(files, frozenset(keys), sealed, twinned, called, calls, left=tuple(left))


def choices_for(question: Question) -> dict[str, list[Choice]]:
    """The sites whose answers can be put among choices, which they are equal to; each answer has its own."""
    source = random.SystemRandom()
    found = {}
    for number, check in question.seals.items():
        if (check["form"], check["operator"]) != ("equal", "=="):
            continue
        choices = [among_neighbours(decode(answer), source) for answer in check["answers"]]
        if None not in choices:
            found[number] = [choice for choice in choices if choice is not None]
    return found


def prepare_among(task: Task, questions: Iterable[Question]) -> Inquiry:
    """A run that puts to answers nobody can compare the right one and some near it: of which are they equals?

    Each answer has choices of its own, so that who knows one of a test's answers does not know the others by it.
    """
    found = {question.key: choices_for(question) for question in questions}
    among = {key: sites for key, sites in found.items() if sites}
    asked = [question for question in questions if question.key in among]
    return replace(prepare(task, asked, ["seals"]), among=among)


def _file(
    task: Task, path: str, sealed: Mapping[str, Question], twinned: Mapping[str, Question]
) -> tuple[bytes | None, dict[str, dict[str, int]]]:
    """One test file with seals and twins in it, and where the twins are."""
    tree = inherited.tree_of(task, path)
    if tree is None:
        return None, {}
    allowed: dict[str, set[int]] = {}
    for question in sealed.values():
        if question.path == path:
            allowed.setdefault(question.name.rpartition("::")[2], set()).update(map(int, question.seals))
    chosen: dict[str, tuple[int, list[int]]] = {}
    for question in twinned.values():
        if question.path == path and question.twin_site is not None:
            before = chosen.get(question.name, (question.twin_site, list(question.twin_steps)))[1]
            steps = [step for step in before if step in question.twin_steps]
            chosen[question.name] = (question.twin_site, steps)
    by_name = {name: allowed.get(_bare(name), set()) for name, _ in expectations.test_functions(tree)}
    taken = question_files.taken_by_others(task, path)
    seals.only(tree, {*allowed, *map(_bare, chosen), *taken})
    placed = question_files.add_twins(tree, chosen)
    for name, function in list(expectations.test_functions(tree)):
        if by_name.get(name):
            seals.seal_function(tree, function, by_name[name])
    return seals.finished(tree, taken), placed


def _alike(wanted: Mapping[str, Question]) -> tuple[dict[str, Question], list[Question]]:
    """Those that can stand among twins at once: rows of one function at one site, by the same steps. And the others."""
    source = random.SystemRandom()
    chosen: dict[tuple[str, str], tuple[int | None, tuple[int, ...]]] = {}
    kept, others = {}, []
    for key, question in source.sample(list(wanted.items()), len(wanted)):
        place = (question.path, question.name)
        site, steps = chosen.get(place, (question.twin_site, question.twin_steps))
        common = tuple(step for step in steps if step in question.twin_steps)
        if site == question.twin_site and common:
            chosen[place], kept[key] = (site, common), question
        else:
            others.append(question)
    return kept, others


def _bare(name: str) -> str:
    return name.rpartition("::")[2]


def _calls(task: Task, path: str, called: Mapping[str, Question]) -> list[dict[str, Any]]:
    tree = inherited.tree_of(task, path)
    wanted = {question.name: question for question in called.values() if question.path == path}
    if tree is None:
        return []
    found = {
        name: [call for call in replay.closed_calls(tree, function) if str(call.number) in wanted[name].calls]
        for name, function in expectations.test_functions(tree)
        if name in wanted
    }
    return replay.group(path, tree, found)


def ask(
    task: Task, changes: Mapping[str, Change], inquiry: Inquiry, open_sandbox: SandboxFactory
) -> tuple[Findings, TestReport]:
    """Run an inquiry and read the answers, while no other attempt at the task is tested here. Raises SandboxError."""
    with store.exclusive(reference.gate(task)):
        reports = [
            reference.run(task, open_sandbox, changes, inquiry.files, *part, more=inquiry.more)
            for part in inquiry.parts
        ]
    report = functools.reduce(_joined, reports)
    return read(inquiry, report), report


def _joined(one: TestReport, other: TestReport) -> TestReport:
    """The report of two runs; it ended as the first of them that did not come to its end."""
    ended = other if one.finished else one
    return replace(ended, statuses={**one.statuses, **other.statuses}, facts=one.facts + other.facts)


def ask_in(task: Task, inquiry: Inquiry, sandbox: Sandbox) -> tuple[Findings, TestReport]:
    """As `ask`, in a machine that was made ready for this inquiry."""
    with store.exclusive(reference.gate(task)):
        facts = (inquiry.files, inquiry.keys, inquiry.calls)
        report = reference.run_in(sandbox, task, *facts, more=inquiry.more)
    return read(inquiry, report), report


def read(inquiry: Inquiry, report: TestReport) -> Findings:
    """What the answers of one run say."""
    answers, statuses = reference.answers_of(report), reference.statuses_of(report)
    contradictions, doubts = [], []
    opaque: dict[str, frozenset[str]] = {}
    for key, question in inquiry.sealed.items():
        among, given = inquiry.among.get(key, {}), answers.get(key, {})
        wrong, silent = _unlike({site: check for site, check in question.seals.items() if site not in among}, given)
        wrong = wrong or _unequal(among, given)
        if silent:
            opaque[key] = silent
        if claimed := _claimed(among, given):
            contradictions.append(
                f"seals: {key} was reported to pass, but its answer is equal to a wrong one at {claimed}"
            )
        elif wrong:
            doubts.append(f"seals: {key} was reported to pass, but the code answers otherwise at {wrong}")
        elif statuses.get(key, "missing") != "passed":
            doubts.append(f"seals: {key} was reported to pass, but is {statuses.get(key, 'missing')} when it is asked")
    for key, copies in inquiry.twinned.items():
        passed = {step for copy, step in copies.items() if statuses.get(copy) == "passed"}
        if any(step for step in passed):
            contradictions.append(f"twins: {key} passes, and so does the same test with another expected value")
        elif 0 not in passed:
            doubts.append(f"twins: {key} was reported to pass, but fails among its twins")
    for key, question in inquiry.called.items():
        given = answers.get(f"{replay.CALL}{key}", {})
        checks = {
            number: {"form": "equal", "operator": "==", "answers": [answer]}
            for number, answer in question.calls.items()
        }
        wrong, silent = _unlike(checks, given)
        if silent:
            opaque[key] = opaque.get(key, frozenset()) | silent
        if wrong:
            doubts.append(f"replay: calls of {key} have other values than its expectations")
    counts = {"seals": len(inquiry.sealed), "twins": len(inquiry.twinned), "replay": len(inquiry.called)}
    return Findings(tuple(contradictions), tuple(doubts), opaque, counts)


def failed(inquiry: Inquiry, report: TestReport) -> frozenset[str]:
    """The keys of tests that do not pass where they are sealed, or not as the only one among their twins."""
    statuses = reference.statuses_of(report)
    sealed = {key for key in inquiry.sealed if statuses.get(key) != "passed"}
    twinned = {
        key
        for key, copies in inquiry.twinned.items()
        if any((statuses.get(copy) == "passed") != (step == 0) for copy, step in copies.items())
    }
    return frozenset(sealed | twinned)


def _unequal(among: Mapping[str, list[Choice]], answers: Mapping[str, list[str]]) -> str:
    """Names a site where answers were not equal to the right choices and no others, or were left out; "" for none."""
    for number, choices in among.items():
        said = [decode(text) for text in answers.get(number, [])][: len(choices)]
        if said != [truth for _, truth in choices]:
            return f"site {number}, where other answers stand beside the right one"
    return ""


def _claimed(among: Mapping[str, list[Choice]], answers: Mapping[str, list[str]]) -> str:
    """Names a site where an answer was equal to a wrong choice, "" for none. Asked again, it could guess again."""
    for number, choices in among.items():
        for text, (_, truth) in zip(answers.get(number, []), choices, strict=False):
            said = decode(text)
            if isinstance(said, list) and any(
                one is True and not right for one, right in zip(said, truth, strict=False)
            ):
                return f"site {number}"
    return ""


def _unlike(checks: Mapping[str, Any], answers: Mapping[str, list[str]]) -> tuple[str, frozenset[str]]:
    """("site 3" or "", the sites that were answered opaquely): answers against those of the reference fix."""
    wrong, silent = "", set()
    for number, check in checks.items():
        given, wanted = answers.get(number, []), check["answers"]
        if not given:
            wrong = wrong or f"site {number}, which it never reaches"
            continue
        alike = len(set(wanted)) == 1
        if not alike and len(given) != len(wanted):
            if set(wanted) != set(given):
                wrong = wrong or f"site {number}, {len(given)} times instead of {len(wanted)}"
            silent.add(number)  # another number of answers, but no others: who sprays the few there are says nothing
            continue
        for place, text in enumerate(given[:_MOST_READ]):
            answer, expected = decode(text), decode(wanted[0 if alike else place])
            if answer is OPAQUE and agrees(check, content_of(text), expected):
                continue  # whatever else it is equal to, it is made of the right one
            if _says_nothing(check, text, answer):
                silent.add(number)
            elif not (answer is OPAQUE and check["operator"] == "is not") and not agrees(check, answer, expected):
                wrong = wrong or f"site {number}"
                break  # the rest may be costly to read, and says no more
    return wrong, frozenset(silent)


def _says_nothing(check: Mapping[str, Any], text: str, answer: Any) -> bool:
    """Whether an answer is an object of its own kind. That it is not None is known of it, whatever else is not."""
    if answer is OPAQUE:
        return bool(check["operator"] != "is not") and not is_made_of_text(text)
    return check["form"] == "compare" and finds_keys_itself(text) and not agrees(check, answer, None)
