"""`swegym loop`: rounds of attempts, hints, pairs and training, measured before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swegym.cli.options import Json, cores
from swegym.cli.screen import note, print_json, say, show_table
from swegym.cli.step_line import StepLine
from swegym.cli.train_online import pass_at_1

if TYPE_CHECKING:
    from swegym.rollout import RunConfig, RunFolder
    from swegym.train.common import StepDone


def loop(
    config: Annotated[
        Path | None, typer.Option("-c", "--config", metavar="FILE", help="Settings from a TOML file; flags win.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", metavar="DIR", help="Folder of the model to start from.")
    ] = None,
    tasks: Annotated[str | None, typer.Option("--tasks", metavar="SET", help="The task set to learn from.")] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", metavar="DIR", help="Where everything goes, and goes on from.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. rounds=2 or dpo.beta=0.2."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Agent-RLVR's round: attempt, hint, retry, pair, fine-tune, prefer, train a reward model, measure. Resumes.

    \b
    Examples:
      swegym loop -m MODEL --tasks micro -o runs/loop --set limit=200 --set attempts=4
      swegym loop -c loop.toml --set rounds=2          one more round where one was done
      swegym loop -m MODEL --tasks mutants -o runs/loop --set attempts=8 --set train.compute.lora.rank=32

    Training sees the training split of the task set only; the model is measured on held-out tasks, without hints.
    """
    from swegym.cli.train import quiet_libraries
    from swegym.config import read_toml, set_dotted, validate
    from swegym.errors import InputError

    settings: dict[str, Any] = read_toml(config) if config else {}
    given = {"model": model, "tasks": tasks, "out": out}
    settings |= {name: value for name, value in given.items() if value is not None}
    for override in overrides or []:
        set_dotted(settings, override)
    for name, flag in (("model", "-m DIR"), ("tasks", "--tasks SET"), ("out", "-o DIR")):
        if name not in settings:
            raise InputError(f"{flag} is missing. Give it, or a file with `{name}` by -c. See `swegym loop -h`.")
    try:
        from swegym.train.loop import LoopConfig
        from swegym.train.loop import loop as carry_out
    except ModuleNotFoundError as error:
        raise InputError(f"training needs {error.name}. pip install 'swegym[train]'") from None
    settings.setdefault("run", {}).setdefault("jobs", cores())
    quiet_libraries()
    shown = _Steps()
    report = carry_out(
        validate(LoopConfig, settings, config or "swegym loop"),
        collect=_collect,
        rate=pass_at_1,
        tell=lambda stage, text: note(f"{stage}: {text}"),
        on_step=shown.step,
    )
    if as_json:
        print_json(report)
        return
    rows = [
        (stage, f"{rate['pass@1']:.3f}", f"[{rate['low']:.3f}, {rate['high']:.3f}]", rate["tasks"])
        for stage, rate in report["rates"].items()
    ]
    show_table(("model", "pass@1", "95 % interval", "tasks"), rows)
    say(f"The model is in {report['model']}.")


def _collect(config: RunConfig) -> RunFolder:
    """One run with progress; the models of earlier stages leave memory first."""
    from swegym.cli.run import carry_out
    from swegym.policies.hf_engine import close_engines

    try:
        return carry_out(config)
    finally:
        close_engines()


class _Steps:
    """A progress line for each training run, as its steps come."""

    def __init__(self) -> None:
        self._progress: StepLine | None = None

    def step(self, done: StepDone) -> None:
        if self._progress is None:
            self._progress = StepLine("training")
        self._progress.step(done)
        if done.step == done.steps:
            self._progress = None
