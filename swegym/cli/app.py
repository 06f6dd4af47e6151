"""The command line: which verbs there are. Their modules are light; each imports what it works with when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from swegym import __version__
from swegym.cli import demo, doctor, export, grade, images, loop, pairs, play, redteam, report, run, tasks, train
from swegym.cli.screen import say

_SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
    help="""Real repositories as reinforcement-learning environments for software-engineering agents.

\b
  swegym doctor                            is this machine ready?
  swegym demo                              the whole loop on a few real tasks
  swegym run demo -p repair -k 4           attempt tasks, record every episode
  swegym report runs/demo                  what came out, with intervals
  swegym grade pypi --predictions P.jsonl  judge patches that exist already
""",
)
app.command()(doctor.doctor)
app.command()(demo.demo)
app.add_typer(tasks.app, name="tasks", context_settings=_SETTINGS)
app.add_typer(images.app, name="images", context_settings=_SETTINGS)
app.command()(run.run)
app.command()(play.play)
app.command()(grade.grade)
app.command()(redteam.redteam)
app.command()(report.report)
app.command()(pairs.pairs)
app.command()(export.export)
app.add_typer(train.app, name="train", context_settings=_SETTINGS)
app.command()(loop.loop)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"swegym {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass
