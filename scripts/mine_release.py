"""Draft a recipe from two releases of a package: what the later one fixes, as its own tests tell.

    python scripts/mine_release.py sqlparse 0.5.1 0.5.2 > tasks/pypi/sqlparse-0.5.1-0.5.2.toml
    python scripts/mine_release.py tomlkit 0.13.1 0.13.2 --require pyyaml --only tests/test_items.py

Both releases are downloaded, the task is built, and the later release's tests run in sandboxes: on the earlier release,
and `--repeats` times on it with the source difference applied. A test is fail-to-pass when it does not pass before and
passes every time after; pass-to-pass when it passes always. The issue text is left to a person: describe what a user
sees, in your own words, from the gold patch that is printed to stderr.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from swegym.errors import SwegymError, TaskError
from swegym.grading.pytest_run import run_hidden
from swegym.images import store
from swegym.sandbox import open_sandbox
from swegym.tasks import environment
from swegym.tasks.build import assemble
from swegym.tasks.check import apply_gold, lay_hidden_tests
from swegym.tasks.recipe import PyPIRecipe, Release
from swegym.tasks.sources import pypi
from swegym.tasks.sources.archive import unpack
from swegym.tasks.sources.index import index_settings
from swegym.types import Status, Task

ISSUE = "TODO: what a user sees, in our own words, with a reproduction where there is one."


def main() -> int:
    arguments = parse()
    try:
        print(draft(arguments))
    except SwegymError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package")
    parser.add_argument("buggy", help="the release with the bug")
    parser.add_argument("fixed", help="the release that fixes it")
    parser.add_argument("--source", action="append", help="path of the package's own code (found by name if left out)")
    parser.add_argument("--tests", action="append", help="test folder or file (default: tests or test)")
    parser.add_argument("--gold", action="append", default=[], help="source path that makes up the fix")
    parser.add_argument("--require", action="append", default=[], help="what the tests need; pinned with its own needs")
    parser.add_argument("--plugin", action="append", default=[], help="pytest plugin to load")
    parser.add_argument("--ini", action="append", default=[], metavar="NAME=VALUE", help="pytest ini option")
    parser.add_argument("--only", action="append", default=[], help="test paths that are run (default: all)")
    parser.add_argument("--most", type=int, default=500, help="beyond so many tests only files with failing ones count")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=120.0)
    return parser.parse_args()


def draft(arguments: argparse.Namespace) -> str:
    """The recipe as TOML, with test ids measured by running them."""
    buggy, fixed = (pypi.resolve(arguments.package, version) for version in (arguments.buggy, arguments.fixed))
    with store.scratch() as folder:
        tree = unpack(pypi.download(arguments.package, buggy), folder / "look")
        source = arguments.source or [find_source(tree, arguments.package)]
        tests = arguments.tests or [name for name in ("tests", "test") if (tree / name).is_dir()]
        if not tests:
            raise TaskError(f"{arguments.package} {buggy.version} has neither tests nor test; say where with --tests.")
        fields: dict[str, Any] = {
            "source": "pypi",
            "package": arguments.package,
            "source_paths": tuple(source),
            "test_paths": tuple(tests),
            "gold_paths": tuple(arguments.gold),
            "pythonpath": ("src",) if source[0].startswith("src/") else (".",),
            "requirements": pinned(arguments.require, arguments.package),
            "plugins": tuple(arguments.plugin),
            "ini": dict(option.split("=", 1) for option in arguments.ini),
            "timeout": arguments.timeout,
            "issue": ISSUE,
        }
        # Without the checks: which tests are expected is what is to be found out.
        recipe = PyPIRecipe.model_construct(**fields, buggy=buggy, fixed=fixed, fail_to_pass={}, pass_to_pass={})
        task = assemble("draft", "draft", recipe, folder, lambda step: print(f"# {step}", file=sys.stderr))
        print(task.gold_patch, file=sys.stderr)
        failing, passing = measure(task, arguments.only or tests, arguments.repeats)
    if not failing:
        raise TaskError("no test fails before and passes after, so this pair makes no task.")
    if len(passing) > arguments.most:
        files = {test.partition("::")[0] for test in failing}
        passing = [test for test in passing if test.partition("::")[0] in files]
    print(f"# fail-to-pass {len(failing)}, pass-to-pass {len(passing)}", file=sys.stderr)
    return to_toml(fields, buggy, fixed, failing, passing)


def find_source(tree: Path, package: str) -> str:
    """Where a package of that name lies in an unpacked release."""
    name = package.lower().replace("-", "_").replace(".", "_")
    for candidate in (f"src/{name}", name, f"src/{name}.py", f"{name}.py"):
        if (tree / candidate).exists():
            return candidate
    raise TaskError(f"no package {name} in {tree.name}; say where with --source.")


def pinned(wanted: list[str], package: str) -> tuple[str, ...]:
    """The requirements with all that they need, each pinned; without what every environment has."""
    import uv

    if not wanted:
        return ()
    command = [uv.find_uv_bin(), "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"]
    command += ["--only-binary", ":all:", *index_settings().uv_arguments()]
    done = subprocess.run(command, input="\n".join(wanted), text=True, capture_output=True)
    if done.returncode:
        raise TaskError(f"the requirements cannot be resolved: {done.stderr.strip()}")
    standard = {pin.partition("==")[0] for pin in environment.requirements_of(())}
    found = [line.partition(" ")[0] for line in done.stdout.splitlines() if "==" in line]
    return tuple(pin for pin in found if pin.partition("==")[0] not in standard | {environment.canonical_name(package)})


def measure(task: Task, paths: list[str], repeats: int) -> tuple[list[str], list[str]]:
    """The ids of the fail-to-pass and the pass-to-pass tests."""
    before = [run(task, paths, patched=False) for _ in range(repeats)]
    after = [run(task, paths, patched=True) for _ in range(repeats)]
    failing, passing = [], []
    for test in after[0]:
        if not all(found.get(test) in ("passed", "xfailed") for found in after):
            print(f"# left out, after: {test} {[found.get(test) for found in after]}", file=sys.stderr)
        elif all(found.get(test) in ("passed", "xfailed") for found in before):
            passing.append(test)
        elif len({found.get(test) for found in before}) > 1:
            print(f"# left out, unstable: {test}", file=sys.stderr)
        else:
            failing.append(test)
    return failing, passing


def run(task: Task, paths: list[str], *, patched: bool) -> Mapping[str, Status]:
    with open_sandbox(task.image) as sandbox:
        if patched:
            apply_gold(task, sandbox)
        lay_hidden_tests(task, sandbox)
        report = run_hidden(sandbox, task.tests, None, paths)
    print(f"# {len(report.statuses)} tests, {report.seconds:.1f} s, {report.ending}", file=sys.stderr)
    if not report.finished or any("::" not in test for test in report.statuses):
        print(report.output[-3000:], file=sys.stderr)
    if not report.finished:
        # What did not run did not fail, so nothing can be said of this pair.
        raise TaskError(f"the tests did not come to their end ({report.ending}); choose fewer with --only.")
    return report.statuses


def to_toml(fields: dict[str, Any], buggy: Release, fixed: Release, failing: list[str], passing: list[str]) -> str:
    """The recipe as a person would write it."""
    lines = [f'source = "pypi"\npackage = {json.dumps(fields["package"])}']
    for name, release in (("buggy", buggy), ("fixed", fixed)):
        lines.append(f'{name} = {{ version = "{release.version}", sha256 = "{release.sha256}" }}')
    for name in ("source_paths", "gold_paths", "test_paths", "pythonpath", "requirements", "plugins"):
        if fields[name] and fields[name] != (".",):
            lines.append(f"{name} = {array(fields[name])}")
    if fields["timeout"] != 120.0:
        lines.append(f"timeout = {fields['timeout']}")
    lines.append(f"issue = '''\n{fields['issue']}\n'''")
    if fields["ini"]:
        lines.append("\n[ini]")
        lines += [f"{name} = {json.dumps(value)}" for name, value in fields["ini"].items()]
    for name, tests in (("fail_to_pass", failing), ("pass_to_pass", passing)):
        lines.append(f"\n[{name}]")
        for file in dict.fromkeys(test.partition("::")[0] for test in tests):
            names = [test.partition("::")[2] for test in tests if test.partition("::")[0] == file]
            lines.append(f"{json.dumps(file)} = {array(names)}")
    return "\n".join(lines)


def array(values: Iterable[str]) -> str:
    """A TOML array, filled up to the line length."""
    quoted = [json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") for value in values]
    if len(line := f"[{', '.join(quoted)}]") <= 100:
        return line
    lines, line = ["["], " "
    for value in quoted:
        if len(line) + len(value) > 117 and line.strip():
            lines.append(line)
            line = " "
        line += f" {value},"
    return "\n".join([*lines, line, "]"])


if __name__ == "__main__":
    sys.exit(main())
