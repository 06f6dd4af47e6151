"""What a run comes to: predictions to hand on, and counts by outcome and cause. Pure functions over trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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


def report(trajectories: Sequence[Trajectory], hints_refused: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
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
        "hints_refused": dict(sorted(Counter(hint["outcome"] for hint in hints_refused).items())),
        "seconds": {phase: round(total, 3) for phase, total in sorted(seconds.items())},
    }


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
