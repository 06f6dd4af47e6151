"""Building generated tasks: thousands a minute, where a recipe of another kind takes a second.

All share the environment layer and one layer that makes their package importable; a task adds its sources, whose
repository is written without git (see `swegym.tasks.one_commit`).
"""

from __future__ import annotations

import platform
from pathlib import Path

from swegym.images import store
from swegym.sandbox.base import interpreter
from swegym.tasks import environment
from swegym.tasks.one_commit import seal_files
from swegym.tasks.sources.micro import PACKAGE, VERSION, MicroTask
from swegym.types import HiddenTests, Task, TestSetup

WORKDIR = "/testbed"
TIMEOUT = 60.0


def assemble(task: str, home: str, made: MicroTask, folder: Path) -> Task:
    """Build a generated task in `folder`, an empty place in the store's scratch space; its layer goes into the store.

    The returned task's `pristine` still lies in `folder`, and it has no digest yet.
    """
    repo = f"{PACKAGE} {VERSION}"
    pristine, layer = folder / "pristine.git", folder / "layer"
    files = {path: text.encode() for path, text in made.files.items()}
    commit = seal_files(files, layer / WORKDIR.lstrip("/"), pristine, repo)
    layers = [environment.environment_layer(environment.requirements_of(()))[0], _link_layer(), store.put_layer(layer)]
    hidden = {path: text.encode() for path, text in made.hidden_tests.items()}
    return Task(
        id=task,
        set=home,
        repo=repo,
        issue=made.issue,
        image=store.make_image(layers, environment.VARIABLES, WORKDIR),
        tests=TestSetup(("tests",), timeout=TIMEOUT),
        hidden=HiddenTests(hidden, ("tests",), made.fail_to_pass, made.pass_to_pass),
        gold_patch=made.gold_patch,
        pristine=pristine,
        base_commit=commit,
        source=made.source,
        digest="",
    )


def _link_layer() -> str:
    """What makes the modules of any such repository importable, and known as one package."""
    key = {"kind": "link", "package": PACKAGE, "version": VERSION, "python": platform.python_version()}
    key["inside"] = interpreter().inside
    digest, _ = store.layer(key, lambda tree: environment.link_package(tree, PACKAGE, str(VERSION), (".",), WORKDIR))
    return digest
