"""`swegym export`: training data and other formats from runs, and why attempts gave none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swegym.cli.options import Json, existing_run
from swegym.cli.screen import note, print_json, say, show_table
from swegym.errors import InputError

if TYPE_CHECKING:
    from swegym.data.rows import RowSet


def export(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="pairs, steps, sft, reward, reward-pairs, kto, groups, messages, atif or predictions.",
        ),
    ],
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Run folders, or their names below runs/.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help=".jsonl or .parquet. [default: KIND.jsonl in the first RUN]"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Decides what is drawn.")] = 0,
    split: Annotated[
        str, typer.Option("--split", metavar="SPLIT", help="Only tasks of train, dev or test; `any` asks for no split.")
    ] = "train",
    max_characters: Annotated[
        int | None, typer.Option("--max-characters", min=1, metavar="N", help="Leave out sides that are longer.")
    ] = None,
    near: Annotated[
        float,
        typer.Option("--near", min=0.0, max=1.0, metavar="X", help="From which likeness a success repeats another."),
    ] = 0.95,
    balance: Annotated[bool, typer.Option("--balance", help="Pairs: chosen is longer as often as shorter.")] = False,
    share: Annotated[
        float | None,
        typer.Option("--share", min=0.0, max=1.0, metavar="X", help="sft: of the successes. [default: 0.2]"),
    ] = None,
    guided: Annotated[
        str, typer.Option("--guided", metavar="HOW", help="sft: drop guided successes, strip their hint, or keep it.")
    ] = "drop",
    until: Annotated[
        str, typer.Option("--until", metavar="WHERE", help="steps: a side ends with its turn, or at the end.")
    ] = "turn",
    feedback: Annotated[
        list[str] | None,
        typer.Option("--feedback", metavar="KIND", help="groups: sibling, env; in order. [default: both]"),
    ] = None,
    untrusted: Annotated[
        bool, typer.Option("--untrusted", help="Also tasks whose tests a check found weak or flaky.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make training data, or another format, from the attempts of runs.

    \b
    Examples:
      swegym export pairs runs/demo
      swegym export steps runs/demo --until end
      swegym export sft first second -o sft.parquet --share 1
      swegym export groups runs/demo -o groups.jsonl --feedback env
      swegym export predictions runs/demo -o preds.jsonl

    Hints are in no row, and every attempt that gave none is counted with the reason. See docs/data.md.
    """
    from swegym.config import validate
    from swegym.data.guards import Guards
    from swegym.data.make import MakeOptions
    from swegym.rollout import RunFolder

    options = {"seed": seed, "guided": guided, "until": until}
    options |= {} if share is None else {"share": share}
    options |= {"feedback": feedback} if feedback else {}
    guards = Guards(
        refusals=refusals(split, untrusted=untrusted),
        max_characters=max_characters,
        near_duplicates=near,
        length="balance" if balance else "report",
    )
    folders = [RunFolder(existing_run(run)) for run in runs]
    file = out or folders[0].path / f"{kind}.jsonl"
    made = write_rows(kind, folders, file, validate(MakeOptions, options, "swegym export"), guards)
    if as_json:
        print_json({"file": str(file), **made.report()})
        return
    show_made(made)
    say(f"Written to {file}.")


def refusals(split: str, *, untrusted: bool = False) -> tuple[Any, ...]:
    """What is refused because of its task."""
    from swegym.data.held_out import held_out
    from swegym.data.trusted import untrusted as not_trusted
    from swegym.errors import UnknownName

    splits = ("train", "dev", "test", "any")
    if split not in splits:
        raise UnknownName.among("split", split, splits)
    of_split = () if split == "any" else (held_out(split),)  # type: ignore[arg-type]
    return of_split if untrusted else (*of_split, not_trusted())


def write_rows(kind: str, folders: list[Any], file: Path, options: Any, guards: Any) -> RowSet:
    """Make the rows of some runs together and write them."""
    from swegym.data.attempts import read_runs
    from swegym.data.make import make

    attempts = read_runs(folders)
    for problem in attempts.problems[:3]:
        note(problem)
    made = make(kind, attempts, options, guards)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        made.write(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}. Name a file by -o that can be.") from None
    return made


def show_made(made: RowSet) -> None:
    """How many rows, what is worth knowing of them, and what gave none."""
    report = made.report()
    show_table((made.kind, "tasks"), [(report["rows"], report["tasks"] or "")])
    if not made.rows and not made.dropped:
        say("No rows: there is no attempt, or none that solved its task.")
    bias = made.notes.get("length", {})
    told = {"": bias, " after balancing": bias.get("balanced", {})}
    told = {when: one for when, one in told.items() if one.get("pairs")}
    if told:
        show_table(
            ("", *(f"mean {one['unit']}{when}" for when, one in told.items())),
            [(side, *(one[f"{side}_mean"] for one in told.values())) for side in ("chosen", "rejected")],
        )
    for when, one in told.items():
        share = f"chosen is the longer side in {one['chosen_longer']:.0%} of {one['pairs']} pairs{when}"
        say(f"{share}, {one['deviations']:+.1f} standard deviations from no bias")
    for name, counts in made.notes.items():
        if name != "length":
            say(f"{name}: {', '.join(f'{k} {v}' for k, v in counts.items()) if isinstance(counts, dict) else counts}")
    if made.dropped:
        rows = [(count, why, ", ".join(made.examples.get(why, ())[:2])) for why, count in made.dropped.most_common()]
        show_table(("not used", "because", "such as"), rows)
