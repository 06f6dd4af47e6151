"""Batch evaluation: predictions in, verdicts out, one fresh sandbox per patch.

A prediction is SWE-bench's row: `instance_id`, `model_name_or_path`, `model_patch`; several for one instance are its
attempts. An evaluation is a folder:

    OUT/
      results.jsonl          one judged prediction per line, appended whole; the only source of truth
      report.json            derived: counts and id lists, rates with intervals, pass@k, both verdicts side by side
      official_report.json   derived: the same in exactly the published shape, by the official rules where they ran
      logs/<id>/             patch.diff, test_output.txt, report.json (the instance's entry in the published shape);
                             further attempts in folders 1, 2 ... below

A result belongs to a key over task, image, patch, grader and version, so a changed prediction is judged again and an
unchanged one never is. Verdicts that are not the patch's doing (`resolved` is null) are tried again as
`rollout/causes.py` says for their cause; what is left of them is kept for the record and tried by the next call.
"""

from __future__ import annotations

from swegym.evaluate.batch import Event, check_ids, evaluate, key_of
from swegym.evaluate.predictions import Prediction, gold_predictions, read_predictions
from swegym.evaluate.regrade import regrade
from swegym.evaluate.reports import make_report, official_report
from swegym.evaluate.results import FORMAT, Result, read_results

__all__ = [
    "FORMAT",
    "Event",
    "Prediction",
    "Result",
    "check_ids",
    "evaluate",
    "gold_predictions",
    "key_of",
    "make_report",
    "official_report",
    "read_predictions",
    "read_results",
    "regrade",
]
