"""Building: from a recipe to a task that an environment can start from.

    sources -> two trees ->  repository sealed with one commit  ->  source layer
                         \\-> gold patch (source paths), hidden tests (test paths)
    requirements         ->  environment layer, shared by all tasks that need the same

What differs between the trees never gets near the image: it holds the tree with the bug and nothing else. A build is
cached by its recipe, and what fails concerns one task only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from swegym import paths
from swegym.errors import SwegymError, TaskError
from swegym.images import cache, store
from swegym.tasks import built, environment, hunks, repository
from swegym.tasks.recipe import GitRecipe, InlineRecipe, PyPIRecipe, Recipe, expected_ids
from swegym.tasks.row_recipe import RowRecipe
from swegym.tasks.sources import Material, gather
from swegym.tasks.task_set import TaskSet
from swegym.types import Bait, HiddenTests, Task

WORKDIR = "/testbed"


@dataclass(frozen=True, slots=True)
class BuildEvent:
    """What a build does now."""

    id: str
    step: Literal["waiting", "sources", "environment", "repository", "built", "cached", "failed"]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """How the build of one task ended."""

    id: str
    built: bool  # it can be loaded
    cached: bool  # it could be already
    seconds: float
    error: SwegymError | None = None


def build(
    task_set: TaskSet,
    ids: Iterable[str] | None = None,
    *,
    jobs: int = 2,
    on_event: Callable[[BuildEvent], None] | None = None,
) -> list[BuildResult]:
    """Build tasks of a set, `jobs` at a time, and say for each how it went, in the set's order.

    Tasks that are built already cost milliseconds. One that cannot be built has its error in its result, and the others
    go on. `on_event` is called from several threads.
    """
    wanted = list(task_set.ids if ids is None else ids)
    for task in wanted:
        task_set.home(task)  # an unknown name is the caller's mistake, not a failed build
    with ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="build") as pool:
        results = list(pool.map(lambda task: _build_reported(task_set, task, on_event or (lambda event: None)), wanted))
    cache.trim_to_limit()
    return results


def _build_reported(task_set: TaskSet, task: str, on_event: Callable[[BuildEvent], None]) -> BuildResult:
    start = time.monotonic()
    try:
        cached = build_one(task_set, task, on_event)
    except SwegymError as error:
        on_event(BuildEvent(task, "failed"))
        return BuildResult(task, False, False, time.monotonic() - start, error)
    except OSError as error:
        on_event(BuildEvent(task, "failed"))
        failure = TaskError(
            f"{task}: the store at {paths.home()} cannot be written: {error.strerror or error}. "
            "Free some space there, or set SWEGYM_HOME to a folder that you may write to."
        )
        return BuildResult(task, False, False, time.monotonic() - start, failure)
    on_event(BuildEvent(task, "cached" if cached else "built"))
    return BuildResult(task, True, cached, time.monotonic() - start)


def build_one(task_set: TaskSet, task: str, on_event: Callable[[BuildEvent], None] = lambda event: None) -> bool:
    """Build one task unless it is built; returns whether it was. What fails is raised."""
    if task_set.is_built(task):
        return True
    home = task_set.home(task)
    lock = paths.built_tasks() / home / f".{task}.lock"
    with store.exclusive(lock, lambda: on_event(BuildEvent(task, "waiting"))):
        if task_set.is_built(task):
            return True
        stamp = task_set.stamp(task)
        with store.scratch() as folder:
            built.save(_assembled(task_set, task, folder, lambda step: on_event(BuildEvent(task, step))), stamp)
    return False


Step = Literal["sources", "environment", "repository"]


def _assembled(task_set: TaskSet, task: str, folder: Path, on_step: Callable[[Step], None]) -> Task:
    """A recipe by the builder of its kind."""
    if place := task_set.generated(task):
        from swegym.tasks import micro_build
        from swegym.tasks.sources.micro import micro_task

        made = micro_build.assemble(
            task, task_set.home(task), micro_task(place.series, place.index, place.options), folder
        )
        return replace(made, digest=_digest(made, environment.requirements_of(())))
    recipe = task_set.recipe(task)
    if isinstance(recipe, RowRecipe):
        from swegym.tasks import builder

        return builder.assemble(task, task_set.home(task), recipe, folder, task_set.recipes[task].parent, on_step)
    return assemble(task, task_set.home(task), recipe, folder, on_step)


def assemble(task: str, home: str, recipe: Recipe, folder: Path, on_step: Callable[[Step], None]) -> Task:
    """Build one task in `folder`, an empty place in the store's scratch space; its layers go into the store.

    The returned task's `pristine` still lies in `folder`.
    """
    on_step("sources")
    material = gather(recipe, folder / "material")
    for tree in (material.buggy, material.fixed):
        _strip_metadata(tree, recipe)
    hidden = _hidden_tests(task, recipe, material.fixed)

    on_step("environment")
    requirements = environment.requirements_of(recipe.requirements)
    if clash := [pin for pin in requirements if _is_of(pin, recipe.package)]:
        raise TaskError(
            f"{task}: its environment would hold {clash[0]}, a second copy of the package. Take another one."
        )
    environment_layer, _ = environment.environment_layer(requirements)

    on_step("repository")
    visible = tuple(path for path in recipe.test_paths if (material.buggy / path).exists())
    setup = recipe.setup(visible)
    repo = f"{recipe.package} {recipe.version}"
    gold_paths = (recipe.gold_paths or recipe.source_paths) if isinstance(recipe, PyPIRecipe) else recipe.source_paths
    for path in dict.fromkeys((*recipe.source_paths, *gold_paths)):
        if not any((tree / path).exists() for tree in (material.buggy, material.fixed)):
            raise TaskError(f"{task}: neither tree has {path}, which the recipe names as source. Correct the path.")
    mended = _mended(recipe, material, gold_paths, folder)
    gold = repository.difference(material.buggy, mended, gold_paths, recipe.test_paths, folder / "difference.git")
    if not gold:
        raise TaskError(f"{task}: the two trees do not differ under {', '.join(gold_paths)}, so there is no fix.")
    layer = folder / "layer"
    layer.mkdir()
    shutil.move(material.buggy, layer / WORKDIR.lstrip("/"))
    pristine = folder / "pristine.git"
    commit = repository.seal(layer / WORKDIR.lstrip("/"), pristine, repo)
    environment.link_package(layer, recipe.package, recipe.version, recipe.pythonpath, WORKDIR)
    layers = [environment_layer, store.put_layer(layer)]
    image = store.make_image(layers, environment.VARIABLES, WORKDIR, silent_network=recipe.silent_network)

    made = Task(
        id=task,
        set=home,
        repo=repo,
        issue=recipe.issue.strip() + "\n",
        image=image,
        tests=setup,
        hidden=hidden,
        gold_patch=gold,
        pristine=pristine,
        base_commit=commit,
        source=recipe.source_paths,
        digest="",
        bait=Bait(**recipe.bait.model_dump()) if isinstance(recipe, InlineRecipe) and recipe.bait else None,
    )
    return replace(made, digest=_digest(made, requirements))


def _mended(recipe: Recipe, material: Material, gold_paths: tuple[str, ...], folder: Path) -> Path:
    """A tree that differs from the buggy one, under the gold paths, by the reference fix."""
    if not isinstance(recipe, PyPIRecipe | GitRecipe) or not recipe.gold_hunks:
        return material.fixed
    found = hunks.tree_hunks(material.buggy, material.fixed, gold_paths, recipe.test_paths, folder / "hunks.git")
    picked = hunks.chosen(found, recipe.gold_hunks)
    mended = folder / "mended"
    shutil.copytree(material.buggy, mended, symlinks=True)
    hunks.patch_tree(mended, material.fixed, picked)
    return mended


def _strip_metadata(tree: Path, recipe: Recipe) -> None:
    """Remove what only packing a release adds, and what names versions.

    A virtual environment that was packed by mistake holds installed copies of the package.
    """
    for root, folders, files in os.walk(tree):
        if "pyvenv.cfg" in files and Path(root) != tree:
            folders.clear()
            shutil.rmtree(root)
    (tree / "PKG-INFO").unlink(missing_ok=True)
    for folder in {".", *recipe.pythonpath}:
        for generated in (tree / folder).glob("*.egg-info"):
            shutil.rmtree(generated)


def _hidden_tests(task: str, recipe: Recipe, tree: Path) -> HiddenTests:
    """The tests of the tree under the recipe's test paths, whole folders with all that lies in them."""
    files: dict[str, bytes] = {}
    for path in recipe.test_paths:
        place = tree / path
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        for file in found:
            if file.is_file() and file.suffix not in (".pyc", ".pyo"):
                files[file.relative_to(tree).as_posix()] = file.read_bytes()
    if absent := sorted({*recipe.fail_to_pass, *recipe.pass_to_pass} - files.keys()):
        raise TaskError(f"{task}: the release with the fix has no {absent[0]}, which the recipe expects tests in.")
    return HiddenTests(files, recipe.test_paths, expected_ids(recipe.fail_to_pass), expected_ids(recipe.pass_to_pass))


def _is_of(pin: str, package: str) -> bool:
    return environment.canonical_name(pin.partition("==")[0]) == environment.canonical_name(package)


def _digest(task: Task, requirements: tuple[str, ...]) -> str:
    """Over all that decides, and nothing that depends on this machine."""
    files = {path: hashlib.sha256(data).hexdigest() for path, data in task.hidden.files.items()}
    hidden = [files, task.hidden.owned, task.hidden.fail_to_pass, task.hidden.pass_to_pass]
    tests = [task.tests.visible, task.tests.pythonpath, task.tests.plugins, dict(task.tests.ini), task.tests.timeout]
    tests += ["silent network"] if task.image.silent_network else []
    gold = hashlib.sha256(task.gold_patch.encode("utf-8", "surrogateescape")).hexdigest()
    return store.json_digest([task.id, task.repo, task.issue, task.base_commit, tests, hidden, gold, requirements])
