"""Grading again from what an evaluation kept: the official rules over its saved logs, without any machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from swegym.errors import RunError
from swegym.evaluate.batch import check_ids, key_of
from swegym.evaluate.predictions import Prediction
from swegym.evaluate.reports import write_reports
from swegym.evaluate.results import Result, append, drop_torn_line, log_folder, read_results, write_entry
from swegym.grading.compatible import judge_log, published_entry
from swegym.grading.official_rules import START
from swegym.images import store
from swegym.tasks import TaskSet


def regrade(
    task_set: TaskSet, predictions: Iterable[Prediction], out: Path, *, grader: str = "sealed"
) -> dict[str, Any]:
    """Judge the saved logs in `out` by the official rules of today, and write both reports anew.

    Strict verdicts come from a channel that is not the log, so they stay. Predictions that were never run are left as
    they are. Raises `RunError` where the folder holds no evaluation, or none with logs of official runs.
    """
    predictions = list(predictions)
    check_ids(predictions, task_set, "the predictions")
    if not (out / "results.jsonl").is_file():
        raise RunError(
            f"{out}: holds no evaluation to grade again. Name its folder with -o, or grade without --regrade."
        )
    with store.exclusive(out / ".lock"):
        drop_torn_line(out / "results.jsonl")
        known = {result.key: result for result in read_results(out)}
        results: dict[tuple[str, int], Result] = {}
        read = 0
        for prediction in predictions:
            task = task_set.load(prediction.instance_id)
            place = (prediction.instance_id, prediction.attempt)
            keys = [key_of(task, prediction.patch, grader, official=asked) for asked in (True, False)]
            kept = next((known[key] for key in keys if key in known), None)
            if kept is None:
                continue
            kept = replace(kept, attempt=prediction.attempt, model=prediction.model)
            file = log_folder(out, prediction.instance_id, prediction.attempt) / "test_output.txt"
            log = file.read_text("utf-8", "replace") if file.is_file() else ""
            if START in log and task.tests.command is not None:
                read += 1
                kept = replace(kept, compatible=judge_log(task, log).resolved, official=published_entry(task, log))
                append(out / "results.jsonl", kept)
                write_entry(file.parent, kept)
            results[place] = kept
        if not read:
            raise RunError(f"{out}: has no logs of official runs. Grade published rows first, without --regrade.")
        return write_reports(task_set, predictions, results, out)
