"""`swegym play`: be the policy yourself, with the tools and the limits that a policy has."""

from __future__ import annotations

from typing import Annotated

import typer

from swegym.cli.build import build_missing
from swegym.cli.options import SetArgument
from swegym.cli.screen import say


def play(
    task_set: SetArgument,
    task: Annotated[
        str | None, typer.Option("-i", "--task", metavar="TASK", help="The task. [default: the first of the set]")
    ] = None,
    turns: Annotated[int, typer.Option("--turns", min=1, metavar="N", help="Turns until the episode ends.")] = 200,
    sandbox: Annotated[
        str, typer.Option("--sandbox", metavar="NAME", help="A name, or my_pkg.box:MyBox.")
    ] = "bubblewrap",
) -> None:
    """Solve a task by hand: type tool calls, see what a policy sees, and be graded.

    \b
    Examples:
      swegym play demo
      swegym play pypi -i sqlparse-0.5.1-0.5.2
      swegym play mutants --turns 20

    \b
    At the prompt:
      search double             a tool and its arguments
      read tiny/numbers.py 1 40
      bash python -m pytest -q
      submit                    or Ctrl-D: the patch is graded as it is
    """
    from swegym.env import SWEEnv
    from swegym.policies import make_policy
    from swegym.rollout import Record, rollout
    from swegym.tasks import load_task_set

    chosen = load_task_set(task_set)
    name = task or chosen.ids[0]
    chosen.recipe(name)
    build_missing(chosen, [name], 1)
    env = Record(SWEEnv(chosen, limits={"turns": turns, "seconds": 86_400.0}, sandbox=sandbox), policy="human")
    try:
        trajectory = rollout(env, make_policy("human", chosen.load(name), seed=0), task=name, seed=0)
    finally:
        env.close()
    verdict = trajectory.verdict
    say(f"\n{_word(verdict.resolved)}: {verdict.reason}")
    if trajectory.patch:
        say(f"\nYour patch:\n{trajectory.patch}")
    if not verdict.resolved:
        raise typer.Exit(1)


def _word(resolved: bool | None) -> str:
    if resolved is None:
        return "Not judged"
    return "Solved" if resolved else "Not solved"
