"""The online verbs of `swegym train`: the model attempts tasks, and learns from what came of it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from swegym.cli.options import Json
from swegym.cli.screen import note, print_json, say
from swegym.cli.step_line import StepLine

if TYPE_CHECKING:
    from swegym.rollout import Event, RunConfig, RunFolder

app = typer.Typer(no_args_is_help=True)  # its commands join those of swegym.cli.train

ConfigFile = Annotated[
    Path | None, typer.Option("-c", "--config", metavar="FILE", help="Settings from a TOML file; flags win.")
]
ModelFolder = Annotated[
    str | None, typer.Option("-m", "--model", metavar="DIR", help="Folder of the model to start from.")
]
Tasks = Annotated[
    str | None, typer.Option("--tasks", metavar="SET", help="The task set whose training split is attempted.")
]
Out = Annotated[str | None, typer.Option("-o", "--out", metavar="DIR", help="Where everything goes, and goes on from.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. attempts=16. See docs/training.md."),
]


@app.command("grpo")
def grpo(
    config: ConfigFile = None,
    model: ModelFolder = None,
    tasks: Tasks = None,
    out: Out = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Compare attempts at a task with each other: group-relative policy optimisation. Resumes.

    \b
    Examples:
      swegym train grpo -c scripts/configs/micro/grpo.toml -m MODEL -o runs/grpo
      swegym train grpo -m MODEL --tasks mutants -o runs/grpo --set attempts=8 --set compute.lora.rank=32
      swegym train grpo -c grpo.toml --set arm=filter_grpo --set refill=2
    """
    carry_out("grpo", config, model, tasks, out, overrides, as_json)


@app.command("guide_grpo")
def guide_grpo(
    config: ConfigFile = None,
    model: ModelFolder = None,
    tasks: Tasks = None,
    out: Out = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """GRPO with hints where every attempt at a task fails, corrected for them: Guide-GRPO. Resumes.

    \b
    Examples:
      swegym train guide_grpo -c scripts/configs/micro/guide_grpo.toml -m MODEL -o runs/guide
      swegym train guide_grpo -c guide.toml --set trigger=mostly_fail --set threshold=0.25
      swegym train guide_grpo -c guide.toml --set mode=append --set run.teacher_options.strength=plan
    """
    carry_out("guide_grpo", config, model, tasks, out, overrides, as_json)


@app.command("sdpo")
def sdpo(
    config: ConfigFile = None,
    model: ModelFolder = None,
    tasks: Tasks = None,
    out: Out = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Learn what the model itself predicts once it is told feedback: self-distillation. Resumes.

    \b
    Examples:
      swegym train sdpo -c scripts/configs/micro/sdpo.toml -m MODEL -o runs/sdpo
      swegym train sdpo -c sdpo.toml --set divergence=reverse --set top=20
      swegym train sdpo -c sdpo.toml --set shuffled=true        a control, which must teach nothing
    """
    carry_out("sdpo", config, model, tasks, out, overrides, as_json)


@app.command("vpd")
def vpd(
    config: ConfigFile = None,
    model: ModelFolder = None,
    tasks: Tasks = None,
    out: Out = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Self-distillation whose teacher learns, too: variational policy distillation. Resumes.

    \b
    Examples:
      swegym train vpd -c scripts/configs/micro/vpd.toml -m MODEL -o runs/vpd
      swegym train vpd -c vpd.toml --set every=1
      swegym train vpd -c vpd.toml --set prior=fixed
    """
    carry_out("vpd", config, model, tasks, out, overrides, as_json)


@app.command("hybrid")
def hybrid(
    config: ConfigFile = None,
    model: ModelFolder = None,
    tasks: Tasks = None,
    out: Out = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Reward and self-distillation together: the sum of both losses, or advantages that the teacher changes. Resumes.

    \b
    Examples:
      swegym train hybrid -c scripts/configs/micro/hybrid.toml -m MODEL -o runs/joint
      swegym train hybrid -c hybrid.toml --set mix=reshape
      swegym train hybrid -c hybrid.toml --set mix=reweight --set share=0.5
    """
    carry_out("hybrid", config, model, tasks, out, overrides, as_json)


def carry_out(
    kind: str,
    file: Path | None,
    model: str | None,
    tasks: str | None,
    out: str | None,
    overrides: list[str] | None,
    as_json: bool,
) -> None:
    import json

    from swegym.cli.train import quiet_libraries

    config, trainer = resolve(kind, {"model": model, "tasks": tasks, "out": out}, overrides or [], file)
    quiet_libraries()
    with Progress(f"{kind} of {Path(config.model).name}") as progress:
        folder = trainer(config, collect=progress.collect, rate=pass_at_1, on_step=progress.step, tell=progress.tell)
    if os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        print_json(json.loads((Path(config.out) / "train.json").read_text("utf-8")))
        return
    say(f"The model is in {folder}. Next: swegym run SET -p hf --set policy_options.model={folder} --eval")


def resolve(kind: str, given: dict[str, Any], overrides: list[str], file: Path | None) -> tuple[Any, Any]:
    """The config from a file, the flags and `--set`, later ones winning; and the trainer."""
    from importlib import import_module

    from swegym.config import read_toml, set_dotted, validate
    from swegym.errors import InputError

    try:
        module = import_module(f"swegym.train.{kind}")
    except ModuleNotFoundError as error:
        raise InputError(f"training needs {error.name}. pip install 'swegym[train]'") from None
    names = {"grpo": "GrpoConfig", "guide_grpo": "GuideGrpoConfig", "sdpo": "SdpoConfig", "vpd": "VpdConfig"}
    settings: dict[str, Any] = read_toml(file) if file else {}
    settings |= {name: value for name, value in given.items() if value is not None}
    for override in overrides:
        set_dotted(settings, override)
    for name, flag in (("model", "-m DIR"), ("tasks", "--tasks SET"), ("out", "-o DIR")):
        if name not in settings:
            raise InputError(
                f"{flag} is missing. Give it, or a file with `{name}` by -c. See `swegym train {kind} -h`."
            )
    config = validate(getattr(module, names.get(kind, "HybridConfig")), settings, file or f"swegym train {kind}")
    return config, getattr(module, kind)


def pass_at_1(folder: RunFolder) -> dict[str, Any] | None:
    """The solve rate of plain attempts, with its 95 % interval over tasks."""
    from swegym.report import summarise

    rate = summarise(folder.path.name, folder.trajectories()).pass_at.get(1)
    return None if rate is None else {"pass@1": rate.value, "low": rate.low, "high": rate.high, "tasks": rate.tasks}


class Progress(StepLine):
    """Attempts and steps of online training."""

    shown: ClassVar = {
        "solved": "solved {:.2f}",
        "solved_guided": "with hints {:.2f}",
        "loss": "loss {:.4f}",
        "teacher_margin": "margin {:.2f}",
        "entropy": "entropy {:.2f}",
    }

    def collect(self, config: RunConfig) -> RunFolder:
        """Carry out a run, building what is missing."""
        from swegym.cli.build import build_missing
        from swegym.rollout import collect
        from swegym.tasks import load_task_set

        chosen = load_task_set(config.tasks).select(config.patterns, config.limit)
        if any(not chosen.is_built(task) for task in chosen):
            build_missing(chosen, chosen, config.jobs)
        outcomes: Counter[str] = Counter()
        whole = len(chosen) * config.attempts

        def show(event: Event) -> None:
            if event.trajectory is not None:
                outcomes["done"] += 1
                outcomes["solved"] += event.trajectory.verdict.resolved is True
                done = f"{outcomes['done']} of {whole} attempts, {outcomes['solved']} solved"
                self.update("  ".join(part for part in (self.title, self._where, f"{config.out.name}: {done}") if part))

        return collect(config, on_event=show)

    def tell(self, text: str) -> None:
        if not self._silent:
            note(text)
