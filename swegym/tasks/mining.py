"""Mining: what is known of a release before mutations of it are tried, and which mutations are worth trying.

Everything runs in sandboxes; how they are opened and how tests run is handed in.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from swegym.errors import TaskError
from swegym.images import store
from swegym.tasks import environment, split
from swegym.tasks.mutation import Mutation, mutations
from swegym.tasks.recipe import MutantRecipe, Release, is_under
from swegym.tasks.sources import pypi
from swegym.tasks.sources.archive import unpack
from swegym.tasks.split import Suite
from swegym.types import Image, Sandbox, SandboxFactory, Status, TestSetup

WORKDIR = "/testbed"
MOST_BROKEN = 0.4  # of all tests; a mutation that breaks more is no puzzle
_PROBE = "/tmp/probe"
_MOST_CALLS = 80


class Report(Protocol):
    """What a test run gives; see `swegym.grading.pytest_run.TestReport`."""

    @property
    def statuses(self) -> Mapping[str, Status]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def finished(self) -> bool: ...


Run = Callable[[Sandbox, TestSetup], Report]


@dataclass(frozen=True, slots=True)
class Project:
    """What is mined: the facts of a recipe that do not depend on the mutation."""

    package: str
    release: Release
    source_paths: tuple[str, ...]
    test_paths: tuple[str, ...]
    pythonpath: tuple[str, ...] = (".",)
    requirements: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    ini: Mapping[str, str] | None = None
    timeout: float = 60.0

    def setup(self, visible: Iterable[str] = (), timeout: float | None = None) -> TestSetup:
        paths = tuple(visible) or self.test_paths
        return TestSetup(paths, self.pythonpath, self.plugins, dict(self.ini or {}), timeout or self.timeout)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The release as it is, run once: what passes, and which line each test reaches."""

    image: Image
    passing: frozenset[str]
    test_files: Mapping[str, bytes]  # those with passing tests
    suite: Suite  # their test functions
    sources: Mapping[str, bytes]  # only files that were reached and are UTF-8
    reached: Mapping[str, Mapping[int, frozenset[str]]]  # path -> line -> tests
    calls: Mapping[str, tuple[str, ...]]  # test -> calls that it makes
    seconds: float


@dataclass(frozen=True, slots=True)
class Mined:
    """A mutation that makes a task."""

    recipe: MutantRecipe
    rank: int  # of the edited line among all lines, by Ochiai on the visible tests; ties count against it
    lines: int  # that failing visible tests reach


def prepare(project: Project, open_sandbox: SandboxFactory, run: Run) -> Baseline:
    """Make the image of the unchanged release and run its tests there, twice plainly and once traced."""
    with store.scratch() as folder:
        tree = unpack(pypi.download(project.package, project.release), folder / "tree")
        for path in (*project.source_paths, *project.test_paths):
            if not (tree / path).exists():
                raise TaskError(f"{project.package} {project.release.version} has no {path}. Correct the paths.")
        tests = _python_files(tree, project.test_paths, ())
        sources = _python_files(tree, project.source_paths, project.test_paths)
        layer = folder / "layer"
        layer.mkdir()
        shutil.move(tree, layer / WORKDIR.lstrip("/"))
        environment.link_package(layer, project.package, project.release.version, project.pythonpath, WORKDIR)
        pins = environment.requirements_of(project.requirements)
        layers = [environment.environment_layer(pins)[0], store.put_layer(layer)]
    image = store.make_image(layers, environment.VARIABLES, WORKDIR)

    with open_sandbox(image) as sandbox:
        first, second = run(sandbox, project.setup()), run(sandbox, project.setup())
    if not first.finished or not second.finished:
        raise TaskError(f"{project.package}: its own tests do not finish within {project.timeout:g} seconds.")
    stable = {test for test, status in first.statuses.items() if status == second.statuses.get(test) == "passed"}
    if len(stable) < 2:
        raise TaskError(f"{project.package}: {len(stable)} of its tests pass. Are requirements missing?")
    with open_sandbox(image) as sandbox:
        notes, reached = _traced_run(sandbox, project, project.test_paths)
    tests = {file: tests[file] for file in files_of(stable)}
    return Baseline(
        image=image,
        passing=frozenset(stable),
        test_files=tests,
        suite=split.read_suite(tests),
        sources={path: data for path, data in sources.items() if path in reached},
        reached=reached,
        calls={test: tuple(note["calls"]) for test, note in notes.items()},
        seconds=first.seconds,
    )


def candidates(baseline: Baseline, seed: int) -> Iterator[tuple[str, Mutation]]:
    """Mutations of lines that at least two test functions reach, shuffled, the operators taking turns."""
    turns: dict[str, list[tuple[str, Mutation]]] = defaultdict(list)
    for path, data in baseline.sources.items():
        try:
            found = mutations(data)
        except (SyntaxError, UnicodeDecodeError):
            continue
        for mutation in found:
            reaching = tests_at(baseline.reached[path], mutation.line) & baseline.passing
            if len({baseline.suite.owner(test) for test in reaching}) >= 2:
                turns[mutation.operator].append((path, mutation))
    generator = random.Random(seed)
    for operator in sorted(turns):
        generator.shuffle(turns[operator])
    order = sorted(turns)
    generator.shuffle(order)
    while any(turns.values()):
        for operator in order:
            if turns[operator]:
                yield turns[operator].pop()


def suspicion(
    reached: Mapping[str, Mapping[int, frozenset[str]]],
    failing: Collection[str],
    path: str,
    line: int,
    among: frozenset[str] | None = None,
) -> tuple[int, int]:
    """How well the failing tests point at a line, by Ochiai's formula over all tests that were traced, or `among` them.

    Returns the rank of the statement at the line, ties counted against it, and how many statements failing tests reach.
    """
    failing = set(failing)
    scores: dict[tuple[str, int], float] = {}
    for file, lines in reached.items():
        for number, every in lines.items():
            tests = every if among is None else every & among
            if hits := len(tests & failing):
                scores[file, number] = hits / math.sqrt(len(failing) * len(tests))
    own = scores.get((path, _statement(reached.get(path, {}), line)), 0.0)
    return sum(score >= own for score in scores.values()), len(scores)


def _traced_run(
    sandbox: Sandbox, project: Project, paths: Iterable[str]
) -> tuple[dict[str, Any], dict[str, dict[int, frozenset[str]]]]:
    """Run tests under coverage and the call probe: notes per test, and per file and line the tests that reach it."""
    options = "\n".join(f"{name} = {value}" for name, value in (project.ini or {}).items())
    sources = ",".join(f"{WORKDIR}/{path}" for path in project.source_paths)
    files = {
        "call_probe.py": Path(__file__).with_name("call_probe.py").read_text("utf-8"),
        "pytest.ini": f"[pytest]\n{options}\n",
        "coverage.ini": f"[run]\ndata_file = {_PROBE}/data\ninclude = {','.join(_globs(sources))}\n",
    }
    for name, text in files.items():
        sandbox.write(f"{_PROBE}/{name}", text.encode())
    package = _import_name(project)
    command = ["python", "-m", "coverage", "run", f"--rcfile={_PROBE}/coverage.ini", "-m", "pytest"]
    command += ["-c", f"{_PROBE}/pytest.ini", "--rootdir", WORKDIR, "--confcutdir", WORKDIR, "-q", "--tb=short"]
    command += ["-p", "no:cacheprovider", "-p", "call_probe", "--continue-on-collection-errors"]
    command += [part for plugin in project.plugins for part in ("-p", plugin)]
    variables = {
        "PYTHONPATH": _PROBE,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "CALL_PROBE_PACKAGE": package,
        "CALL_PROBE_FILE": f"{_PROBE}/notes.json",
        "COLUMNS": "80",
    }
    ran = sandbox.exec([*command, *paths], cwd=WORKDIR, env=variables, timeout=10 * project.timeout)
    try:
        noted = json.loads(sandbox.read(f"{_PROBE}/notes.json"))
    except FileNotFoundError as error:
        raise TaskError(f"{project.package}: the traced test run failed: {ran.text[-2000:]}") from error
    ids = [note["test"] for note in noted["tests"]]
    reached: dict[str, dict[int, frozenset[str]]] = {}
    for place, lines in noted["reached"].items():
        path = place.removeprefix(f"{WORKDIR}/")
        if not any(is_under(path, folder) for folder in project.test_paths):
            reached[path] = {int(line): frozenset(ids[number] for number in numbers) for line, numbers in lines.items()}
    return {note["test"]: note for note in noted["tests"]}, reached


def _globs(sources: str) -> list[str]:
    return [place if place.endswith(".py") else f"{place}/*" for place in sources.split(",")]


def _import_name(project: Project) -> str:
    """The package's name in Python: what its first source path is called."""
    return Path(project.source_paths[0]).stem


def _python_files(tree: Path, paths: Iterable[str], exclude: Collection[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in paths:
        place = tree / path
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            name = file.relative_to(tree).as_posix()
            if not any(is_under(name, folder) for folder in exclude):
                found[name] = file.read_bytes()
    return found


def tests_at(lines: Mapping[int, frozenset[str]], line: int) -> frozenset[str]:
    """The tests that reach the statement at a line."""
    return lines.get(_statement(lines, line), frozenset())


def _statement(lines: Mapping[int, frozenset[str]], line: int) -> int:
    """The reached line that a line belongs to: coverage knows a statement by its first line only."""
    return max((number for number in lines if number <= line), default=0)


def files_of(tests: Iterable[str]) -> list[str]:
    """The files of these tests, sorted."""
    return sorted({test.partition("::")[0] for test in tests})


def grouped(tests: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Test ids by their file, sorted, as recipes have them."""
    groups: dict[str, list[str]] = defaultdict(list)
    for test in sorted(tests):
        path, _, name = test.partition("::")
        groups[path].append(name)
    return {path: tuple(names) for path, names in groups.items()}
