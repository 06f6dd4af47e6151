"""Mutating: from a package's name to recipes of injected bugs, in parallel, and where it was ended it goes on.

    release -> its layout and pins -> baseline -> candidates in the seed's order -> examined -> recipes

OUT/
├── set.toml                          the recipes beside it are a task set
├── mutant-<package>-<version>-<n>.toml
├── releases/<package>-<version>.toml what these share (see `swegym.tasks.release_file`)
└── mining/<package>-<version>-<seed>.jsonl   what was tried and what came of it, one line each
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym.errors import InputError, TaskError
from swegym.images import store
from swegym.sandbox.opened import Opened
from swegym.tasks import mining, release_file
from swegym.tasks.examining import Mined, examine
from swegym.tasks.miners import pins
from swegym.tasks.miners.project import read_layout
from swegym.tasks.miners.writing import array
from swegym.tasks.mining import Baseline, Project, Run
from swegym.tasks.mutation import Mutation
from swegym.tasks.recipe import MutantRecipe, expected_ids, read_recipe
from swegym.tasks.release_file import ReleaseFile
from swegym.tasks.sources import pypi
from swegym.tasks.sources.archive import unpack
from swegym.tasks.trials import Trial, run_trials
from swegym.types import SandboxFactory

_BATCH = 16  # mutations that are examined together; part of what a seed means, as is the next
_OF_ONE_FUNCTION = 2  # recipes at most


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much is looked for, and where."""

    count: int = 10  # recipes of one release
    tries: int = 400  # mutations of one release that are run at most
    seed: int = 1  # orders the mutations and deals the tests
    operators: tuple[str, ...] = ()  # only these
    ranks: range | None = None  # only statements that come in this range of suspects
    jobs: int = 2


@dataclass(frozen=True, slots=True)
class Tried:
    """One mutation that was looked at: which recipe it became, or why it became none."""

    path: str
    operator: str
    function: str
    line: int
    column: int
    variant: int
    result: str  # "kept", or the reason
    task: str | None = None
    tests: str = ""  # a digest of the tests that fail with it

    @property
    def place(self) -> tuple[str, str, str, int, int, int]:
        return self.path, self.operator, self.function, self.line, self.column, self.variant


@dataclass(frozen=True, slots=True)
class Yield:
    """What mutating one release gave."""

    package: str
    version: str
    tasks: tuple[str, ...]
    tried: int
    reasons: Mapping[str, int]  # how often a mutation made no task, by why


def look(package: str, version: str | None = None, **given: Any) -> Project:
    """The facts of a release: those given, and the others from its own files. Without a version, the newest final one.

    `given` are fields of `Project`, but for its `requirements`, which need no pins here and come on top.

    Raises:
        TaskError: there is no such release, or no code or tests are found in it.
        DownloadError: the index does not answer.
    """
    release = pypi.resolve(package, version or _newest(package))
    wanted = tuple(given.pop("requirements", ()))
    with store.scratch() as folder:
        tree = unpack(pypi.download(package, release), folder / "look")
        if given.get("source_paths") and given.get("test_paths"):
            found: dict[str, Any] = {}
        else:
            layout = read_layout(tree, package)
            found = {name: getattr(layout, name) for name in ("source_paths", "test_paths", "pythonpath", "ini")}
            wanted = (*layout.requirements, *wanted)
    pinned = pins.pinned(wanted, package)
    found |= {"requirements": pinned, "plugins": pins.plugins_of(pinned) if pinned else ()}
    return Project(package=package, release=release, **{**found, **{name: one for name, one in given.items() if one}})


def _newest(package: str) -> str:
    from packaging.version import Version

    known = pypi.versions(package)
    final = [version for version in known if not Version(version).is_prerelease]
    if not known:
        raise TaskError(f"{package}: the index has no source release of it. Check the name.")
    return (final or known)[-1]


def project_of(path: Path) -> Project:
    """The project that a release file is about."""
    facts = release_file.read(path)
    fields = {name: getattr(facts, name) for name in ReleaseFile.model_fields if name != "passing"}
    return Project(**fields)


def mutate(
    project: Project,
    folder: Path,
    wanted: Wanted,
    open_sandbox: SandboxFactory,
    run: Run,
    on_tried: Callable[[Tried], None] = lambda tried: None,
) -> Yield:
    """Look for `wanted.count` tasks in one release and write their recipes into `folder`; what is there counts.

    The same seed gives the same recipes, however many jobs there are and however often it was ended on the way, as long
    as `wanted.tries` lasts.

    Raises:
        TaskError: the release's own tests cannot be run, or are not what its release file says.
    """
    stem = f"{project.package}-{project.release.version}"
    journal = folder / "mining" / f"{stem}-{wanted.seed}.jsonl"
    known = {tried.place: tried for tried in _read(journal)}
    kept = _kept(folder, stem)
    if len(kept) < wanted.count:
        machines = Opened(open_sandbox)
        try:
            baseline = _baseline(project, folder, machines, run)
            for tried in _search(project, baseline, folder, wanted, dict(known), kept, machines):
                _append(journal, tried)
                known[tried.place] = tried
                on_tried(tried)
        finally:
            machines.stop()
    reasons = Counter(_short(tried.result) for tried in known.values() if not tried.task)
    tasks = tuple(tried.task for tried in kept if tried.task)
    return Yield(project.package, project.release.version, tasks, len(known), dict(reasons.most_common()))


def _kept(folder: Path, stem: str) -> list[Tried]:
    """The recipes of a release that the folder holds, whoever wrote them."""
    found = []
    for path in sorted(folder.glob(f"mutant-{stem}-*.toml")):
        recipe = read_recipe(path)
        if isinstance(recipe, MutantRecipe):
            found.append(_tried(recipe, "kept", path.stem))
    return found


def _tried(recipe: MutantRecipe, result: str, task: str) -> Tried:
    facts = (recipe.path, recipe.operator, recipe.function, recipe.line, recipe.column, recipe.variant)
    return Tried(*facts, result=result, task=task, tests=_digest(expected_ids(recipe.fail_to_pass)))


def _facts(path: str, mutation: Mutation) -> tuple[str, str, str, int, int, int]:
    return path, mutation.operator, mutation.function, mutation.line, mutation.column, mutation.variant


def _digest(tests: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(tests)).encode()).hexdigest()[:16]


def _search(
    project: Project,
    baseline: Baseline,
    folder: Path,
    wanted: Wanted,
    known: Mapping[tuple[str, str, str, int, int, int], Tried],
    kept: list[Tried],
    open_sandbox: SandboxFactory,
) -> Iterator[Tried]:
    """Mutations in the seed's order until there are enough; each is decided in that order, whoever is faster.

    What is kept is put to `kept`.
    """
    spent = len(known)

    def needless(path: str, mutation: Mutation, among: Sequence[Tried]) -> bool:
        """Two bugs of a function are variety enough, and no operator makes more than a fourth of all."""
        same = sum(tried.operator == mutation.operator for tried in among)
        taken = sum((tried.path, tried.function) == (path, mutation.function) for tried in among)
        return taken >= _OF_ONE_FUNCTION or same >= max(1, wanted.count // 4) or len(among) >= wanted.count

    def settled(batch: list[tuple[str, Mutation]]) -> Iterator[Tried]:
        likely = list(kept)  # and what the closer look has still to confirm

        def refuse(path: str, mutation: Mutation, failing: frozenset[str]) -> str:
            tests = _digest(failing)
            if any(other.tests == tests for other in likely):
                return "the same tests fail as with another one"
            if needless(path, mutation, likely):
                return "enough of its kind"
            likely.append(Tried(*_facts(path, mutation), result="", tests=tests))
            return ""

        found = examine(
            project,
            baseline,
            batch,
            wanted.seed,
            open_sandbox,
            jobs=wanted.jobs,
            ranks=wanted.ranks,
            refuse=refuse,
        )
        for (path, mutation), one in zip(batch, found, strict=True):
            if isinstance(one, str):
                yield Tried(*_facts(path, mutation), result=one)
            else:
                kept.append(_tried(one.recipe, "kept", write(one, folder)))
                yield kept[-1]

    later = list(mining.candidates(baseline, wanted.seed))
    while later and len(kept) < wanted.count:
        batch: list[tuple[str, Mutation]] = []
        rest: list[tuple[str, Mutation]] = []
        for path, mutation in later:
            if _facts(path, mutation) in known or needless(path, mutation, kept):
                continue
            if wanted.operators and mutation.operator not in wanted.operators:
                continue
            # One of a function at a time: if it is kept, the others have to be other bugs.
            free = all((path, mutation.function) != (other, taken.function) for other, taken in batch)
            (batch if free and len(batch) < min(_BATCH, wanted.tries - spent) else rest).append((path, mutation))
        if not batch:
            return
        spent += len(batch)
        later = rest
        yield from settled(batch)


def _baseline(project: Project, folder: Path, open_sandbox: SandboxFactory, run: Run) -> Baseline:
    """The release's own tests, run; and its release file, written or held to."""
    baseline = mining.prepare(project, open_sandbox, run)
    # A test that never passes among trials would seem to notice every edit.
    untouched = Trial({}, list(baseline.test_files))
    (seen,) = run_trials(baseline.image, project.setup(baseline.test_files), [untouched], open_sandbox)
    baseline = dataclasses.replace(baseline, passing=baseline.passing & seen.passed)
    path = folder / release_file.FOLDER / f"{project.package}-{project.release.version}.toml"
    if not path.exists():
        store.write_atomically(path, facts_toml(project, mining.grouped(baseline.passing)).encode())
        return baseline
    passing = frozenset(expected_ids(release_file.read(path).passing))
    if gone := sorted(passing - baseline.passing):
        raise TaskError(
            f"{project.package} {project.release.version}: {gone[0]} passes by {path}, and does not here "
            f"({len(gone)} such tests). Look into it, or remove the file and the recipes that name it."
        )
    return dataclasses.replace(baseline, passing=passing)


# --- files ------------------------------------------------------------------------------------------------------------


def write(mined: Mined, folder: Path) -> str:
    """Write the recipe under the next free name; the task's id."""
    recipe = mined.recipe
    stem = f"mutant-{recipe.package}-{recipe.version}"
    number = 1
    while (path := folder / f"{stem}-{number}.toml").exists():
        number += 1
    facts = f"{release_file.FOLDER}/{recipe.package}-{recipe.version}.toml"
    sha256 = hashlib.sha256((folder / facts).read_bytes()).hexdigest()
    store.write_atomically(path, recipe_toml(recipe, facts, sha256).encode())
    return path.stem


def recipe_toml(recipe: MutantRecipe, facts: str, sha256: str) -> str:
    """What is a mutant's own, as TOML."""
    lines = ['source = "mutant"', f'facts = "{facts}"', f'facts_sha256 = "{sha256}"']
    lines += [f"{name} = {json.dumps(getattr(recipe, name))}" for name in ("path", "operator", "function")]
    lines += [f"{name} = {getattr(recipe, name)}" for name in ("line", "column", "variant")]
    lines += [f'mutated_sha256 = "{recipe.mutated_sha256}"', f"split_seed = {recipe.split_seed}"]
    lines += [f"{name} = {getattr(recipe, name)}" for name in ("rank", "statements")]
    lines += [f"issue = {_paragraphs(recipe.issue)}", "", "[fail_to_pass]"]
    lines += [f"{json.dumps(file)} = {array(tests)}" for file, tests in recipe.fail_to_pass.items()]
    return "\n".join(lines) + "\n"


def facts_toml(project: Project, passing: Mapping[str, tuple[str, ...]]) -> str:
    """A release file."""
    lines = [
        f'package = "{project.package}"',
        f'release = {{ version = "{project.release.version}", sha256 = "{project.release.sha256}" }}',
    ]
    for name in ("source_paths", "test_paths", "pythonpath", "requirements", "plugins"):
        value = getattr(project, name)
        if value and (name, value) != ("pythonpath", (".",)):
            lines.append(f"{name} = {array(value)}")
    lines.append(f"timeout = {project.timeout:g}")
    if project.ini:
        lines += ["", "[ini]", *(f"{name} = {json.dumps(value)}" for name, value in project.ini.items())]
    lines += ["", "[passing]", *(f"{json.dumps(file)} = {array(tests)}" for file, tests in passing.items())]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> str:
    """Several lines of TOML text, literal where it can be."""
    if "'''" not in text and all(character.isprintable() or character == "\n" for character in text):
        return f"'''\n{text}'''"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read(journal: Path) -> Iterator[Tried]:
    try:
        lines = journal.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, 1):
        try:
            yield Tried(**json.loads(line))
        except (json.JSONDecodeError, TypeError) as error:
            if number == len(lines):
                return  # cut off while it was written
            raise InputError(f"{journal}, line {number}: {error}. Remove the line; it is then tried again.") from None


def _append(journal: Path, tried: Tried) -> None:
    journal.parent.mkdir(parents=True, exist_ok=True)
    whole = not journal.exists() or journal.read_bytes()[-1:] in (b"", b"\n")
    with journal.open("a", encoding="utf-8") as stream:
        stream.write(("" if whole else "\n") + json.dumps(dataclasses.asdict(tried)) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _short(reason: str) -> str:
    """A reason without its numbers, so that like ones are counted together."""
    words = reason.partition(" as it seems")[0].split()
    return " ".join("N" if word.rstrip(",").isdigit() else word for word in words)
