"""`swegym tasks`: look at task sets, build them, and prove that each task is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from swegym.cli import task_generate, task_mine, task_mutate
from swegym.cli.build import build_missing, build_with_progress, reason
from swegym.cli.options import Jobs, Json, Limit, SetArgument, TaskGlobs, TaskOption, cores
from swegym.cli.screen import print_json, say, show_table
from swegym.cli.task_check import check
from swegym.cli.task_import import CloneOption, ClonesOption, OverridesOption, import_tasks, prepare_rows
from swegym.cli.task_strengthen import strengthen

if TYPE_CHECKING:
    from swegym.tasks import TaskSet

app = typer.Typer(no_args_is_help=True, help="List, show, build and check tasks.")
app.command("import")(import_tasks)
app.command("check")(check)
app.command("strengthen")(strengthen)
app.add_typer(task_mine.app, name="mine")


app.command("generate")(task_generate.generate)
app.command("mutate")(task_mutate.mutate)


@app.command("list")
def list_tasks(
    task_set: Annotated[
        str | None, typer.Argument(metavar="SET", help="A task set; without it, the sets are listed.")
    ] = None,
    tasks: TaskGlobs = None,
    as_json: Json = False,
) -> None:
    """List the task sets, or the tasks of one.

    \b
    Examples:
      swegym tasks list
      swegym tasks list pypi
      swegym tasks list pypi -i 'sqlparse-*'
      swegym tasks list ./my-set --json
    """
    from swegym.tasks import known_task_sets, load_task_set

    if task_set is None:
        sets = [load_task_set(folder) for folder in known_task_sets().values()]
        rows = [
            {"set": found.name, "version": found.version, "tasks": len(found), "description": found.description}
            for found in sets
        ]
    else:
        chosen = load_task_set(task_set).select(tasks or ())
        rows = [_row(chosen, task) for task in chosen]
    if as_json:
        print_json(rows)
    else:
        columns = list(rows[0]) if rows else ["set"]
        show_table(columns, [[_cell(row[column]) for column in columns] for row in rows])


def _row(task_set: TaskSet, task: str) -> dict[str, Any]:
    recipe = task_set.recipe(task)
    return {
        "task": task,
        "set": task_set.home(task),
        "kind": recipe.source,
        "package": f"{recipe.package} {recipe.version}",
        "fail_to_pass": sum(map(len, recipe.fail_to_pass.values())),
        "pass_to_pass": sum(map(len, recipe.pass_to_pass.values())),
        "built": task_set.is_built(task),
    }


def _cell(value: object) -> object:
    return ("yes" if value else "no") if isinstance(value, bool) else value


@app.command("show")
def show(
    task_set: SetArgument,
    task: TaskOption,
    gold: Annotated[bool, typer.Option("--gold", help="Also what no policy may see: fix and hidden tests.")] = False,
    as_json: Json = False,
) -> None:
    """Show one task as a policy sees it.

    \b
    Examples:
      swegym tasks show pypi -i sqlparse-0.5.1-0.5.2
      swegym tasks show pypi -i sqlparse-0.5.1-0.5.2 --gold
      swegym tasks show pypi -i sqlparse-0.5.1-0.5.2 --json
    """
    from dataclasses import asdict

    from swegym.tasks import load_task_set

    found = load_task_set(task_set)
    found.recipe(task)
    build_missing(found, [task], 1)
    loaded = found.load(task)
    public = asdict(loaded.public())
    private: dict[str, Any] = {}
    if gold:
        private = {
            "gold_patch": loaded.gold_patch,
            "fail_to_pass": list(loaded.hidden.fail_to_pass),
            "pass_to_pass": list(loaded.hidden.pass_to_pass),
        }
    if as_json:
        print_json({**public, **private})
        return
    say(f"{loaded.id}  ({loaded.repo}, set {loaded.set}, digest {loaded.digest[:12]})")
    say(f"visible tests: {', '.join(public['visible'])}\n")
    say(loaded.issue.strip())
    if gold:
        say("\nreference fix:\n")
        say(loaded.gold_patch.rstrip())
        say("\nhidden tests that must turn from failing to passing:")
        for name in loaded.hidden.fail_to_pass:
            say(f"  {name}")
        say(f"and {len(loaded.hidden.pass_to_pass)} that must go on passing.")


@app.command("build")
def build(
    task_set: SetArgument,
    tasks: TaskGlobs = None,
    limit: Limit = None,
    jobs: Jobs = None,
    clone: CloneOption = None,
    clones: ClonesOption = None,
    overrides: OverridesOption = None,
    as_json: Json = False,
) -> None:
    """Build tasks: download or check out, install, seal, store. What is built already costs nothing.

    \b
    Examples:
      swegym tasks build demo
      swegym tasks build pypi -i 'tabulate-*' -j 4
      swegym tasks build pypi --json
      swegym tasks build ./verified --clone pallets/flask=../flask     imported rows need clones
      swegym tasks build ./verified --clones ~/clones --overrides builds.toml
    """
    from swegym.tasks import load_task_set

    prepare_rows(load_task_set(task_set), clone, clones, overrides)
    chosen = load_task_set(task_set).select(tasks or (), limit)
    results = build_with_progress(chosen, chosen, jobs or cores())
    failed = [result for result in results if not result.built]
    if as_json:
        print_json(
            [
                {
                    "task": result.id,
                    "built": result.built,
                    "cached": result.cached,
                    "seconds": round(result.seconds, 3),
                    "error": str(result.error) if result.error else None,
                }
                for result in results
            ]
        )
    else:
        for result in failed:
            say(reason(result))
        fresh = sum(result.built and not result.cached for result in results)
        say(f"{len(results) - len(failed)} of {len(results)} tasks are built ({fresh} just now).")
        if not failed:
            say(f"Next: swegym tasks check {task_set}")
    if failed:
        raise typer.Exit(1)
