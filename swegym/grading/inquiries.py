"""Inquiries: which questions one run asks of a patch, and the files and calls that ask them.

Seals for the tests whose expectations can leave the file, the test hidden among its twins where its answers do not tell
and at what cannot be asked otherwise, and closed calls to replay. Every test that must turn is asked as far as it can
be, and a few of those that must go on passing, drawn anew each time. The patch cannot know which.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from swegym.grading import expectations, inherited, question_files, replay, seals, twins
from swegym.grading.choices import among_neighbours
from swegym.grading.plain_values import decode
from swegym.grading.reference import Question, Reference
from swegym.types import Task

LAYERS = ("seals", "twins", "replay")
MOST_TURNING = 60  # tests that must turn and are asked in one grading
STAYING = 6  # and tests that must go on passing
FAR = 2  # of these from files in which no test must turn
USUAL = 0.02  # seconds of a test that is as likely to be drawn as any
MOST_COPIES = 100  # of all tests among twins in one run, where that can be had
QUICK = 0.1  # seconds of a test that may have more than the fewest
SPREADS = ((twins.SPOTS, 2), (2, 2), (2, 1))  # spots and steps of each: 27, 9, 4 copies of a test
CALLED, CALLING = 30, 0.1  # and of the latter only by their calls: as many, and about as long as these seconds
MOST_CALLS = 60


_NONE = Question("")
Choice = tuple[list[str], list[bool]]  # literals, and which of them an answer must be equal to


@dataclass(frozen=True, slots=True)
class Part:
    """What one machine is asked: tests and calls, over files that take the place of the inquiry's own.

    `mark` stands before the keys of its tests in what is read, where several machines run the same ones.
    """

    keys: frozenset[str]
    calls: Sequence[dict[str, Any]] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One run of questions. `sealed`, `twinned`, `called`: what was asked of which test, by key.

    A test among its twins is sealed in their places as far as they are the same, and its key in `sealed` is its copy's.
    """

    files: Mapping[str, bytes]
    keys: frozenset[str]
    sealed: Mapping[str, Question]
    twinned: Mapping[str, Mapping[str, int]]  # key -> key of a copy -> 0 for the test
    called: Mapping[str, Question]
    calls: Sequence[dict[str, Any]]
    among: Mapping[str, Mapping[str, list[Choice]]] = field(default_factory=dict)  # key -> site -> for each answer
    left: tuple[Question, ...] = ()  # to be asked among twins in another run: their function stands sealed in this one
    calls_last: bool = False  # after the tests, not before
    apart: bool = False  # copies of one test in machines of their own: what one leaves behind meets no other
    machines: tuple[Part, ...] = ()  # where more than one is needed anyhow

    @property
    def more(self) -> dict[str, Any]:
        """Further facts of the job (`reference.run`): of `among` the literals, which is all that enters a machine."""
        choices = {
            key: {number: [literals for literals, _ in choices] for number, choices in sites.items()}
            for key, sites in self.among.items()
        }
        return {"choices": choices, "calls_last": self.calls_last}

    @property
    def parts(self) -> Sequence[Part]:
        """What each machine is asked."""
        if self.machines:
            return self.machines
        if not (self.apart and self.twinned):
            return [Part(self.keys, self.calls)]
        rows = [frozenset(filter(None, row)) for row in itertools.zip_longest(*self.twinned.values())]
        alone = self.keys.difference(*rows)
        return [Part(rows[0] | alone, self.calls), *map(Part, rows[1:])]

    @property
    def empty(self) -> bool:
        return not (self.keys or self.calls)


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
    called = _lasting(_quick(callable_, CALLED, source), CALLING)
    return [
        *turning,
        *(without_twins(question) for question in staying),
        *(replace(question, seals={}, twins={}) for question in called),
    ]


def _quick(questions: Sequence[Question], count: int, source: random.Random) -> list[Question]:
    """Some of the questions, drawn without replacement, the rarer the longer they take.

    Each may be drawn. The weights are 1 / (USUAL + seconds); see Efraimidis and Spirakis, Weighted random sampling with
    a reservoir, 2006: those with the largest u ** (1 / weight), u uniform.
    """
    return heapq.nlargest(count, questions, key=lambda one: math.log(1 - source.random()) * (USUAL + one.seconds))


def _lasting(questions: Sequence[Question], most: float) -> list[Question]:
    """The first of the questions, and of the others those with which they take no more than so many seconds."""
    kept: list[Question] = []
    seconds = 0.0
    for question in questions:
        if not kept or seconds + question.seconds <= most:
            kept.append(question)
            seconds += question.seconds
    return kept


def without_twins(question: Question) -> Question:
    return replace(question, twins={}) if question.seals else question


def at_sites(question: Question, sites: Collection[str]) -> Question:
    """The question with its twins at some sites, or all its twins if it has none there."""
    there = {site: steps for site, steps in question.twins.items() if site in sites}
    return replace(question, twins=there or question.twins)


def prepare(
    task: Task, questions: Iterable[Question], layers: Sequence[str] = LAYERS, *, twins_only: bool = False
) -> Inquiry:
    """The files and calls of one run.

    A test that tells gets twins only at sites where it is not asked otherwise, unless `twins_only`.
    """
    questions = list(questions)
    seals_too, calls_too = ("seals" in layers and not twins_only), ("replay" in layers and not twins_only)
    telling: dict[tuple[str, str], set[str]] = {}  # function -> its sites that are asked, where that tells
    for question in questions:
        sites = {*(_telling(question) if seals_too else ()), *(question.calls if calls_too else ())}
        if question.tells and sites:
            telling.setdefault(_function(question), set()).update(sites)
    sealed: dict[str, Question] = {}
    called: dict[str, Question] = {}
    twin_wanted: dict[str, Question] = {}
    left: list[Question] = []
    for question in questions:
        asked = telling.get(_function(question), set())
        open_sites = {site: steps for site, steps in question.twins.items() if "twins" in layers and site not in asked}
        if open_sites:
            twin_wanted[question.key] = replace(question, twins=open_sites)
        if "twins" in layers and question.twins and asked and not question.tells:
            left.append(question)
        if seals_too and question.seals:
            sealed[question.key] = question
        if calls_too and question.calls and len(called) < MOST_CALLS:
            called[question.key] = question
    twin_wanted, others = _alike(twin_wanted)
    left += [question for question in others if question not in left]
    spread = _spread(len({_function(question) for question in twin_wanted.values()}))
    drawn = {
        _function(question): question_files.drawn(
            question.twins, question.seals, *(spread if question.seconds < QUICK else SPREADS[-1])
        )
        for question in twin_wanted.values()
    }
    files: dict[str, bytes] = {}
    twinned: dict[str, dict[str, int]] = {}
    standing: dict[str, Question] = {}
    for path in sorted({question.path for question in (*sealed.values(), *twin_wanted.values())}):
        chosen = {name: sites for (place, name), sites in drawn.items() if place == path}
        source, placed, open_there = _file(task, path, sealed, chosen)
        if source is None:
            continue
        files[path] = source
        for key, question in {**sealed, **twin_wanted}.items():
            if question.path != path:
                continue
            parameters = key.partition("|")[2]
            copies = {
                key.replace(question.name, name, 1): 0 if copy.is_test(parameters) else place
                for place, (name, copy) in enumerate(placed.get(question.name, {}).items(), 1)
            }
            if copies and key in twin_wanted:
                twinned[key] = copies
            test = next((copy for copy, step in copies.items() if step == 0), key)
            unasked = open_there[question.name] if copies else ()
            checks = {site: check for site, check in sealed.get(key, _NONE).seals.items() if int(site) not in unasked}
            if checks:
                standing[test] = replace(question, seals=checks)
    keys = frozenset(standing).union(*twinned.values())
    calls = [group for path in sorted({question.path for question in called.values()}) for group in
             _calls(task, path, called)]  # fmt: skip
    files = {**question_files.other_files(task, files), **files}
    return Inquiry(files, keys, standing, twinned, called, calls, left=tuple(left))


def _telling(question: Question) -> set[str]:
    """The sites that a seal asks as well as any twin: more than one bit, or no more than one twin."""
    return {
        site
        for site, check in question.seals.items()
        if check["form"] != "truth" or len(question.twins.get(site, ())) < 2
    }


def _spread(tests: int) -> tuple[int, int]:
    """In how many spots, by how many steps, the copies of each of so many tests may differ."""
    fitting = [(spots, steps) for spots, steps in SPREADS if tests * (1 + steps) ** spots <= MOST_COPIES]
    return fitting[0] if fitting else SPREADS[-1]


def choices_for(question: Question, made: dict[str, Choice | None] | None = None) -> dict[str, list[Choice]]:
    """The sites whose answers can be put among choices, which they are equal to; each answer has its own.

    Answers that are the same have the same (`made`), or what stands among those of both would be the right one.
    """
    source, made = random.SystemRandom(), {} if made is None else made
    found = {}
    for number, check in question.seals.items():
        if (check["form"], check["operator"]) != ("equal", "=="):
            continue
        for answer in check["answers"]:
            if answer not in made:
                made[answer] = among_neighbours(decode(answer), source)
        choices = [made[answer] for answer in check["answers"]]
        if None not in choices:
            found[number] = [choice for choice in choices if choice is not None]
    return found


def prepare_among(task: Task, questions: Iterable[Question]) -> Inquiry:
    """A run that puts to answers nobody can compare the right one and some near it: of which are they equals?

    Each answer has choices of its own, so that who knows one of a test's answers does not know the others by it.
    """
    made: dict[str, Choice | None] = {}
    found = {question.key: choices_for(question, made) for question in questions}
    among = {key: sites for key, sites in found.items() if sites}
    asked = [question for question in questions if question.key in among]
    return replace(prepare(task, asked, ["seals"]), among=among)


def _file(
    task: Task, path: str, sealed: Mapping[str, Question], chosen: Mapping[str, Mapping[int, Sequence[int]]]
) -> tuple[bytes | None, dict[str, dict[str, twins.Copy]], dict[str, set[int]]]:
    """One test file with seals and twins in it, where the twins are, and the sites that are not sealed in them."""
    tree = inherited.tree_of(task, path)
    if tree is None:
        return None, {}, {}
    allowed: dict[str, set[int]] = {}
    for question in sealed.values():
        if question.path == path:
            allowed.setdefault(_bare(question.name), set()).update(map(int, question.seals))
    by_name = {name: allowed.get(_bare(name), set()) for name, _ in expectations.test_functions(tree)}
    taken = question_files.taken_by_others(task, path)
    seals.only(tree, {*allowed, *map(_bare, chosen), *taken})
    # A function inside of a test may be what asserts in a call that is changed.
    open_there = {
        name: seals.inner_sites(tree, function).union(chosen[name])
        for name, function in expectations.test_functions(tree)
        if name in chosen
    }
    placed = question_files.add_twins(tree, chosen)
    for name, copies in placed.items():
        by_name.update(dict.fromkeys(copies, by_name[name] - open_there[name]))
    for name, function in list(expectations.test_functions(tree)):
        if by_name.get(name):
            seals.seal_function(tree, function, by_name[name])
    return seals.finished(tree, taken), placed, open_there


def _alike(wanted: Mapping[str, Question]) -> tuple[dict[str, Question], list[Question]]:
    """Those that can stand among twins at once, rows of a function at the same sites by the same steps; the others."""
    source = random.SystemRandom()
    common: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {}
    kept, others = [], []
    for question in source.sample(list(wanted.values()), len(wanted)):
        before = common.get(_function(question), question.twins)
        both = {
            site: tuple(step for step in steps if step in before.get(site, ()))
            for site, steps in question.twins.items()
        }
        if any(both.values()):
            common[_function(question)] = {site: steps for site, steps in both.items() if steps}
            kept.append(question)
        else:
            others.append(question)
    return {question.key: replace(question, twins=common[_function(question)]) for question in kept}, others


def _function(question: Question) -> tuple[str, str]:
    return question.path, question.name


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
