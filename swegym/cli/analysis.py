"""What `swegym report` says beyond counts: what hints are worth, where time goes, what training changed, plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from swegym.cli.screen import say, show_table
from swegym.errors import InputError

if TYPE_CHECKING:
    from swegym.report import RunSummary
    from swegym.report.decomposition import Decomposition
    from swegym.report.guidance_effect import GuidanceEffect
    from swegym.report.phases import Phase
    from swegym.report.reranking import Reranking
    from swegym.rollout.folder import Survey

FEW = 10
"""Tasks below which a bootstrap has too little to draw from."""


class Analysis:
    """What was asked about some runs, worked out."""

    def __init__(
        self, surveys: list[Survey], summaries: list[RunSummary], *, hints: bool, gain: bool, scores: Path | None
    ) -> None:
        from swegym.report.guidance_effect import guidance_effect
        from swegym.report.phases import phases
        from swegym.report.reranking import read_scores, rerank, scores_of
        from swegym.rollout.report import hint_counts

        self.names = [summary.name for summary in summaries]
        self.summaries = summaries
        attempts = [survey.trajectories for survey in surveys]
        self.effects: list[GuidanceEffect | None] = [guidance_effect(found) for found in attempts] if hints else []
        self.hints = [hint_counts(survey.hints) for survey in surveys] if hints else []
        self.phases: list[list[Phase]] = [phases(found) for found in attempts] if hints else []
        self.gain: Decomposition | None = _gain(attempts) if gain else None
        given = read_scores(scores) if scores else {}
        self.reranked: list[Reranking] = (
            [
                rerank(found, scores_of(found, given, name, alone=len(attempts) == 1))
                for name, found in zip(self.names, attempts, strict=True)
            ]
            if scores
            else []
        )

    def as_json(self) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if self.hints:
            said["guidance"] = [effect and effect.as_json() for effect in self.effects]
            said["hints"] = self.hints
            said["phases"] = [{phase.name: phase.as_json() for phase in found} for found in self.phases]
        if self.gain:
            said["decomposition"] = self.gain.as_json()
        if self.reranked:
            said["reranking"] = [one.as_json() for one in self.reranked]
        return said

    def show(self) -> None:
        for name, effect, hints, found in zip(self.names, self.effects, self.hints, self.phases, strict=False):
            if effect is not None:
                _show_effect(name, effect)
                _show_hints(hints)
            _show_phases(name, found)
        if self.gain:
            _show_gain(self.gain)
        for name, one in zip(self.names, self.reranked, strict=False):
            _show_reranked(name, one)

    def plot(self, folder: Path) -> list[Path]:
        """Write every plot that there is something to draw for."""
        from swegym.report import plots

        folder.mkdir(parents=True, exist_ok=True)
        made = [plots.plot_outcomes(self.summaries, folder / "outcomes.svg")]
        if any(summary.pass_at for summary in self.summaries):
            made.append(plots.plot_pass_at_k(self.summaries, folder / "pass_at_k.svg"))
        for name, effect in zip(self.names, self.effects, strict=False):
            if effect is not None:
                made.append(plots.plot_guidance(effect, folder / f"guidance_{_in_a_file(name)}.svg"))
        if self.phases:
            by_run = dict(zip(self.names, self.phases, strict=True))
            made.append(plots.plot_phases(by_run, folder / "phases.svg"))
        if self.gain:
            made.append(plots.plot_decomposition(self.gain, folder / "decomposition.svg"))
        for name, one in zip(self.names, self.reranked, strict=False):
            made.append(plots.plot_reranking(one, folder / f"reranking_{_in_a_file(name)}.svg"))
        return made


def _in_a_file(name: str) -> str:
    return name.replace("/", "-")


def _gain(attempts: list[Any]) -> Decomposition:
    from swegym.report.decomposition import decompose, outcomes

    if len(attempts) not in (2, 3):
        raise InputError(
            f"--gain compares two runs, before and after, and takes a second run of the untrained policy as the third; "
            f"{len(attempts)} given."
        )
    found = [outcomes(one) for one in attempts]
    return decompose(found[0], found[1], placebo=found[2] if len(found) == 3 else None)


def _rate(rate: Any, sign: str = "") -> str:
    return f"{rate.value:{sign}.3f} [{rate.low:{sign}.3f}, {rate.high:{sign}.3f}]"


def _show_effect(name: str, effect: GuidanceEffect) -> None:
    arms = {"plain, all tasks": effect.plain, "plain, same tasks": effect.plain_same, "with a hint": effect.guided}
    rows: list[tuple[object, ...]] = [
        (label, arm.solved.tasks, arm.attempts, _rate(arm.solved), _rate(arm.empty)) for label, arm in arms.items()
    ]
    change = (_rate(effect.difference, "+"), _rate(effect.empty_difference, "+"))
    rows.append(("hint minus plain", effect.difference.tasks, "", *change))
    say()
    show_table(("", "tasks", "attempts", "solved", "empty patches"), rows, title=f"{name}: what hints are worth")
    say(f"{effect.only_guided} {'task was' if effect.only_guided == 1 else 'tasks were'} solved only with a hint")
    _warn_of_few(effect.difference.tasks)


def _warn_of_few(tasks: int) -> None:
    if tasks < FEW:
        counted = "1 task" if tasks == 1 else f"{tasks} tasks"
        say(f"The intervals of changes are drawn from {counted}: too few, so they are too narrow.")


def _show_hints(hints: dict[str, Any]) -> None:
    if not hints["questions"]:
        say("teacher: no question is noted; the run was recorded by an older swegym")
        return
    say(
        f"teacher: {hints['questions']} questions, {hints['answers']} answers, {hints['given']} hints given, "
        f"{hints['rejected']} answers rejected, {hints['leaks']} of them for leaking"
    )
    for kind, count in hints["leaks_by_kind"].items():
        say(f"  {count}: {kind}")


def _show_phases(name: str, found: list[Phase]) -> None:
    rows = [(phase.name, phase.total, f"{phase.share:.0%}", phase.median, phase.slow, phase.longest) for phase in found]
    say()
    show_table(("phase", "seconds", "share", "median", "95 %", "longest"), rows, title=f"{name}: time by phase")


def _show_gain(made: Decomposition) -> None:
    parts = {**made.parts, "net": made.net}
    floor = {**made.placebo.parts, "net": made.placebo.net} if made.placebo else {}
    rows = [
        (label.replace("_", " "), part.tasks, _rate(part, "+"), _rate(floor[label], "+") if floor else "")
        for label, part in parts.items()
    ]
    say()
    title = f"What changed, over {len(made.changes)} tasks, k = {made.k}"
    show_table(("", "tasks", "change of the solve rate", "placebo"), rows, title=title)
    if made.left_out:
        say(f"{made.left_out} tasks are left out: not in both runs, or tried fewer than k times before")
    _warn_of_few(len(made.changes))
    if not floor:
        say("No placebo: give a second run of the untrained policy as the third, or the gain has no floor.")


def _show_reranked(name: str, one: Reranking) -> None:
    rows = [(k, _rate(one.picked[k]), _rate(one.oracle[k]), one.picked[k].tasks) for k in one.picked]
    say()
    show_table(("k", "best of k by the score", "pass@k", "tasks"), rows, title=f"{name}: reranking")
    if one.unscored:
        say(f"{one.unscored} attempts have no score and are left out")
