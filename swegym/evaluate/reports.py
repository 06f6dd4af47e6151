"""Reports of an evaluation: ours, and one in exactly the published shape.

Ours keeps two verdicts apart: strict (the chosen grader's, three-valued) and compatible (the official rules'), and says
where they differ. Id lists go by an instance's first prediction; pass@k goes over all of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swegym.evaluate.predictions import Prediction
from swegym.evaluate.results import Result
from swegym.images import store
from swegym.report.statistics import mean_pass_at_k, wilson
from swegym.tasks import TaskSet

Results = Mapping[tuple[str, int], Result]  # by instance and attempt
_MOST_K = (1, 2, 4, 8, 16, 32, 64, 128)


def make_report(task_set: TaskSet, predictions: Iterable[Prediction], results: Results) -> dict[str, Any]:
    """Our report; ids in the set's order.

    Resolved, unresolved, error (not judged) and empty_patch share no id. A patch that does not apply is unresolved:
    that is the patch's doing.
    """
    predictions = list(predictions)
    submitted = {prediction.instance_id for prediction in predictions}
    first = {name: results.get((name, 0)) for name in task_set if name in submitted}
    ids: dict[str, list[str]] = {
        "submitted": list(first),
        "completed": [],
        "incomplete": [name for name in task_set if name not in submitted],
        "resolved": [],
        "unresolved": [],
        "empty_patch": [],
        "error": [],
    }
    causes: dict[str, str] = {}
    for name, result in first.items():
        if result is None:
            ids["incomplete"].append(name)
        elif result.empty:
            ids["empty_patch"].append(name)
        elif result.resolved is None:
            ids["error"].append(name)
            causes[name] = f"{result.cause}: {result.reason}"
        else:
            ids["completed"].append(name)
            ids["resolved" if result.resolved else "unresolved"].append(name)
    judged = [result for result in first.values() if result is not None]
    return {
        "schema_version": 2,
        "set": task_set.name,
        "set_digest": task_set.digest,
        "models": sorted({prediction.model for prediction in predictions}),
        "total_instances": len(task_set),
        **{f"{kind}_instances": len(names) for kind, names in ids.items()},
        **{f"{kind}_ids": names for kind, names in ids.items()},
        "errors": causes,
        "by_cause": dict(sorted(Counter(str(result.cause) for result in judged if result.cause).items())),
        "predictions": len(predictions),
        "rates": _rates(judged),
        "pass_at_k": _pass_at_k(results),
        "compatible_ids": [result.instance_id for result in judged if result.compatible],
        "verdicts_differ": _differences(judged),
    }


def official_report(task_set: TaskSet, predictions: Iterable[Prediction], results: Results) -> dict[str, Any]:
    """The published run report, schema 2: by the official rules where they ran, else by the grader's verdict."""
    submitted = sorted({prediction.instance_id for prediction in predictions})
    lists: dict[str, list[str]] = {
        kind: [] for kind in ("completed", "resolved", "unresolved", "empty_patch", "error", "infra_failure")
    }
    for name in submitted:
        result = results.get((name, 0))
        if result is not None and result.empty:
            lists["empty_patch"].append(name)
            continue
        resolved = None if result is None else result.resolved if result.compatible is None else result.compatible
        if resolved is None:
            lists["error"].append(name)
            continue
        lists["completed"].append(name)
        lists["resolved" if resolved else "unresolved"].append(name)
    ambiguous: list[str] = []
    lists["infra_failure"] = [
        name for name in lists["error"] if (found := results.get((name, 0))) is not None and found.cause == "sandbox"
    ]
    reasons = {name: results[(name, 0)].reason for name in lists["infra_failure"]}
    return {
        "total_instances": len(task_set),
        "submitted_instances": len(submitted),
        **{
            f"{kind}_instances": len(lists.get(kind, ambiguous))
            for kind in ("completed", "resolved", "unresolved", "infra_failure", "ambiguous_failure")
        },
        **{f"{kind}_instances": len(lists[kind]) for kind in ("empty_patch", "error")},
        "completed_ids": lists["completed"],
        "incomplete_ids": sorted(set(task_set) - set(submitted)),
        "empty_patch_ids": lists["empty_patch"],
        "submitted_ids": submitted,
        "resolved_ids": lists["resolved"],
        "unresolved_ids": lists["unresolved"],
        "infra_failure_ids": lists["infra_failure"],
        "ambiguous_failure_ids": ambiguous,
        "failure_reasons": reasons,
        "error_ids": lists["error"],
        "schema_version": 2,
    }


def write_reports(task_set: TaskSet, predictions: Sequence[Prediction], results: Results, out: Path) -> dict[str, Any]:
    """Both reports into the folder of an evaluation; returns ours."""
    report = make_report(task_set, predictions, results)
    published = official_report(task_set, predictions, results)
    store.write_atomically(out / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    store.write_atomically(out / "official_report.json", (json.dumps(published, indent=4) + "\n").encode())
    return report


def _rates(judged: Sequence[Result]) -> dict[str, Any]:
    """Resolved among judged instances, with 95 % Wilson intervals; what was not judged is in no rate."""
    strict = [bool(result.resolved) for result in judged if result.resolved is not None]
    official = [result.compatible for result in judged if result.compatible is not None]
    rates = {}
    for name, outcomes in (("strict", strict), ("compatible", official)):
        if outcomes:
            low, high = wilson(sum(outcomes), len(outcomes))
            rates[name] = {"value": sum(outcomes) / len(outcomes), "low": low, "high": high, "tasks": len(outcomes)}
    return rates


def _pass_at_k(results: Results) -> dict[str, Any]:
    """pass@k over instances with at least k judged predictions; empty where none has two."""
    counts: dict[str, list[int]] = {}
    for result in results.values():
        if result.resolved is not None:
            tried = counts.setdefault(result.instance_id, [0, 0])
            tried[0] += 1
            tried[1] += bool(result.resolved)
    most = max((tried for tried, _ in counts.values()), default=0)
    if most < 2:
        return {}
    pairs = [(tried, solved) for tried, solved in counts.values()]
    estimates = {k: mean_pass_at_k(pairs, k) for k in _MOST_K if k <= most}
    return {str(k): asdict(found) for k, found in estimates.items() if found is not None}


def _differences(judged: Iterable[Result]) -> dict[str, str]:
    """Where the two verdicts do not agree, and what the strict one says."""
    return {
        result.instance_id: f"strict {_word(result.resolved)}, compatible {_word(result.compatible)}: "
        + "; ".join([result.reason, *result.tampering, *result.notes[:3]])
        for result in judged
        if result.compatible is not None and result.compatible is not result.resolved
    }


def _word(resolved: bool | None) -> str:
    return "not judged" if resolved is None else "resolved" if resolved else "unresolved"
