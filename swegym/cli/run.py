"""`swegym run`: a policy attempts tasks, a teacher may hint where it failed, and everything is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swegym.cli.build import build_missing
from swegym.cli.options import Jobs, Json, Limit, Redo, TaskGlobs, cores
from swegym.cli.pick import Pick, pick_report, show_picks
from swegym.cli.progress import Board, outcome_of
from swegym.cli.screen import note, print_json, say
from swegym.errors import InputError

if TYPE_CHECKING:
    from swegym.rollout import Event, RunConfig, RunFolder


def run(
    task_set: Annotated[
        str | None, typer.Argument(metavar="SET", help="Name of a task set, or a folder with a set.toml.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "-p",
            "--policy",
            metavar="NAME",
            help="repair, litellm, hf, staged, gold, nop, scripted, or my_pkg.module:function.",
        ),
    ] = None,
    attempts: Annotated[
        int | None, typer.Option("-k", "--attempts", min=1, metavar="K", help="Attempts at each task. [default: 1]")
    ] = None,
    jobs: Jobs = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RUN", help="The run's folder. [default: runs/SET-POLICY]")
    ] = None,
    guide: Annotated[
        str | None,
        typer.Option(
            "--guide", metavar="TRIGGER", help="When to hint: never, on-failure, all-fail, mostly-fail, always."
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="NAME",
            help="oracle, llm, critique, sibling, self, recorded, or my_pkg.module:function.",
        ),
    ] = None,
    tasks: TaskGlobs = None,
    limit: Limit = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting, e.g. seed=1 or limits.turns=20."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("-c", "--config", metavar="FILE", help="Settings from a TOML file; flags win.")
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost", min=0, metavar="DOLLARS", help="Stop before models cost more. [litellm: 10; 0: no limit]"
        ),
    ] = None,
    evaluation: Annotated[
        bool, typer.Option("--eval", help="This run measures the policy: refuse any guidance.")
    ] = False,
    redo: Redo = False,
    pick: Pick = None,
    as_json: Json = False,
) -> None:
    """Attempt tasks with a policy and record every episode. The same command goes on where it stopped.

    \b
    Examples:
      swegym run demo -p repair
      swegym run pypi -p repair -k 4 -j 8 -o runs/four
      swegym run demo -p repair --guide on-failure --teacher oracle
      swegym run pypi -p litellm --set policy_options.model=openai/gpt-4o --eval
      swegym run pypi -p hf --set policy_options.model=DIR -k 8 --pick reward:runs/reward/model --eval
      swegym run -c runs/four/config.toml            repeat or go on with a run

    What is missing is built first. `--set` takes any key of the run's config.toml, also policy_options.*.
    """
    from swegym.report import summarise

    given = {
        "tasks": task_set,
        "policy": policy,
        "attempts": attempts,
        "jobs": jobs,
        "out": str(out) if out else None,
        "guide": guide,
        "teacher": teacher,
        "patterns": tasks,
        "limit": limit,
    }
    budget = [] if max_cost is None else [f"policy_options.max_cost={max_cost}"]
    resolved = resolve(given, [*(overrides or []), *budget], config)
    if evaluation:
        refuse_guidance(resolved)
    if redo:
        set_aside(resolved.out)
    folder = carry_out(resolved)
    summary = summarise(folder.path.name, folder.trajectories())
    chosen = pick_report(folder, pick) if pick else None
    if as_json:
        print_json(summary.as_json() | ({"picks": chosen} if chosen else {}))
    else:
        from swegym.cli.report import show_summaries

        show_summaries([summary])
        if chosen:
            show_picks(chosen)
        say(f"Recorded in {folder.path}. Next: swegym report {folder.path} --tasks")
    if summary.invalid:
        note("Attempts that were not judged are tried again by the same command.")
        raise typer.Exit(1)


def carry_out(config: RunConfig) -> RunFolder:
    """Build what is missing, then collect, both with progress."""
    from swegym.guidance import make_teacher
    from swegym.policies import find_policy
    from swegym.rollout import collect
    from swegym.tasks import load_task_set

    find_policy(config.policy)  # a wrong name should not wait for a build
    make_teacher(config.teacher, config.teacher_options)
    chosen = load_task_set(config.tasks).select(config.patterns, config.limit)
    build_missing(chosen, chosen, config.jobs)

    def show(event: Event) -> None:
        guided = event.attempt.endswith("g")
        if event.kind == "task-started":
            board.doing(event.task, "")
        elif event.kind == "attempt-started":
            number = int(event.attempt.removesuffix("g").rpartition("__")[2]) + 1
            board.doing(event.task, f"attempt {number} of {config.attempts}" + (", with a hint" if guided else ""))
        elif event.kind == "hint-refused":
            note(f"no hint for {event.attempt}: {event.reason}")
        elif event.kind == "task-finished":
            board.finish(event.task)
        elif event.trajectory is not None:
            verdict = event.trajectory.verdict
            outcome = outcome_of(verdict.resolved) + (" guided" if guided else "")
            if event.kind == "attempt-kept":
                board.kept(outcome)
            else:
                detail = "" if verdict.resolved else verdict.reason
                board.outcome(event.task, event.attempt, outcome, sum(event.trajectory.seconds.values()), detail)

    with Board(f"{config.policy} on {config.tasks}", len(chosen)) as board:
        return collect(config, on_event=show)


def resolve(given: dict[str, Any], overrides: list[str], file: Path | None) -> RunConfig:
    """One config from a file, the flags and `--set`, later ones winning."""
    from swegym.config import read_toml, set_dotted, validate
    from swegym.rollout import RunConfig

    data: dict[str, Any] = read_toml(file) if file else {}
    data |= {name: value for name, value in given.items() if value is not None}
    for override in overrides:
        set_dotted(data, override)
    for name, flag in (("tasks", "SET"), ("policy", "-p POLICY")):
        if name not in data:
            raise InputError(f"{flag} is missing. Give it, or a file with `{name}` by -c. See `swegym run -h`.")
    data.setdefault("jobs", cores())
    data.setdefault("out", f"runs/{Path(str(data['tasks'])).name}-{str(data['policy']).rpartition(':')[2]}")
    return validate(RunConfig, data, file or "swegym run")


def refuse_guidance(config: RunConfig) -> None:
    if config.guide != "never":
        raise InputError.at(
            "swegym run",
            "guide",
            config.guide,
            "a run that measures a policy (--eval) takes no guidance",
            "Leave out --guide, or leave out --eval.",
        )


def set_aside(folder: Path) -> None:
    """Move a run out of the way, so that its folder is free; nothing is deleted."""
    if not folder.exists():
        return
    number = 1
    while (place := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(place)
    note(f"the earlier run is now {place}")
