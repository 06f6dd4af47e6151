"""Arguments and flags that several verbs share, so that a letter means the same everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from swegym.errors import RunError

SetArgument = Annotated[str, typer.Argument(metavar="SET", help="Name of a task set, or a folder with a set.toml.")]
TaskGlobs = Annotated[
    list[str] | None, typer.Option("-i", "--task", metavar="GLOB", help="Only these tasks; may be repeated.")
]
TaskOption = Annotated[str, typer.Option("-i", "--task", metavar="TASK", help="The task.")]
Jobs = Annotated[
    int | None, typer.Option("-j", "--jobs", min=1, metavar="N", help="How many at a time; one per core if left out.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N tasks.")]
Redo = Annotated[bool, typer.Option("--redo", help="Start again; what is there is moved aside.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else on stdout.")]


def cores() -> int:
    return len(os.sched_getaffinity(0))


def existing_run(run: str) -> Path:
    """The folder that a RUN argument means: a path, or a name below runs/."""
    for path in (Path(run), Path("runs") / run):
        if path.is_dir():
            return path
    known = sorted(path.parent.name for path in Path("runs").glob("*/config.toml"))
    remedy = f"Runs here: {', '.join(known)}." if known else "Make one with `swegym run` or `swegym demo`."
    raise RunError(f"{run}: no such run folder. {remedy}")
