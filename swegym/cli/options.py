"""Arguments and flags that several verbs share, so that a letter means the same everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

SetArgument = Annotated[str, typer.Argument(metavar="SET", help="Name of a task set, or a folder with a set.toml.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its name below runs/.")]
TaskGlobs = Annotated[
    list[str],
    typer.Option("-i", "--task", metavar="GLOB", help="Only these tasks; may be repeated.", default_factory=list),
]
Jobs = Annotated[
    int, typer.Option("-j", "--jobs", min=1, metavar="N", help="How many at a time.", default_factory=lambda: cores())
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N tasks.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else on stdout.")]


def cores() -> int:
    return len(os.sched_getaffinity(0))


def run_folder(run: str) -> Path:
    """The folder that a RUN argument means."""
    path = Path(run)
    below = Path("runs") / run
    return below if not path.exists() and below.exists() else path
