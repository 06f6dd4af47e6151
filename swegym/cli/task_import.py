"""`swegym tasks import`: published rows of the SWE-bench family as a task set of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swegym.cli.options import Json, Limit, TaskGlobs
from swegym.cli.screen import note, print_json, say

if TYPE_CHECKING:
    from swegym.tasks import TaskSet
    from swegym.tasks.importing import ImportReport

CloneOption = Annotated[
    list[str] | None,
    typer.Option("--clone", metavar="OWNER/NAME=DIR", help="Where a repository lies here; may be repeated."),
]
ClonesOption = Annotated[
    Path | None,
    typer.Option("--clones", metavar="FOLDER", help="Clones below it, named NAME, OWNER/NAME or OWNER__NAME."),
]
ImagesOption = Annotated[
    str | None,
    typer.Option(
        "--images",
        metavar="WHERE",
        help="Build from images: `row` for those that rows name, or docker://NAME/{docker_id}.",
    ),
]
OverridesOption = Annotated[
    Path | None,
    typer.Option("--overrides", metavar="FILE", help="TOML: build options by task id or repository."),
]


def import_tasks(
    source: Annotated[
        str, typer.Argument(metavar="ROWS", help="A .json, .jsonl or .parquet file, a folder, or hub:NAME.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="SET", help="The set's folder; made if need be.")],
    shape: Annotated[
        str, typer.Option("--format", metavar="NAME", help="The shape of the rows, where it cannot be told.")
    ] = "auto",
    tasks: TaskGlobs = None,
    limit: Limit = None,
    clone: CloneOption = None,
    clones: ClonesOption = None,
    images: ImagesOption = None,
    overrides: OverridesOption = None,
    as_json: Json = False,
) -> None:
    """Make a task set of published rows. Nothing is built yet; rows with faults are reported and left out.

    \b
    Examples:
      swegym tasks import verified.jsonl -o tasks/verified
      swegym tasks import lite.parquet -o tasks/lite -i 'pallets__*' --clone pallets/flask=../flask
      swegym tasks import tasks.jsonl -o tasks/mine --clones ~/clones --overrides builds.toml
      swegym tasks import verified.jsonl -o tasks/verified --images 'docker://swebench/sweb.eval.x86_64.{docker_id}'
      swegym tasks import lite.parquet -o tasks/lite --images row       each row names its image, which the engine has
      swegym tasks import ./task-folders -o tasks/folders          task.yaml or task.toml in each
      swegym tasks import rows.jsonl -o tasks/smith --format swe-smith --json

    Shapes: swe-bench (also Verified, Lite, version 5, SWE-Gym), swe-smith, swe-rebench, r2e-gym, multi-swe-bench.
    """
    from swegym.tasks.importing import import_rows, read_overrides

    given = read_overrides(overrides) if overrides else {}
    folder = out.expanduser().absolute()
    report = import_rows(source, folder, shape=shape, only=tasks or (), limit=limit, overrides=given, images=images)
    for row in report.refused:
        note(f"left out: {row.error}")
    known = note_clones(folder, clone, clones) if report.kept else {}
    if as_json:
        print_json(
            {
                "set": str(folder),
                "written": list(report.written),
                "unchanged": list(report.unchanged),
                "refused": [{"place": row.place, "id": row.id, "reason": str(row.error)} for row in report.refused],
                "clones": {name: str(place) for name, place in known.items()},
            }
        )
    else:
        _show(report, folder, images)
    if not report.kept:
        raise typer.Exit(1)


def note_clones(folder: Path, named: list[str] | None, below: Path | None) -> dict[str, Path]:
    """Remember the clones that `--clone` and `--clones` name, for the set at `folder`; returns those."""
    from swegym.errors import InputError
    from swegym.tasks import load_task_set
    from swegym.tasks.clones import found_clones
    from swegym.tasks.clones import note_clones as remember
    from swegym.tasks.row_recipe import RowRecipe

    if not named and below is None:
        return {}
    task_set = load_task_set(folder)
    packages = {recipe.package for task in task_set if isinstance(recipe := task_set.recipe(task), RowRecipe)}
    found: dict[str, Path] = {}
    if below is not None:
        if not below.is_dir():
            raise InputError(f"--clones {below}: no such folder. Name the folder that holds the clones.")
        found.update(found_clones(below.expanduser(), sorted(packages)))
        if not found:
            raise InputError(f"--clones {below}: holds no clone of {', '.join(sorted(packages))}. Or use --clone.")
    for entry in named or ():
        package, separator, place = entry.partition("=")
        if not separator or "/" not in package or not place:
            raise InputError(f"--clone {entry!r}: expected OWNER/NAME=DIR, e.g. --clone pallets/flask=../flask.")
        found[package] = Path(place).expanduser()
    remember(folder, found)
    return found


def prepare_rows(task_set: TaskSet, named: list[str] | None, below: Path | None, overrides: Path | None) -> None:
    """Note clones, and apply overrides to the recipes, of the sets to which these tasks belong."""
    from swegym.tasks.importing import override_set, read_overrides

    given = read_overrides(overrides) if overrides else {}
    for folder in dict.fromkeys(file.parent for file in task_set.recipes.values()):
        note_clones(folder, named, below)
        if given:
            changed = override_set(
                folder, [task for task, file in task_set.recipes.items() if file.parent == folder], given
            )
            note(f"{folder}: {len(changed)} recipes changed by {overrides}")


def _show(report: ImportReport, folder: Path, images: str | None) -> None:
    say(f"{report.kept} rows are in {folder} ({len(report.written)} new or changed), {len(report.refused)} left out.")
    if report.kept:
        say(f"Next: swegym tasks build {folder}{'' if images else ' --clones FOLDER_OF_CLONES'}")
