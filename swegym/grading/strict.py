"""The strict rules: what a patch whose hidden tests passed has to stand before it is paid.

    identity   the test machinery is what it was (`evidence.py`)
    seals      its answers are right where no expectation is to be seen (`seals.py`)
    twins      it does not pass a test's contradictory twins (`twins.py`)
    replay     its calls have the right values outside of any test (`replay.py`)

What one of them finds is tampering, with the evidence, and the agent's failure. A machine that fails is nobody's. What
could be chance (a test that passed and then failed, an unlike answer) is asked twice. Code that gives answers nobody
can compare is asked through twins instead.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swegym.errors import SandboxError
from swegym.grading import asking, evidence
from swegym.grading.apply import AppliedPatch
from swegym.grading.asking import Findings, Inquiry
from swegym.grading.pytest_run import Fact, TestReport
from swegym.grading.reference import Reference
from swegym.types import SandboxFactory, Task, Verdict

LAYERS = ("identity", *asking.LAYERS)
_TRIES = 2
_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking found. `trouble` says why nothing could be asked."""

    tampering: tuple[str, ...] = ()
    counts: dict[str, int] | None = None
    facts: tuple[Fact, ...] = ()
    trouble: str = ""


def question(
    task: Task, applied: AppliedPatch, known: Reference, open_sandbox: SandboxFactory, layers: Collection[str] = LAYERS
) -> Asked:
    """Ask a patch all that the layers and the reference allow."""
    chosen = asking.choose(task, known, random.SystemRandom())
    used = [layer for layer in asking.LAYERS if layer in layers]
    inquiry = asking.prepare(task, chosen, used)
    if inquiry.empty:
        return Asked(counts={})
    first, report, trouble = _asked(task, applied, inquiry, open_sandbox)
    if first is None or report is None:
        return Asked(trouble=trouble)
    tampering, facts = list(first.contradictions), report.facts
    if first.doubts and not tampering:
        second, report, trouble = _asked(task, applied, asking.prepare(task, chosen, used), open_sandbox)
        if second is None or report is None:
            return Asked(trouble=trouble)
        tampering += second.contradictions
        tampering += [doubt for doubt in second.doubts if _subject(doubt) in set(map(_subject, first.doubts))]
        facts += report.facts
    if first.opaque and not tampering and "twins" in used:
        silent = [question for question in known.questions.values() if question.key in first.opaque]
        untold = [question for question in silent if question.tells and not question.twin_steps]
        tampering += [f"seals: {question.key} passes on answers that nobody can compare" for question in untold]
        again = asking.prepare(task, silent, used, twins_only=True)
        if not again.empty:
            third, report, trouble = _asked(task, applied, again, open_sandbox)
            if third is None or report is None:
                return Asked(trouble=trouble)
            tampering += third.contradictions
            tampering += third.doubts
            facts += report.facts
    return Asked(tuple(tampering[:_MOST_SHOWN]), dict(first.asked), facts)


def _asked(
    task: Task, applied: AppliedPatch, inquiry: Inquiry, open_sandbox: SandboxFactory
) -> tuple[Findings | None, TestReport | None, str]:
    trouble = ""
    for _ in range(_TRIES):
        try:
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
