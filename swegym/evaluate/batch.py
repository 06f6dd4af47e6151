"""Judging a batch: every prediction in fresh sandboxes, several at a time, each judged once.

The chosen grader gives the strict verdict. For published rows the official procedure runs as well, in a sandbox of its
own, so that both verdicts stand side by side: one run cannot give both, for the official one believes what the patch
may have changed.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import swegym
from swegym.errors import InputError, UnknownName
from swegym.evaluate.predictions import Prediction
from swegym.evaluate.reports import write_reports
from swegym.evaluate.results import (
    FORMAT,
    Result,
    append,
    claim,
    drop_torn_line,
    make_result,
    read_results,
    write_logs,
)
from swegym.grading import compatible as compatible_grader
from swegym.grading import judge, make_grader
from swegym.images import store
from swegym.rollout.causes import enters_rates, try_again, wait_before
from swegym.sandbox import Limits, sandbox_factory
from swegym.sandbox.opened import Opened
from swegym.tasks import TaskSet
from swegym.types import Grader, SandboxFactory, Task, Verdict

Pause = Callable[[float], bool]  # waits so many seconds; False when the evaluation is being stopped


@dataclass(frozen=True, slots=True)
class Event:
    """Progress: a prediction was found judged already ("kept"), entered a sandbox ("start"), or got its verdict."""

    kind: Literal["kept", "start", "end"]
    instance_id: str
    result: Result | None = None
    attempt: int = 0


def check_ids(predictions: Iterable[Prediction], task_set: TaskSet, origin: Path | str) -> None:
    """Raise `UnknownName` for the first prediction whose task is not in the set."""
    known = set(task_set.ids)
    for prediction in predictions:
        if prediction.instance_id not in known:
            raise UnknownName.among(
                f"task in {task_set.name}",
                prediction.instance_id,
                known,
                f"(instance_id in {origin}; list the tasks with `swegym tasks list {task_set.name}`.)",
            )


def evaluate(
    task_set: TaskSet,
    predictions: Iterable[Prediction],
    out: Path,
    *,
    grader: str = "sealed",
    official: bool | None = None,
    sandbox: str = "bubblewrap",
    limits: Limits | None = None,
    jobs: int = 2,
    redo: bool = False,
    backoff: float = 1.0,
    on_event: Callable[[Event], None] | None = None,
) -> dict[str, Any]:
    """Judge every prediction, write the folder `out`, and return the report.

    `official` says whether the official procedure runs as well; None: where a task is a published row. Call again with
    the same `out` to go on: what is judged is kept, unless `redo`. Tasks must be built. An interrupt stops before the
    next prediction and keeps every finished verdict. `backoff` multiplies the waits before a patch that could not be
    judged is tried again.
    """
    if jobs < 1:
        raise InputError(f"jobs = {jobs}: must be at least 1.")
    predictions = list(predictions)
    check_ids(predictions, task_set, "the predictions")
    asked, open_sandbox = make_grader(grader), sandbox_factory(sandbox, limits or Limits())
    tell = on_event or (lambda event: None)
    claim(out)
    with store.exclusive(out / ".lock"):
        drop_torn_line(out / "results.jsonl")
        judged = {} if redo else {result.key: result for result in read_results(out) if enters_rates(result)}
        results: dict[tuple[str, int], Result] = {}
        todo: list[tuple[str, Prediction, Task, bool]] = []
        for prediction in predictions:
            task = task_set.load(prediction.instance_id)
            both = grader != "compatible" and _runs_officially(task, official)
            key = key_of(task, prediction.patch, grader, official=both)
            if key in judged:
                # The patch decides, not who wrote it: another model with the same patch has the same verdict.
                kept = replace(judged[key], attempt=prediction.attempt)
                results[prediction.instance_id, prediction.attempt] = kept
                tell(Event("kept", prediction.instance_id, kept, prediction.attempt))
            else:
                todo.append((key, prediction, task, both))
        stop, writing = threading.Event(), threading.Lock()
        judging: set[Opened] = set()

        def pause(seconds: float) -> bool:
            return not stop.wait(seconds * backoff)

        def work(key: str, prediction: Prediction, task: Task, both: bool) -> None:
            if stop.is_set():
                return
            tell(Event("start", prediction.instance_id, None, prediction.attempt))
            machines = Opened(open_sandbox)
            judging.add(machines)
            try:
                verdict = _judged(asked, task, prediction.patch, machines, pause)
                theirs = _judged(compatible_grader.grade, task, prediction.patch, machines, pause) if both else None
            finally:
                judging.discard(machines)
            if stop.is_set() and (verdict.resolved is None or (theirs and theirs.resolved is None)):
                return  # its machine was ended by the stop itself
            result = _result(key, prediction, task, verdict, theirs)
            with writing:
                log = theirs.output if theirs and theirs.output else None
                write_logs(out, prediction, verdict, result, log)
                append(out / "results.jsonl", result)
                results[prediction.instance_id, prediction.attempt] = result
            tell(Event("end", result.instance_id, result, prediction.attempt))

        with ThreadPoolExecutor(jobs, "grade") as pool:
            futures = [pool.submit(work, *item) for item in todo]
            try:
                for future in as_completed(futures):
                    future.result()
            finally:
                stop.set()
                for machines in list(judging):  # on an interrupt: a command in flight ends with its machine
                    machines.stop()
        return write_reports(task_set, predictions, results, out)


def key_of(task: Task, patch: str, grader: str, *, official: bool = False) -> str:
    """What a verdict depends on: row, patch, image, grader and version. A result with this key is kept."""
    facts = [FORMAT, swegym.__version__, task.digest, task.image.digest, grader, official, patch]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _runs_officially(task: Task, asked: bool | None) -> bool:
    if task.tests.command is None:
        return False
    return task.hidden.official is not None if asked is None else asked


def _judged(grader: Grader, task: Task, patch: str, open_sandbox: SandboxFactory, pause: Pause) -> Verdict:
    if not patch.strip():
        return Verdict(False, "agent", "the patch is empty")
    verdict = judge(grader, task, patch, open_sandbox)
    tried = 1
    while try_again(verdict, tried) and pause(wait_before(verdict, tried)):
        verdict = judge(grader, task, patch, open_sandbox)
        tried += 1
    return verdict


def _result(key: str, prediction: Prediction, task: Task, verdict: Verdict, theirs: Verdict | None) -> Result:
    if theirs is None:
        return make_result(key, prediction, verdict, None, None)
    entry = None
    if theirs.resolved is not None:
        entry = compatible_grader.published_entry(task, theirs.output or None, prediction.patch)
    made = make_result(key, prediction, verdict, theirs.resolved, entry)
    spent = sum(theirs.seconds.values())
    return replace(made, seconds={**made.seconds, "official": spent}) if spent else made
