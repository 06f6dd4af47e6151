"""`swegym tasks mutate`: inject bugs into packages and keep those that make tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swegym.cli.options import Jobs, Json, cores
from swegym.cli.progress import Board
from swegym.cli.screen import print_json, say, show_table

if TYPE_CHECKING:
    from swegym.tasks.mining import Project
    from swegym.tasks.mutating import Tried, Yield

Out = Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The task set to write to; made if need be.")]


def mutate(
    packages: Annotated[
        list[str], typer.Argument(metavar="PACKAGE...", help="NAME, NAME==VERSION, or a releases/*.toml of a set.")
    ],
    out: Out,
    count: Annotated[int, typer.Option("--count", min=1, help="Recipes of one release, those in DIR included.")] = 10,
    tries: Annotated[int, typer.Option("--tries", min=1, help="Mutations of one release that are run at most.")] = 400,
    seed: Annotated[int, typer.Option("--seed", help="Orders the mutations and deals the tests.")] = 1,
    operator: Annotated[list[str] | None, typer.Option("--operator", help="Only this one; may be repeated.")] = None,
    rank: Annotated[
        str | None, typer.Option("--rank", metavar="FROM-TO", help="Only where the place is this hard to find.")
    ] = None,
    source: Annotated[list[str] | None, typer.Option("--source", help="Path of the package's own code.")] = None,
    tests: Annotated[list[str] | None, typer.Option("--tests", help="Path of its tests.")] = None,
    require: Annotated[list[str] | None, typer.Option("--require", help="What its tests need besides.")] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds for one whole test run.")] = 60.0,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Inject bugs into releases of packages; keep those that visible tests notice and hidden tests decide.

    Each mutation is tried by running the package's own tests in a sandbox. The same command goes on where it was ended.

    \b
    Examples:
      swegym tasks mutate inflection parse==1.22.4 -o my-mutants
      swegym tasks mutate toolz -o my-mutants --count 20 --rank 20-400
      swegym tasks mutate tabulate -o my-mutants --tests test --operator slice_bound
      swegym tasks mutate my-mutants/releases/*.toml -o my-mutants --count 30 -j 8
      swegym tasks check ./my-mutants
    """
    from swegym.errors import SwegymError, UnknownName
    from swegym.grading.pytest_run import run_hidden
    from swegym.sandbox import sandbox_factory
    from swegym.tasks import mutating
    from swegym.tasks.operators import OPERATORS

    for name in operator or ():
        if name not in OPERATORS:
            raise UnknownName.among("mutation operator", name, OPERATORS, "See docs/operators.md.")
    wanted = mutating.Wanted(count, tries, seed, tuple(operator or ()), _ranks(rank), jobs or cores())
    given = {"source_paths": tuple(source or ()), "test_paths": tuple(tests or ()), "timeout": timeout}
    given["requirements"] = tuple(require or ())
    write_set_file(out, 'description = "Injected bugs; half of each package\'s own tests are hidden."\n')
    results: list[tuple[str, Yield | str]] = []
    with Board("mutating", len(packages)) as board:
        for package in packages:

            def show(tried: Tried, package: str = package) -> None:
                label = f"{package} {tried.path}:{tried.line} {tried.operator}"
                board.outcome(package, label, "kept" if tried.task else "dropped", 0.0, tried.task or tried.result)

            board.doing(package, "running its tests")
            try:
                project = _project(package, given)
                found = mutating.mutate(project, out, wanted, sandbox_factory(), run_hidden, show)
            except SwegymError as error:
                results.append((package, str(error)))
                board.end(package, "failed", str(error))
            else:
                results.append((package, found))
                board.end(package, "done", f"{len(found.tasks)} tasks of {found.tried} mutations")
    _report(results, out, as_json)
    if any(isinstance(found, str) for _, found in results):
        raise typer.Exit(1)


def _ranks(text: str | None) -> range | None:
    from swegym.errors import InputError

    if text is None:
        return None
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last or first).isdigit():
        raise InputError(f"--rank {text!r}: expected FROM-TO, e.g. --rank 5-40.")
    return range(int(first), int(last or first) + 1)


def _project(package: str, given: dict[str, Any]) -> Project:
    from swegym.tasks import mutating

    if package.endswith(".toml"):
        return mutating.project_of(Path(package))
    name, _, version = package.partition("==")
    return mutating.look(name, version or None, **given)


def _report(results: list[tuple[str, Yield | str]], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"package": package, "error": found}
                if isinstance(found, str)
                else {
                    "package": found.package,
                    "version": found.version,
                    "tasks": list(found.tasks),
                    "tried": found.tried,
                    "reasons": dict(found.reasons),
                }
                for package, found in results
            ]
        )
        return
    rows = []
    for package, found in results:
        if isinstance(found, str):
            rows.append((package, 0, 0, found))
        else:
            reasons = ", ".join(f"{count} {reason}" for reason, count in list(found.reasons.items())[:4])
            rows.append((f"{found.package} {found.version}", len(found.tasks), found.tried, reasons))
    show_table(("package", "tasks", "tried", "why not the others"), rows)
    if any(row[1] for row in rows):
        say(f"Next: swegym tasks check ./{out}" if not out.is_absolute() else f"Next: swegym tasks check {out}")


def write_set_file(folder: Path, rest: str) -> None:
    """Make the folder a task set, unless it is one."""
    import re

    from swegym.errors import InputError
    from swegym.images import store

    name = folder.absolute().name
    if (folder / "set.toml").exists():
        return
    if not re.fullmatch("[a-z0-9][a-z0-9-]*", name):
        raise InputError(f"-o {folder}: a task set is called what its folder is; use small letters, digits and dashes.")
    text = f'name = "{name}"\nversion = "1"\n{rest}'
    store.write_atomically(folder / "set.toml", text.encode())
