"""Plots of runs, as SVG files that anything opens. matplotlib is loaded here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from swegym.errors import InputError
from swegym.report.decomposition import Decomposition
from swegym.report.guidance_effect import GuidanceEffect
from swegym.report.phases import Phase
from swegym.report.reranking import Reranking
from swegym.report.statistics import Estimate
from swegym.report.summary import RunSummary

WIDTH, HEIGHT = 6.4, 4.0  # inches
# Told apart by people who see colours differently, and in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
OUTCOMES = {"solved": "#009e73", "failed": "#e69f00", "empty patch": "#d55e00", "not judged": "#999999"}


def plot_pass_at_k(summaries: Sequence[RunSummary], file: Path) -> Path:
    """pass@k of the attempts without guidance against k, with 95 % intervals."""
    figure, axes = _figure()
    for number, summary in enumerate(summaries):
        # Side by side, so that intervals do not hide each other.
        shift = 1 + 0.04 * (number - (len(summaries) - 1) / 2)
        _curve(axes, summary.pass_at, summary.name, COLOURS[number % len(COLOURS)], shift)
    _k_axis(axes, [k for summary in summaries for k in summary.pass_at])
    axes.set(ylabel="tasks solved", ylim=(0, 1), title="pass@k without guidance")
    axes.legend(frameon=False)
    return _save(figure, file)


def plot_outcomes(summaries: Sequence[RunSummary], file: Path) -> Path:
    """What became of all attempts of each run, as shares."""
    figure, axes = _figure(height=1.2 + 0.6 * len(summaries))
    counts = [_outcomes(summary) for summary in summaries]
    left = [0.0] * len(summaries)
    for outcome, colour in OUTCOMES.items():
        widths = [count[outcome] / max(sum(count.values()), 1) for count in counts]
        bars = axes.barh(range(len(summaries)), widths, left=left, color=colour, label=outcome, height=0.6)
        labels = [str(count[outcome]) if width > 0.04 else "" for count, width in zip(counts, widths, strict=True)]
        axes.bar_label(bars, labels, label_type="center", color="white", fontsize=8)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(summaries)), [summary.name for summary in summaries])
    axes.invert_yaxis()
    axes.set(xlabel="share of attempts", xlim=(0, 1), title="Outcomes, guided attempts included")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.35 if len(summaries) < 3 else -0.2))
    return _save(figure, file)


def plot_guidance(effect: GuidanceEffect, file: Path) -> Path:
    """Solve rate and empty patches with and without a hint, on the tasks that got hints."""
    figure, axes = _figure()
    arms = {"plain": effect.plain_same, "with a hint": effect.guided}
    for number, (name, arm) in enumerate(arms.items()):
        rates = [arm.solved, arm.empty]
        places = [place + (number - 0.5) * 0.36 for place in range(2)]
        axes.bar(places, [rate.value for rate in rates], 0.32, color=COLOURS[number], label=name)
        axes.errorbar(places, [rate.value for rate in rates], _errors(rates), fmt="none", ecolor="black", capsize=3)
        for place, rate in zip(places, rates, strict=True):
            axes.text(place + 0.02, rate.value + 0.01, f"{rate.value:.2f}", fontsize=8)
    axes.set_xticks(range(2), ["solved", "empty patch"])
    axes.set(ylabel="mean over tasks", ylim=(0, 1.08), title=f"The {effect.difference.tasks} tasks that got hints")
    axes.legend(frameon=False)
    return _save(figure, file)


def plot_decomposition(made: Decomposition, file: Path) -> Path:
    """The parts of a gain, beside what the placebo makes of none."""
    figure, axes = _figure()
    shown = [("trained", made), *([("placebo", made.placebo)] if made.placebo else [])]
    names = [*made.parts, "net"]
    for number, (label, one) in enumerate(shown):
        parts = [*one.parts.values(), one.net]
        places = [place + (number - (len(shown) - 1) / 2) * 0.36 for place in range(len(names))]
        axes.bar(places, [part.value for part in parts], 0.32, color=COLOURS[number], label=label)
        axes.errorbar(places, [part.value for part in parts], _errors(parts), fmt="none", ecolor="black", capsize=3)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
    axes.set(ylabel="change of the solve rate", title=f"{len(made.changes)} tasks, k = {made.k}")
    axes.legend(frameon=False)
    return _save(figure, file)


def plot_reranking(made: Reranking, file: Path) -> Path:
    """Best of k by a score, between pass@1 and pass@k."""
    figure, axes = _figure()
    _curve(axes, made.oracle, "pass@k: with hindsight", COLOURS[2], 1.02)
    _curve(axes, made.picked, "best of k by the score", COLOURS[0], 0.98)
    first = made.oracle[min(made.oracle)].value
    axes.axhline(first, color="#999999", linestyle="--", linewidth=1, label="pass@1: without information")
    _k_axis(axes, list(made.picked))
    axes.set(ylabel="tasks solved", ylim=(0, 1), title="Reranking")
    axes.legend(frameon=False)
    return _save(figure, file)


def plot_phases(by_run: Mapping[str, Sequence[Phase]], file: Path) -> Path:
    """Seconds of each phase, for a usual attempt and a slow one."""
    figure, axes = _figure()
    names = list(dict.fromkeys(phase.name for found in by_run.values() for phase in found))
    wide = 0.8 / max(len(by_run), 1)
    for number, (run, found) in enumerate(by_run.items()):
        seconds = {phase.name: phase for phase in found}
        kept = [name for name in names if name in seconds]
        places = [names.index(name) + (number - (len(by_run) - 1) / 2) * wide for name in kept]
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(places, [seconds[name].median for name in kept], wide * 0.9, color=colour, label=run)
        slow = [seconds[name].slow for name in kept]
        axes.plot(places, slow, linestyle="none", marker="_", markersize=14, color="black")
    axes.plot([], [], linestyle="none", marker="_", markersize=14, color="black", label="95th percentile")
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="seconds, median attempt", title="Time by phase")
    axes.legend(frameon=False)
    return _save(figure, file)


def _figure(height: float = HEIGHT) -> tuple[Any, Any]:
    try:
        import matplotlib.figure
    except ImportError:
        raise InputError("plots need matplotlib. Run `pip install 'swegym[plot]'`.") from None
    figure = matplotlib.figure.Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _curve(axes: Any, rates: Mapping[int, Estimate], label: str, colour: str, shift: float) -> None:
    ks = sorted(rates)
    shown = [rates[k] for k in ks]
    axes.errorbar(
        [k * shift for k in ks],
        [rate.value for rate in shown],
        _errors(shown),
        marker="o",
        markersize=4,
        capsize=3,
        color=colour,
        label=label,
    )


def _errors(rates: Sequence[Any]) -> list[list[float]]:
    """How far intervals reach below and above; a percentile interval need not hold its own estimate."""
    below = [max(rate.value - rate.low, 0.0) for rate in rates]
    return [below, [max(rate.high - rate.value, 0.0) for rate in rates]]


def _k_axis(axes: Any, ks: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(set(ks)), [str(k) for k in sorted(set(ks))])
    axes.minorticks_off()
    axes.set_xlabel("k")


def _outcomes(summary: RunSummary) -> dict[str, int]:
    judged = sum(task.plain + task.guided for task in summary.tasks)
    solved = sum(task.plain_solved + task.guided_solved for task in summary.tasks)
    return {
        "solved": solved,
        "failed": judged - solved - summary.empty_patches,
        "empty patch": summary.empty_patches,
        "not judged": sum(summary.invalid.values()),
    }


def _save(figure: Any, file: Path) -> Path:
    import matplotlib

    # Text stays text, and the same data gives the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "swegym"}):
        temporary = file.with_name(file.name + ".new")
        figure.savefig(temporary, format=file.suffix[1:], metadata={"Date": None} if file.suffix == ".svg" else None)
    temporary.replace(file)
    return file
