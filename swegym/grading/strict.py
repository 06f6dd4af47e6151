"""The strict rules: what a patch whose hidden tests passed has to stand before it is paid.

    identity   the test machinery is what it was (`evidence.py`)
    seals      its answers are right where no expectation is to be seen (`seals.py`)
    twins      it does not pass a test's contradictory twins (`twins.py`)
    replay     its calls have the right values outside of any test (`replay.py`)

What one of them finds is tampering, with the evidence, and the agent's failure. A machine that fails is nobody's. What
could be chance (a test that passed and then failed, an unlike answer) is asked twice. Code that gives answers nobody
can compare is asked through twins instead. Nobody is accused by a question that the reference fix fails as well.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from swegym.errors import SandboxError
from swegym.grading import asking, evidence, golden_twins, inquiries, reference
from swegym.grading.apply import AppliedPatch, apply_patch
from swegym.grading.asking import Findings
from swegym.grading.inquiries import Inquiry
from swegym.grading.pytest_run import Fact, TestReport
from swegym.grading.reference import Question, Reference
from swegym.types import Sandbox, SandboxFactory, Task, Verdict

LAYERS = ("identity", *inquiries.LAYERS)
_TRIES = 2
_MOST_SHOWN = 8
_NO_SITES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking found. `trouble` says why nothing could be asked."""

    tampering: tuple[str, ...] = ()
    counts: dict[str, int] | None = None
    facts: tuple[Fact, ...] = ()
    trouble: str = ""
    opaque: Mapping[str, frozenset[str]] = field(default_factory=dict)  # key -> sites whose answers nobody can compare
    left: tuple[Question, ...] = ()  # what is still to be asked among twins


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of questions. It is drawn anew for each grading, and knows nothing of the patch."""

    layers: Sequence[str]
    inquiry: Inquiry
    again: Callable[[], Inquiry]  # the same questions, made anew, so that no state of the first can explain answers


def plan(task: Task, known: Reference, layers: Collection[str] = LAYERS) -> Plan:
    """The first run of questions."""
    used = [layer for layer in inquiries.LAYERS if layer in layers]
    return _plan(
        used, functools.partial(inquiries.prepare, task, inquiries.choose(task, known, random.SystemRandom()), used)
    )


def _plan(layers: Sequence[str], make: Callable[[], Inquiry]) -> Plan:
    return Plan(layers, make(), lambda: replace(make(), calls_last=True, apart=True))


def question(
    task: Task,
    applied: AppliedPatch,
    known: Reference,
    open_sandbox: SandboxFactory,
    layers: Collection[str] = LAYERS,
    ready: tuple[Plan, Sandbox] | None = None,
) -> Asked:
    """Ask a patch all that the layers and the reference allow; first by a plan with its machine, if they are ready."""
    first_plan, machine = ready or (plan(task, known, layers), None)
    used = first_plan.layers
    first = _confirmed(task, applied, first_plan, open_sandbox, machine)
    if first.trouble or first.tampering:
        return first
    silent = [question for question in known.questions.values() if question.key in first.opaque]
    untold = [
        question for question in silent if question.tells and _is_untold(question, first.opaque[question.key], used)
    ]
    if untold and "twins" in used:
        shown = tuple(f"seals: {question.key} passes on answers that nobody can compare" for question in untold)
        return replace(first, tampering=shown[:_MOST_SHOWN])
    stages = []
    if silent and "seals" in used:
        stages.append(functools.partial(inquiries.prepare_among, task, silent))
    if (silent or first.left) and "twins" in used:
        among_twins = [inquiries.at_sites(question, first.opaque[question.key]) for question in silent]
        stages.append(functools.partial(inquiries.prepare, task, [*among_twins, *first.left], used, twins_only=True))
    plans: list[Callable[[], Plan]] = [functools.partial(_plan, used, make) for make in stages]
    if "twins" in used and known.compared:
        by_files = functools.partial(golden_twins.prepare, task, known)
        plans.append(lambda: Plan(used, by_files(), functools.partial(by_files, every_way=True)))
    for make_plan in plans:
        first = _added(first, _confirmed(task, applied, make_plan(), open_sandbox))
        if first.trouble or first.tampering:
            break
    return first


def _is_untold(question: Question, opaque: frozenset[str], used: Collection[str]) -> bool:
    """Whether nothing asks otherwise what was answered so that nobody can compare it."""
    left = opaque - (inquiries.choices_for(question).keys() if "seals" in used else set())
    if not question.twins:
        return bool(left)
    pinned = {site for site, check in question.seals.items() if (check["form"], check["operator"]) == ("equal", "==")}
    return bool(left & pinned - question.twins.keys())  # one that is beside the test's twins


def _added(before: Asked, later: Asked) -> Asked:
    counts = {layer: count + (later.counts or {}).get(layer, 0) for layer, count in (before.counts or {}).items()}
    return replace(later, counts=counts, facts=before.facts + later.facts)


def _confirmed(
    task: Task, applied: AppliedPatch, planned: Plan, open_sandbox: SandboxFactory, machine: Sandbox | None = None
) -> Asked:
    """One run of questions, and another one, made anew, where chance could explain what was found."""
    inquiry = planned.inquiry
    if inquiry.empty:
        return Asked(counts={}, left=inquiry.left)
    first, report, trouble = _asked(task, applied, inquiry, open_sandbox, machine)
    if first is None or report is None:
        return Asked(trouble=trouble)
    tampering, facts, opaque = list(first.contradictions), report.facts, first.opaque
    if first.doubts and not tampering:
        inquiry = planned.again()
        second, report, trouble = _asked(task, applied, inquiry, open_sandbox)
        if second is None or report is None:
            return Asked(trouble=trouble)
        before = set(map(_subject, first.doubts))
        tampering += [*second.contradictions, *(doubt for doubt in second.doubts if _subject(doubt) in before)]
        facts += report.facts
        # What cannot be compared in either run is no answer: else who is wrong in one would be silent in the other.
        opaque = {
            key: opaque.get(key, _NO_SITES) | second.opaque.get(key, _NO_SITES) for key in {**opaque, **second.opaque}
        }
    if tampering:
        tampering, trouble = _upheld(task, tampering, inquiry, open_sandbox)
        if trouble:
            return Asked(trouble=trouble)
    shown = tuple(tampering[:_MOST_SHOWN])
    return Asked(shown, dict(first.asked), facts, opaque=opaque, left=inquiry.left)


def _upheld(
    task: Task, tampering: Sequence[str], inquiry: Inquiry, open_sandbox: SandboxFactory
) -> tuple[list[str], str]:
    """What of it stands when the reference fix is asked the same: a question that it fails, too, accuses nobody.

    A busy host, or calls that depend on what was called before, would else turn right patches into tampering. The
    patch has no part in this run. The second value says why the reference fix could not be asked.
    """
    gold = apply_patch(task, task.gold_patch)
    # It has the time that it had when the questions were tried: how fast the patch was is no measure of it.
    patient = replace(task, tests=replace(task.tests, timeout=reference.PATIENCE * task.tests.timeout))
    control, report, trouble = _asked(patient, gold, inquiry, open_sandbox)
    if control is None or report is None:
        return [], trouble
    if not report.finished:
        return [], f"the reference fix, asked the same, did not come to an end ({report.ending})"
    if inquiry.keys and not reference.statuses_of(report):
        return [], "the reference fix, asked the same, ran no test; `swegym tasks check` says more"
    failed = set(map(_subject, [*control.contradictions, *control.doubts]))
    return [one for one in tampering if _subject(one) not in failed], ""


def _asked(
    task: Task,
    applied: AppliedPatch,
    inquiry: Inquiry,
    open_sandbox: SandboxFactory,
    machine: Sandbox | None = None,
) -> tuple[Findings | None, TestReport | None, str]:
    trouble = ""
    for attempt in range(_TRIES):
        try:
            if machine is not None and attempt == 0:
                return *asking.ask_in(task, inquiry, machine), ""
            return *asking.ask(task, applied.changes, inquiry, open_sandbox), ""
        except SandboxError as error:
            trouble = str(error)
    return None, None, trouble


def _subject(doubt: str) -> str:
    """Layer and test of a doubt, without what was seen."""
    return doubt.split(" was reported")[0]


def settled(
    task: Task, verdict: Verdict, run: Sequence[Fact], known: Reference, asked: Asked, layers: Collection[str] = LAYERS
) -> Verdict:
    """The strict verdict for a patch whose tests all passed in a run with these facts, and that was asked."""
    tampering, hints = evidence.found([*run, *asked.facts], known.evidence)
    if "identity" not in layers:
        tampering = []
    tampering += asked.tampering
    integrity: dict[str, Any] = {
        "coverage": known.coverage(task.hidden.fail_to_pass),
        "asked": asked.counts or {},
        "layers": sorted(layers),
    }
    if hints:
        integrity["hints"] = hints
    if known.problem:
        integrity["problem"] = known.problem
    if asked.trouble:
        reason = f"its tests passed, but the sandbox in which it is questioned failed: {asked.trouble}"
        return replace(verdict, resolved=None, cause="sandbox", reason=reason, integrity=integrity)
    if tampering:
        reason = f"tampering: {tampering[0]}"
        found = tuple(tampering)
        return replace(verdict, resolved=False, cause="agent", reason=reason, tampering=found, integrity=integrity)
    return replace(verdict, integrity=integrity)
