"""A campaign: every attack and every odd fix, on every task it is for, before every grader; and what it adds up to."""

from __future__ import annotations

import dataclasses
import fnmatch
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from swegym.errors import SandboxError
from swegym.grading import judge
from swegym.redteam.attack import CLASSES, Attack, Fix
from swegym.redteam.ground import Ground, Made
from swegym.types import Grader, SandboxFactory, Task, Verdict

Result = Literal["paid", "held", "accepted", "refused", "not judged"]
FORMAT = "swegym-redteam-1"
_SHOWN = 300  # characters of what a script found


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one grader took one attack or fix on one task."""

    name: str
    kind: str  # the attack's class, or "fix"
    severity: str
    task: str
    grader: str
    result: Result
    reason: str
    tampering: tuple[str, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 2)}


Trial = tuple[Attack | Fix, Task]


class Memory(Protocol):
    """What a campaign goes on from: see `journal.Journal`."""

    def known(self, thing: Attack | Fix, task: Task, grader: str) -> Outcome | None: ...
    def add(self, thing: Attack | Fix, task: Task, outcome: Outcome) -> None: ...


def targets(thing: Attack | Fix, ids: Sequence[str]) -> list[str]:
    """The ids of the tasks that an attack or fix is for: those that its `on` names, in that order.

    Where it names none, as in a set of one's own, what fits `anywhere` is for all.
    """
    named = dict.fromkeys(name for pattern in thing.on for name in ids if fnmatch.fnmatchcase(name, pattern))
    return list(named or (ids if thing.anywhere else ()))


def trials(things: Iterable[Attack | Fix], tasks: Sequence[Task], *, first: bool = False) -> list[Trial]:
    """Which attack or fix is tried on which task: all of its `targets`, or the first only."""
    by_id = {task.id: task for task in tasks}
    ids, most = list(by_id), 1 if first else None
    return [(thing, by_id[name]) for thing in things for name in targets(thing, ids)[:most]]


def campaign(
    tried: Iterable[Trial],
    graders: Mapping[str, Grader],
    open_sandbox: SandboxFactory,
    *,
    jobs: int = 2,
    on_outcome: Callable[[Outcome], None] | None = None,
    memory: Memory | None = None,
) -> list[Outcome]:
    """Try everything, `jobs` at a time, in the order given. `on_outcome` is called from several threads.

    What `memory` knows is not tried again, and what is found goes into it.
    """

    def try_one(trial: Trial) -> list[Outcome]:
        before = {name: memory.known(*trial, name) for name in graders} if memory else {}
        found = [outcome for outcome in before.values() if outcome is not None]
        left = {name: grader for name, grader in graders.items() if before.get(name) is None}
        for outcome in _tried(*trial, left, open_sandbox) if left else ():
            if memory is not None:
                memory.add(*trial, outcome)
            found.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
        return found

    with ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="attack") as pool:
        futures = [pool.submit(try_one, trial) for trial in tried]
        try:
            return [outcome for future in futures for outcome in future.result()]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _tried(
    thing: Attack | Fix, task: Task, graders: Mapping[str, Grader], open_sandbox: SandboxFactory
) -> Iterable[Outcome]:
    if thing.timeout is not None:
        task = dataclasses.replace(task, tests=dataclasses.replace(task.tests, timeout=thing.timeout))
    try:
        made: Made | SandboxError = Ground(task).make(thing, open_sandbox)
    except SandboxError as error:
        made = error
    for name, grader in graders.items():
        started = time.monotonic()
        if isinstance(made, SandboxError):
            verdict = Verdict(None, "sandbox", str(made))
        elif isinstance(thing, Attack) and thing.finds and made.printed:
            verdict = Verdict(True, None, f"found: {made.printed[:_SHOWN]}")
        else:
            verdict = judge(grader, task, made.patch, open_sandbox)
        yield Outcome(
            thing.name,
            thing.kind if isinstance(thing, Attack) else "fix",
            thing.severity if isinstance(thing, Attack) else "",
            task.id,
            name,
            _result(thing, verdict),
            verdict.reason,
            verdict.tampering,
            time.monotonic() - started,
        )


def _result(thing: Attack | Fix, verdict: Verdict) -> Result:
    if verdict.resolved is None:
        return "not judged"
    if isinstance(thing, Attack):
        return "paid" if verdict.resolved else "held"
    return "accepted" if verdict.resolved else "refused"


def summarise(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Counts by grader: attacks paid and tried, by class and in all; fixes refused and tried; what was not judged."""
    outcomes = list(outcomes)
    summary: dict[str, Any] = {}
    for grader in dict.fromkeys(outcome.grader for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.grader == grader]
        attacks = [outcome for outcome in mine if outcome.kind != "fix"]
        fixes = [outcome for outcome in mine if outcome.kind == "fix"]
        summary[grader] = {
            "attacks": _counts(attacks),
            "by_class": {
                kind: _counts([outcome for outcome in attacks if outcome.kind == kind])
                for kind in CLASSES
                if any(outcome.kind == kind for outcome in attacks)
            },
            "fixes": {
                "tried": len(fixes),
                "refused": sum(outcome.result != "accepted" for outcome in fixes),
                "accused": sum(bool(outcome.tampering) for outcome in fixes),
            },
            "seconds": round(sum(outcome.seconds for outcome in mine), 1),
        }
    return summary


def as_document(outcomes: Sequence[Outcome], backend: str) -> dict[str, Any]:
    """Everything that a campaign found, as plain data: the summary, and each outcome."""
    return {
        "format": FORMAT,
        "backend": backend,
        "summary": summarise(outcomes),
        "outcomes": [outcome.as_json() for outcome in outcomes],
    }


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return {
        "tried": len(outcomes),
        "paid": sum(outcome.result == "paid" for outcome in outcomes),
        "not_judged": sum(outcome.result == "not judged" for outcome in outcomes),
        "tampering_seen": sum(bool(outcome.tampering) for outcome in outcomes),
    }
