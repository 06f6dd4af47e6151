"""`swegym pairs`: preference pairs from runs, and why attempts gave none. `swegym export pairs` with fewer options."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swegym.cli.export import refusals, show_made, write_rows
from swegym.cli.options import Json, existing_run
from swegym.cli.screen import print_json, say

if TYPE_CHECKING:
    from swegym.data.rows import RowSet
    from swegym.rollout import RunFolder


def pairs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Run folders, or their names below runs/.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Where to write. [default: pairs.jsonl in the first RUN]"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Decides which failure a success is paired with.")] = 0,
    max_characters: Annotated[
        int | None, typer.Option("--max-characters", min=1, metavar="N", help="Leave out pairs with a longer side.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write preference pairs: a solved attempt against an unguided failure of the same task, hints removed.

    \b
    Examples:
      swegym pairs runs/demo
      swegym pairs demo -o demo-pairs.jsonl
      swegym pairs first second -o both.jsonl     attempts of several runs together
      swegym pairs runs/demo --json

    Rows are what TRL's DPO trainer reads: prompt, chosen, rejected, tools; and where they come from.
    """
    from swegym.rollout import RunFolder

    folders = [RunFolder(existing_run(run)) for run in runs]
    file = out or folders[0].path / "pairs.jsonl"
    made = write_pairs(folders, file, seed=seed, max_characters=max_characters)
    kinds = Counter(row["kind"] for row in made.rows)
    if as_json:
        print_json({"file": str(file), "pairs": len(made), "kinds": dict(kinds), **made.report()})
        return
    show_made(made)
    say(f"chosen plain {kinds['plain']}, chosen guided {kinds['guided']}")
    say(f"Written to {file}.")


def write_pairs(folders: list[RunFolder], file: Path, *, seed: int = 0, max_characters: int | None = None) -> RowSet:
    """Make the pairs of some runs together and write them."""
    from swegym.data.guards import Guards
    from swegym.data.make import MakeOptions

    guards = Guards(refusals=refusals("train"), max_characters=max_characters)
    return write_rows("pairs", folders, file, MakeOptions(seed=seed), guards)
