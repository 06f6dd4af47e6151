"""`swegym tasks generate`: a task set of generated repositories, by seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from swegym.cli.build import build_with_progress, reason
from swegym.cli.options import Jobs, Json, cores
from swegym.cli.screen import print_json, say
from swegym.cli.task_mutate import write_set_file


def generate(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="What is generated: micro.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The task set to write; a new folder.")],
    count: Annotated[int, typer.Option("--count", min=1, max=1_000_000, help="Tasks of each split.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same tasks.")] = 1,
    split: Annotated[
        list[str] | None, typer.Option("--split", help="train, dev or test; may be repeated. Only train if left out.")
    ] = None,
    mix: Annotated[
        str, typer.Option("--mix", metavar="F,R,A", help="How often a bug is of a frequent, a rare, an absent class.")
    ] = "0.4,0.3,0.3",
    build: Annotated[bool, typer.Option("--build", help="Build all now, not each when it is first loaded.")] = False,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Generate small repositories with one bug each, visible and hidden tests, and the fix.

    What is written is a set.toml; the tasks follow from it, on every machine the same, and are built when they are
    loaded.

    \b
    Examples:
      swegym tasks generate micro --count 1000 --seed 7 -o my-micro
      swegym tasks generate micro --count 500 --split train --split test --mix 1,1,0 -o my-micro
      swegym tasks generate micro --count 5000 --build -o my-micro
      swegym run ./my-micro -p repair --limit 20
    """
    import time

    from swegym.errors import InputError, UnknownName
    from swegym.tasks import load_task_set

    if kind != "micro":
        raise UnknownName.among("kind of generated tasks", kind, ["micro"])
    if (out / "set.toml").exists():
        remedy = f"Choose another folder, or change the counts in {out / 'set.toml'}: larger ones only add tasks."
        raise InputError(f"-o {out}: there is a task set already. {remedy}")
    write_set_file(out, _table(seed, count, split or ["train"], _weights(mix)))
    place = out if out.is_absolute() else f"./{out}"
    found = load_task_set(out.absolute())
    began = time.monotonic()
    failed: list[str] = []
    if build:
        results = build_with_progress(found, found, jobs or cores())
        failed = [reason(result) for result in results if not result.built]
    seconds = time.monotonic() - began
    if as_json:
        facts: dict[str, Any] = {"folder": str(out), "tasks": len(found), "built": len(found) - len(failed)}
        print_json(facts | {"seconds": round(seconds, 3)} if build else {"folder": str(out), "tasks": len(found)})
    else:
        for text in failed:
            say(text)
        say(f"{len(found)} tasks, {found.ids[0]} to {found.ids[-1]}.")
        if build:
            say(f"Built in {seconds:.1f} s, {60 * len(found) / max(seconds, 1e-9):.0f} a minute.")
        say(f"Next: swegym tasks show {place} -i {found.ids[0]}")
    if failed:
        raise typer.Exit(1)


def _weights(text: str) -> list[float]:
    from swegym.errors import InputError

    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    if len(weights) != 3 or min(weights) < 0 or sum(weights) <= 0:
        raise InputError(f"--mix {text!r}: expected three weights, not all of them 0, e.g. --mix 0.4,0.3,0.3.")
    return weights


def _table(seed: int, count: int, splits: list[str], weights: list[float]) -> str:
    from swegym.errors import UnknownName

    known = ("train", "dev", "test")
    mix = ", ".join(
        f"{name} = {weight:g}" for name, weight in zip(("frequent", "rare", "absent"), weights, strict=True)
    )
    lines = ['description = "Generated repositories with one bug each."', "", "[micro]", f"seed = {seed}"]
    for split in dict.fromkeys(splits):
        if split not in known:
            raise UnknownName.among("split", split, known)
        lines += ["", f"[micro.parts.{split}]", f"count = {count}", f'split = "{split}"', f"mix = {{ {mix} }}"]
    return "\n".join(lines) + "\n"
