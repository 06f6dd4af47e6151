"""Find mutations of a release that make good tasks, and write their recipes.

    python scripts/mine_mutants.py tabulate 0.10.0 --count 3 --seed 1
    python scripts/mine_mutants.py toolz 1.0.0 --count 2 --rank 20-400 --tests toolz/tests --out /tmp/mutants

Mutations are tried in the seed's order, each by really running the release's own tests in sandboxes, until `--count`
are found or `--tries` are used up. `--rank` keeps those whose edited statement comes in that range when all statements
are ordered by how much the failing visible tests point at them: 1-5 is easy to localise, from 20 on a hint helps.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from mine_release import array, find_source, pinned

from swegym.errors import SwegymError, TaskError
from swegym.grading.pytest_run import run_hidden
from swegym.images import store
from swegym.sandbox import open_sandbox
from swegym.tasks import mining
from swegym.tasks.recipe import MutantRecipe
from swegym.tasks.sources import pypi
from swegym.tasks.sources.archive import unpack


def main() -> int:
    arguments = parse()
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for mined in mine(arguments):
            path = free_path(folder, f"mutant-{arguments.package}-{arguments.version}")
            path.write_text(to_toml(mined), "utf-8")
            print(f"wrote {path}", file=sys.stderr)
    except SwegymError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package")
    parser.add_argument("version")
    parser.add_argument("--count", type=int, default=1, help="how many recipes to write")
    parser.add_argument("--seed", type=int, default=0, help="orders the mutations and deals the tests")
    parser.add_argument("--tries", type=int, default=60, help="how many mutations to try at most")
    parser.add_argument("--rank", default="1-1000000", metavar="FROM-TO", help="by how hard the place is to find")
    parser.add_argument("--operator", action="append", default=[], help="only these operators")
    parser.add_argument("--source", action="append", help="path of the package's own code (found by name if left out)")
    parser.add_argument("--tests", action="append", help="test folder or file (default: tests or test)")
    parser.add_argument("--require", action="append", default=[], help="what the tests need; pinned with its own needs")
    parser.add_argument("--plugin", action="append", default=[], help="pytest plugin to load")
    parser.add_argument("--ini", action="append", default=[], metavar="NAME=VALUE", help="pytest ini option")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for one whole test run")
    parser.add_argument("--out", default="tasks/mutants", help="where recipes are written")
    return parser.parse_args()


def mine(arguments: argparse.Namespace) -> Iterator[mining.Mined]:
    first, _, last = arguments.rank.partition("-")
    wanted = range(int(first), int(last or first) + 1)
    project = look(arguments)
    baseline = mining.prepare(project, open_sandbox, run_hidden)
    reached = sum(len(lines) for lines in baseline.reached.values())
    print(f"# {len(baseline.passing)} tests in {baseline.seconds:.1f} s reach {reached} statements", file=sys.stderr)
    found, tried, taken = 0, 0, set()
    for path, mutation in mining.candidates(baseline, arguments.seed):
        if found >= arguments.count or tried >= arguments.tries:
            return
        if mutation.function in taken or (arguments.operator and mutation.operator not in arguments.operator):
            continue  # one bug per function is variety enough
        tried += 1
        result = mining.examine(project, baseline, path, mutation, arguments.seed, open_sandbox, run_hidden, wanted)
        said = result if isinstance(result, str) else f"kept: rank {result.rank} of {result.lines}"
        print(f"# {path}:{mutation.line} {mutation.operator} in {mutation.function}: {said}", file=sys.stderr)
        if isinstance(result, mining.Mined):
            found += 1
            taken.add(mutation.function)
            yield result


def look(arguments: argparse.Namespace) -> mining.Project:
    """The facts of the release, as far as they are not given."""
    release = pypi.resolve(arguments.package, arguments.version)
    with store.scratch() as folder:
        tree = unpack(pypi.download(arguments.package, release), folder / "look")
        source = arguments.source or [find_source(tree, arguments.package)]
        tests = arguments.tests or [name for name in ("tests", "test") if (tree / name).is_dir()]
    if not tests:
        raise TaskError(f"{arguments.package} {release.version} has neither tests nor test; say where with --tests.")
    return mining.Project(
        package=arguments.package,
        release=release,
        source_paths=tuple(source),
        test_paths=tuple(tests),
        pythonpath=("src",) if source[0].startswith("src/") else (".",),
        requirements=pinned(arguments.require, arguments.package),
        plugins=tuple(arguments.plugin),
        ini=dict(option.split("=", 1) for option in arguments.ini),
        timeout=arguments.timeout,
    )


def free_path(folder: Path, stem: str) -> Path:
    number = 1
    while (path := folder / f"{stem}-{number}.toml").exists():
        number += 1
    return path


def to_toml(mined: mining.Mined) -> str:
    """The recipe as a person would write it."""
    recipe: MutantRecipe = mined.recipe
    lines = [
        f"# By the failing visible tests the edited statement is suspect {mined.rank} of {mined.lines}.",
        'source = "mutant"',
        f"package = {json.dumps(recipe.package)}",
        f'release = {{ version = "{recipe.release.version}", sha256 = "{recipe.release.sha256}" }}',
    ]
    lines += [f"{name} = {json.dumps(getattr(recipe, name))}" for name in ("path", "operator", "function")]
    lines += [f"{name} = {getattr(recipe, name)}" for name in ("line", "column", "variant")]
    lines += [f'mutated_sha256 = "{recipe.mutated_sha256}"', f"split_seed = {recipe.split_seed}"]
    for name in ("source_paths", "test_paths", "pythonpath", "requirements", "plugins"):
        value = getattr(recipe, name)
        if value and value != (".",):
            lines.append(f"{name} = {array(value)}")
    lines.append(f"timeout = {recipe.timeout}")
    lines.append(f"issue = {text(recipe.issue)}")
    if recipe.ini:
        lines.append("\n[ini]")
        lines += [f"{name} = {json.dumps(value)}" for name, value in recipe.ini.items()]
    for name in ("fail_to_pass", "pass_to_pass"):
        lines.append(f"\n[{name}]")
        lines += [f"{json.dumps(file)} = {array(tests)}" for file, tests in getattr(recipe, name).items()]
    return "\n".join(lines) + "\n"


def text(value: str) -> str:
    """Several lines of TOML text, literal where it can be."""
    if "'''" not in value and all(character.isprintable() or character == "\n" for character in value):
        return f"'''\n{value}'''"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


if __name__ == "__main__":
    sys.exit(main())
