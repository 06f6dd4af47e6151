"""`swegym train`: supervised fine-tuning, preference optimisation and reward models, from files of `swegym export`.

The verbs that learn from attempts as they come are in train_online.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from swegym.cli import train_online
from swegym.cli.options import Json
from swegym.cli.screen import note, print_json, say
from swegym.cli.step_line import StepLine

app = typer.Typer(
    no_args_is_help=True,
    help="""Train models: from files of `swegym export` (sft, dpo, reward), or from attempts as they come (the others).

\b
  swegym train sft sft.jsonl -m MODEL -o runs/sft
  swegym train dpo pairs.jsonl -m runs/sft/model -o runs/dpo --set beta=0.1
  swegym train reward reward-pairs.jsonl -m MODEL -o runs/reward
  swegym train dpo -c dpo.toml --set optimiser.learning_rate=5e-7
  swegym train guide_grpo -c scripts/configs/micro/guide_grpo.toml -m MODEL -o runs/guide
  swegym train start -o runs/start --set size=small
  torchrun --nproc-per-node 8 -m swegym train dpo -c dpo.toml --set parallel=fsdp
""",
)
app.registered_commands += train_online.app.registered_commands

Data = Annotated[list[str] | None, typer.Argument(metavar="FILE", help="JSONL files, see docs/data.md.")]
ModelFolder = Annotated[
    str | None, typer.Option("-m", "--model", metavar="DIR", help="Folder of the model to start from.")
]
Out = Annotated[str | None, typer.Option("-o", "--out", metavar="DIR", help="Where everything goes, and goes on from.")]
ConfigFile = Annotated[
    Path | None, typer.Option("-c", "--config", metavar="FILE", help="Settings from a TOML file; flags win.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. compute.lora.rank=16. See docs/training.md."),
]


@app.command()
def sft(
    data: Data = None,
    model: ModelFolder = None,
    out: Out = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Raise the likelihood of what solved attempts said. The same command goes on where it stopped.

    \b
    Examples:
      swegym train sft sft.jsonl -m MODEL -o runs/sft
      swegym train sft sft.jsonl -m MODEL -o runs/sft --set compute.lora.rank=16
      swegym train sft -c sft.toml --set epochs=2
    """
    carry_out("sft", data, model, out, config, overrides, as_json)


@app.command()
def dpo(
    data: Data = None,
    model: ModelFolder = None,
    out: Out = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Prefer what solved a task to what did not. The model to start from is also the frozen reference.

    \b
    Examples:
      swegym train dpo pairs.jsonl -m runs/sft/model -o runs/dpo
      swegym train dpo pairs.jsonl -m MODEL -o runs/dpo --set kind=sigmoid_norm --set nll=0.1
      swegym train dpo -c dpo.toml --set tokens_per_batch=32768
    """
    carry_out("dpo", data, model, out, config, overrides, as_json)


@app.command()
def reward(
    data: Data = None,
    model: ModelFolder = None,
    out: Out = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Train a score of patches, or of whole attempts, for `--pick reward:DIR`.

    \b
    Examples:
      swegym train reward reward-pairs.jsonl -m MODEL -o runs/reward       which of two patches solves the task
      swegym train reward reward.jsonl -m MODEL -o runs/verifier           does this patch solve it
      swegym train reward pairs.jsonl -m MODEL -o runs/judge --set input=trajectory
    """
    carry_out("reward", data, model, out, config, overrides, as_json)


@app.command()
def start(out: Out = None, config: ConfigFile = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Make a small model from nothing that knows the tools: a start for reinforcement learning on generated tasks.

    \b
    Examples:
      swegym train start -o runs/start                                      mini, minutes on a CPU
      swegym train start -o runs/start --set size=small --set demonstrations.count=20000
      swegym train start -o runs/cold --set demonstrations.hinted=0 --set demonstrations.feedback=0
    """
    made = resolve("start", {"out": out}, overrides or [], config)
    quiet_libraries()
    with StepLine(f"start, {made[0].size}") as progress:
        folder = made[1](made[0], on_step=progress.step)
    if as_json:
        print_json({"model": str(folder)})
    else:
        say(f"The model is in {folder}. What to do with it: docs/training.md.")


def carry_out(
    kind: str,
    data: list[str] | None,
    model: str | None,
    out: str | None,
    file: Path | None,
    overrides: list[str] | None,
    as_json: bool,
) -> None:
    import json

    given: dict[str, Any] = {"data": data or None, "model": model, "out": out}
    config, trainer = resolve(kind, given, overrides or [], file)
    quiet_libraries()
    with StepLine(f"{kind} of {Path(config.model).name}") as progress:
        folder = trainer(config, on_step=progress.step)
    if os.environ.get("RANK", "0") != "0":
        return
    report = json.loads((Path(config.out) / "train.json").read_text("utf-8"))
    if as_json:
        print_json(report)
        return
    for reason, count in report.get("refused", {}).items():
        note(f"{count} left out: {reason}; see {config.out}/refused.jsonl")
    for name, value in report.get("measured", {}).items():
        say(f"held out, {name}: {value:.3f}" if isinstance(value, float) else f"held out, {name}: {value}")
    if kind == "reward":
        say(f"The model is in {folder}. Next: swegym report RUN --pick reward:{folder}")
    else:
        say(f"The model is in {folder}. Next: swegym run SET -p hf --set policy_options.model={folder} --eval")


def resolve(kind: str, given: dict[str, Any], overrides: list[str], file: Path | None) -> tuple[Any, Any]:
    """The config from a file, the flags and `--set`, later ones winning; and the trainer."""
    from swegym.config import read_toml, set_dotted, validate
    from swegym.errors import InputError

    try:
        if kind == "sft":
            from swegym.train.sft import SftConfig as Kind
            from swegym.train.sft import sft as trainer
        elif kind == "dpo":
            from swegym.train.dpo import DpoConfig as Kind  # type: ignore[assignment]
            from swegym.train.dpo import dpo as trainer  # type: ignore[assignment]
        elif kind == "start":
            from swegym.train.start import StartConfig as Kind  # type: ignore[assignment]
            from swegym.train.start import make_start as trainer  # type: ignore[assignment]
        else:
            from swegym.train.reward import RewardConfig as Kind  # type: ignore[assignment]
            from swegym.train.reward import reward as trainer  # type: ignore[assignment]
    except ModuleNotFoundError as error:
        raise InputError(f"training needs {error.name}. pip install 'swegym[train]'") from None
    settings: dict[str, Any] = read_toml(file) if file else {}
    settings |= {name: value for name, value in given.items() if value is not None}
    for override in overrides:
        set_dotted(settings, override)
    for name, flag in (("data", "FILE"), ("model", "-m DIR"), ("out", "-o DIR")):
        if name in Kind.model_fields and name not in settings:
            raise InputError(
                f"{flag} is missing. Give it, or a file with `{name}` by -c. See `swegym train {kind} -h`."
            )
    return validate(Kind, settings, file or f"swegym train {kind}"), trainer


def quiet_libraries() -> None:
    """No progress bars and remarks of transformers between ours."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
