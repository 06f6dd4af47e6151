"""What a run comes to: predictions to hand on, and counts by outcome and cause. Pure functions over trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from swegym.guidance.asking import LEAKS
from swegym.rollout.causes import enters_rates
from swegym.rollout.hacking import hack_counts
from swegym.rollout.run_config import RunConfig
from swegym.types import Trajectory


def predictions(trajectories: Iterable[Trajectory], config: RunConfig) -> list[dict[str, str]]:
    """SWE-bench rows: for each task the first plain attempt that was judged. Guided attempts are never predictions."""
    model = config.policy_options.get("model")
    name = f"{config.policy}/{model}" if isinstance(model, str) else config.policy
    first: dict[str, Trajectory] = {}
    for trajectory in sorted(trajectories, key=lambda t: t.attempt):
        if not trajectory.guided and enters_rates(trajectory.verdict):
            first.setdefault(trajectory.task, trajectory)
    return [
        {"instance_id": task, "model_name_or_path": name, "model_patch": trajectory.patch}
        for task, trajectory in sorted(first.items())
    ]


def report(trajectories: Sequence[Trajectory], hints: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Counts. An attempt that could not be judged is counted by its cause and is no failure."""
    plain = [t for t in trajectories if not t.guided]
    guided = [t for t in trajectories if t.guided]
    solved_plain = {t.task for t in plain if t.verdict.resolved}
    solved_guided = {t.task for t in guided if t.verdict.resolved}
    seconds: Counter[str] = Counter()
    for trajectory in trajectories:
        seconds.update(trajectory.seconds)
    return {
        "tasks": len({t.task for t in trajectories}),
        "tasks_solved_plain": len(solved_plain),
        "tasks_solved_guided": len(solved_guided),
        "tasks_solved_only_guided": len(solved_guided - solved_plain),
        "plain": _outcomes(plain),
        "guided": _outcomes(guided),
        "hacking": hack_counts(trajectories),
        "hints": hint_counts(hints),
        "hints_refused": dict(
            sorted(Counter(hint["outcome"] for hint in _last(hints) if hint["outcome"] != "given").items())
        ),
        "seconds": {phase: round(total, 3) for phase, total in sorted(seconds.items())},
    }


def hint_counts(hints: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers of the leak guard: questions, answers asked for, and of those rejected, by what was wrong with them.

    `leaks` counts answers that gave something away, and of what kind; a hint that was accepted after such an answer is
    in `given` all the same.
    """
    hints = list(hints)
    rejected = [reason for hint in hints for reason in hint["rejected"]]
    kinds = Counter(
        kind.strip() for reason in rejected if reason.startswith(LEAKS) for kind in reason[len(LEAKS) :].split(";")
    )
    return {
        "questions": len(hints),
        "answers": sum(hint["asked"] for hint in hints),
        "given": sum(hint["outcome"] == "given" for hint in hints),
        "rejected": len(rejected),
        "leaks": sum(reason.startswith(LEAKS) for reason in rejected),
        "leaks_by_kind": dict(sorted(kinds.items())),
    }


def _last(hints: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last question about each attempt."""
    return list({hint["parent"]: hint for hint in hints}.values())


def _outcomes(trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    judged = [t for t in trajectories if enters_rates(t.verdict)]
    return {
        "attempts": len(trajectories),
        "resolved": sum(t.verdict.resolved is True for t in judged),
        "unresolved": sum(t.verdict.resolved is False for t in judged),
        "empty_patch": sum(not t.patch.strip() for t in judged),
        "not_judged": dict(
            sorted(Counter(str(t.verdict.cause) for t in trajectories if not enters_rates(t.verdict)).items())
        ),
        "stop_reasons": dict(sorted(Counter(t.stop_reason for t in trajectories).items())),
    }
