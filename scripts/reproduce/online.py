"""The online algorithms against each other in real environments: arms times seeds, in pieces, each resumable.

    swegym train start -o runs/start
    python scripts/reproduce/online.py run runs/start/sft/model runs/online --minutes 9      again and again
    python scripts/reproduce/online.py report runs/online --name online-mini

`run` goes on with the first arm that is not finished, for at most so many minutes, and says what is left. Arms are the
ready configs of scripts/configs/micro with what ARMS changes; a larger model and set are options (--tasks, --steps,
--set). `report` reads the finished arms and writes benchmarks/results/NAME.json and docs/plots/NAME-*.svg: curves,
comparisons at equal updates and at equal attempts, the decomposition of each gain beside its placebo, and how many
attempts of the trained policies were caught by the strict grader.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(Path(__file__).parent)]

# Algorithm, and what is set besides its ready config.
ARMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "grpo": ("grpo", ()),
    "guide_grpo": ("guide_grpo", ()),
    "sdpo": ("sdpo", ()),
    "vpd": ("vpd", ()),
    "filter_grpo": ("grpo", ("arm=filter_grpo",)),
    "joint": ("hybrid", ("mix=joint",)),
    "guide misplaced hint": ("guide_grpo", ("run.teacher=misplaced:teacher",)),
    "vpd shuffled feedback": ("vpd", ("shuffled=true",)),
    "guide mostly_fail": ("guide_grpo", ("trigger=mostly_fail",)),
    "guide always": ("guide_grpo", ("trigger=always", "mode=balanced")),
    "guide plain denominator": ("guide_grpo", ("correction=plain",)),
    "guide clipped": ("guide_grpo", ("clip_guided=true",)),
    "guide unshaped": ("guide_grpo", ("shape=none",)),
    "vpd every step": ("vpd", ("every=1",)),
    "vpd every tenth": ("vpd", ("every=10",)),
    "vpd fixed prior": ("vpd", ("prior=fixed",)),
    "reshape": ("hybrid", ("mix=reshape",)),
    "reweight": ("hybrid", ("mix=reweight",)),
}
MAIN = ("grpo", "guide_grpo", "sdpo", "vpd")
T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}  # Student's t for so many seeds


def folder_of(out: Path, arm: str, seed: int) -> Path:
    return out / arm.replace(" ", "-") / f"seed-{seed}"


def run(given: argparse.Namespace) -> None:
    """Go on with what is not finished, until the time is up."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    from swegym.cli.train import quiet_libraries
    from swegym.cli.train_online import Progress, pass_at_1, resolve

    quiet_libraries()
    ends = time.monotonic() + 60 * given.minutes
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    for seed in range(given.seeds):
        for arm in given.arms:
            kind, changes = ARMS[arm]
            out = folder_of(Path(given.out), arm, seed)
            if (out / "train.json").is_file():
                continue
            left = ends - time.monotonic()
            if left < 20:
                print(f"next: {arm}, seed {seed}")
                return
            file = ROOT / "scripts" / "configs" / "micro" / f"{kind}.toml"
            settings = [*changes, f"seed={seed}", *given.set]
            named = {"model": given.start, "out": str(out)}
            named |= {"tasks": given.tasks} if given.tasks else {}
            config, trainer = resolve(kind, named, settings, file)
            signal.alarm(int(left))
            try:
                with Progress(f"{arm}, seed {seed}") as progress:
                    trainer(config, collect=progress.collect, rate=pass_at_1, on_step=progress.step, tell=progress.tell)
            except KeyboardInterrupt:
                print(f"time is up in {arm}, seed {seed}; the same command goes on")
                return
            finally:
                signal.alarm(0)
    print("all arms are finished")


def curves(out: Path, arm: str, seeds: int) -> list[dict[str, list[Any]]]:
    """Of each finished seed: measured steps, attempts until then, and held-out rates; and what was logged."""
    from swegym.train.measure import read_metrics

    found = []
    for seed in range(seeds):
        folder = folder_of(out, arm, seed)
        if not (folder / "train.json").is_file():
            continue
        lines = read_metrics(folder / "metrics.jsonl")
        curve: dict[str, list[Any]] = {"step": [0], "attempts": [0], "held_out": [rate_of(folder, 0)]}
        for line in lines:
            if "held_out" in line:
                curve["step"].append(line["step"])
                curve["attempts"].append(line["attempts"])
                curve["held_out"].append(line["held_out"])
        for name in ("solved", "solved_guided", "teacher_margin", "entropy", "length", "groups_rescued", "feedback"):
            curve[name] = [line.get(name) for line in lines]
        found.append(curve)
    return found


def rate_of(folder: Path, step: int) -> float:
    judged = [t for t in measured(folder, step) if t.verdict.resolved is not None]
    return sum(bool(t.verdict.resolved) for t in judged) / len(judged)


def measured(folder: Path, step: int) -> list[Any]:
    from swegym.rollout.folder import RunFolder

    return RunFolder(folder / "measured" / f"step-{step:08}").trajectories()


def with_interval(values: list[float]) -> dict[str, float]:
    """The mean over seeds with its 95 % interval by Student's t; of one seed there is none."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return {"mean": mean, "seeds": len(values)}
    half = T95.get(len(values), 2.0) * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half, "seeds": len(values)}


def at_attempts(curve: dict[str, list[Any]], attempts: int) -> float:
    """The held-out rate when so many attempts had been made, between two measurements by a straight line."""
    points = list(zip(curve["attempts"], curve["held_out"], strict=True))
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 <= attempts <= x1:
            return float(y0 + (y1 - y0) * (attempts - x0) / max(1, x1 - x0))
    return float(points[-1][1])


def decomposed(out: Path, arm: str) -> dict[str, Any] | None:
    """Of the first seed: before and after, with another sample of the untrained policy as the placebo."""
    from swegym.report.decomposition import decompose, outcomes

    first, second = folder_of(out, arm, 0), folder_of(out, arm, 1)
    if not (first / "train.json").is_file() or not (second / "train.json").is_file():
        return None
    last = json.loads((first / "train.json").read_text("utf-8"))["steps"]
    before, after, again = measured(first, 0), measured(first, last), measured(second, 0)
    k = max(trajectory.attempt for trajectory in before) + 1
    return decompose(outcomes(before), outcomes(after), k=k, placebo=outcomes(again)).as_json()


def hacks_of(out: Path, arm: str, tasks: int) -> dict[str, Any] | None:
    """How many attempts of the trained policy the strict grader finds hacked, on held-out tasks."""
    from swegym.config import read_toml, validate
    from swegym.policies.hf_engine import close_engines
    from swegym.rollout import RunConfig, collect
    from swegym.rollout.hacking import hack_counts
    from swegym.train.splits import tasks_of_split

    folder = folder_of(out, arm, 0)
    if not (folder / "train.json").is_file():
        return None
    settings = read_toml(folder / "config.toml")
    own = {name: value for name, value in settings["run"].items() if not name.startswith("teacher")}
    asked = {
        **own,
        "tasks": settings["tasks"],
        "patterns": tasks_of_split(settings["tasks"], "dev", tasks),
        "grader": "sealed",
        "policy": "hf",
        "policy_options": {**settings["policy_options"], "model": str(folder / "model")},
        "out": str(folder / "strict"),
        "jobs": settings["jobs"],
    }
    made = collect(validate(RunConfig, asked, "strict")).trajectories()
    close_engines()
    return {**hack_counts(made), "solved": sum(t.verdict.resolved is True for t in made)}


def report(given: argparse.Namespace) -> None:
    from machine import write_results

    out = Path(given.out)
    found = {arm: curves(out, arm, given.seeds) for arm in ARMS}
    found = {arm: made for arm, made in found.items() if made}
    if not found:
        raise SystemExit(f"{out}: no arm is finished. Run `python scripts/reproduce/online.py run START {out}`.")
    shortest = min(curve["attempts"][-1] for made in found.values() for curve in made)
    results: dict[str, Any] = {"equal_attempts": shortest, "arms": {}}
    for arm, made in found.items():
        results["arms"][arm] = {
            "start": with_interval([curve["held_out"][0] for curve in made]),
            "equal_updates": with_interval([curve["held_out"][-1] for curve in made]),
            "equal_attempts": with_interval([at_attempts(curve, shortest) for curve in made]),
            "attempts": statistics.fmean(curve["attempts"][-1] for curve in made),
            "steps": made[0]["step"][-1],
            "curves": made,
            "decomposition": decomposed(out, arm),
        }
        if given.strict:
            results["arms"][arm]["strict"] = hacks_of(out, arm, given.strict)
    print(write_results(given.name, results))
    plot(found, ROOT / "docs" / "plots", given.name)
    for arm, entry in results["arms"].items():
        shown = {name: entry[name] for name in ("start", "equal_updates", "equal_attempts")}
        text = "  ".join(
            f"{name} {v['mean']:.3f}" + (f" [{v['low']:.3f}, {v['high']:.3f}]" if "low" in v else "")
            for name, v in shown.items()
        )
        print(f"{arm:24} {text}")


def plot(found: dict[str, list[dict[str, list[Any]]]], folder: Path, name: str) -> None:
    """Held-out rate against steps, and the teacher's margin, each seed a thin line and the mean a thick one."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    folder.mkdir(exist_ok=True)
    main = [arm for arm in found if arm in MAIN] or list(found)
    for quantity, axis, label in (
        ("held_out", "step", "held-out tasks solved"),
        ("held_out", "attempts", "held-out tasks solved"),
        ("teacher_margin", "step", "teacher's margin"),
    ):
        figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
        for number, arm in enumerate(main):
            made = found[arm]
            if quantity == "teacher_margin":
                lines = [
                    [(step + 1, value) for step, value in enumerate(curve[quantity]) if value is not None]
                    for curve in made
                ]
            else:
                lines = [list(zip(curve[axis], curve[quantity], strict=True)) for curve in made]
            lines = [line for line in lines if line]
            if not lines:
                continue
            colour = f"C{number}"
            for line in lines:
                axes.plot(*zip(*line, strict=True), color=colour, alpha=0.25, linewidth=1)
            if quantity == "held_out":
                mean = [
                    (statistics.fmean(p[0] for p in points), statistics.fmean(p[1] for p in points))
                    for points in zip(*lines, strict=False)
                ]
                axes.plot(*zip(*mean, strict=True), color=colour, linewidth=2, label=arm, marker="o", markersize=3)
            else:
                axes.plot([], [], color=colour, linewidth=2, label=arm)
        axes.set(xlabel="updates" if axis == "step" else "attempts made", ylabel=label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(folder / f"{name}-{quantity}-{axis}.svg", metadata={"Date": None})
        pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    running = verbs.add_parser("run", help="go on with what is not finished")
    running.add_argument("start", help="folder of the model to start from")
    running.add_argument("out")
    running.add_argument("--arms", type=lambda text: text.split(","), default=list(MAIN))
    running.add_argument("--seeds", type=int, default=3)
    running.add_argument("--minutes", type=float, default=9.0)
    running.add_argument("--tasks", help="another task set than the configs'")
    running.add_argument("--set", action="append", default=[], help="any setting of all arms, e.g. steps=300")
    running.set_defaults(do=run)
    reporting = verbs.add_parser("report", help="tables, plots and the results file of what is finished")
    reporting.add_argument("out")
    reporting.add_argument("--name", default="online-mini")
    reporting.add_argument("--seeds", type=int, default=8)
    reporting.add_argument("--strict", type=int, default=0, help="grade so many attempts of each arm strictly")
    reporting.set_defaults(do=report)
    given = parser.parse_args()
    unknown = set(getattr(given, "arms", [])) - ARMS.keys()
    if unknown:
        parser.error(f"no such arm: {', '.join(sorted(unknown))}. There are: {', '.join(ARMS)}.")
    given.do(given)


if __name__ == "__main__":
    main()
