"""Asking: a patch whose hidden tests all passed is asked, in a fresh sandbox, what a forged success cannot answer.

One more run, of what `inquiries.py` makes. The patch cannot carry over what it saw in the first run. What is found is a
contradiction: a test that was reported to pass, and code that does not do what the test wants. That is tampering, or
chance; so what chance can explain is asked once more before it counts.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from swegym.grading import reference, replay
from swegym.grading._questions import MOST_ANSWERS
from swegym.grading.apply import Change
from swegym.grading.inquiries import Choice, Inquiry, Part
from swegym.grading.plain_values import (
    OPAQUE,
    agrees,
    content_of,
    decode,
    finds_keys_itself,
    holds_others,
    is_made_of_another,
    is_made_of_text,
)
from swegym.grading.pytest_run import Fact, TestReport
from swegym.images import store
from swegym.types import Sandbox, SandboxFactory, Task

ABOUT_TESTS = ("key", "answer", "seconds", "failed")  # kinds of facts that name a test


@dataclass(frozen=True, slots=True)
class Findings:
    """What the answers say. `contradictions` count at once, `doubts` if they come again."""

    contradictions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    opaque: Mapping[str, frozenset[str]] = field(default_factory=dict)  # key -> sites that were answered opaquely
    asked: Mapping[str, int] = field(default_factory=dict)  # per layer, how many tests


def ask(
    task: Task, changes: Mapping[str, Change], inquiry: Inquiry, open_sandbox: SandboxFactory
) -> tuple[Findings, TestReport]:
    """Run an inquiry and read the answers, while no other attempt at the task is tested here. Raises SandboxError."""
    with store.exclusive(reference.gate(task)):
        reports = [_asked(task, changes, inquiry, part, open_sandbox) for part in inquiry.parts]
    report = functools.reduce(_joined, reports)
    return read(inquiry, report), report


def _asked(
    task: Task, changes: Mapping[str, Change], inquiry: Inquiry, part: Part, open_sandbox: SandboxFactory
) -> TestReport:
    files = {**inquiry.files, **part.files}
    report = reference.run(task, open_sandbox, changes, files, part.keys, part.calls, more=inquiry.more)
    statuses = {part.mark + node: status for node, status in report.statuses.items()}
    return replace(report, statuses=statuses, facts=tuple(_marked(fact, part.mark) for fact in report.facts))


def _marked(fact: Fact, mark: str) -> Fact:
    kind, node, text, more = fact
    if kind not in ABOUT_TESTS:
        return fact
    return kind, mark + node, mark + text if kind == "key" else text, more


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
    for place, question in inquiry.sealed.items():
        key = question.key
        among, given = inquiry.among.get(key, {}), answers.get(place, {})
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
        elif (status := statuses.get(place, "missing")) != "passed" and key not in inquiry.twinned:
            doubts.append(f"seals: {key} was reported to pass, but is {status} when it is asked")
    for key, copies in inquiry.twinned.items():
        passed = {step for copy, step in copies.items() if statuses.get(copy) == "passed"}
        if inquiry.machines:
            doubts += _by_other_files(key, copies, passed)
        elif any(step for step in passed):
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


def _by_other_files(key: str, copies: Mapping[str, int], passed: Collection[int]) -> list[str]:
    """What is doubtful of a test in machines of which one alone, step 0, has the true golden files."""
    if 0 not in passed:
        return [f"twins: {key} was reported to pass, but fails where it is alone"]
    if len(passed) == len(copies):
        return [f"twins: {key} was reported to pass, but passes whatever the files say that it compares with"]
    return []


def failed(inquiry: Inquiry, report: TestReport) -> frozenset[str]:
    """The keys of tests that do not pass where they are sealed, or not as the only one among their twins."""
    statuses = reference.statuses_of(report)
    sealed = {question.key for place, question in inquiry.sealed.items() if statuses.get(place) != "passed"}
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
        if check.get("steady") and len(given) != len(wanted):
            wrong = wrong or f"site {number}, {len(given)} times instead of {len(wanted)}"
            continue
        if not alike and len(given) != len(wanted):
            if set(wanted) != set(given):
                wrong = wrong or f"site {number}, {len(given)} times instead of {len(wanted)}"
            silent.add(number)  # another number of answers, but no others: who sprays the few there are says nothing
            continue
        for place, text in enumerate(given[:MOST_ANSWERS]):
            answer, expected = decode(text), decode(wanted[0 if alike else place])
            if answer is OPAQUE and agrees(check, content_of(text), expected):
                continue  # whatever else it is equal to, it is made of the right one
            if _says_nothing(check, text, answer, expected):
                silent.add(number)
            elif not (answer is OPAQUE and check["operator"] == "is not") and not agrees(check, answer, expected):
                wrong = wrong or f"site {number}"
                break  # the rest may be costly to read, and says no more
    return wrong, frozenset(silent)


def _says_nothing(check: Mapping[str, Any], text: str, answer: Any, expected: Any) -> bool:
    """Whether an answer is an object of its own kind. That it is not None is known of it, whatever else is not."""
    if answer is OPAQUE:
        other = is_made_of_text(text) or is_made_of_another(text, expected)
        other = other or (check["form"] == "equal" and holds_others(text, expected))
        return bool(check["operator"] != "is not") and not other
    return check["form"] == "compare" and finds_keys_itself(text) and not agrees(check, answer, None)
