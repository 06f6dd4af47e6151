"""A small repository as a task, in a real image: pytest comes from the packages of the interpreter that runs this."""

import dataclasses
import importlib.metadata
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from calc_repository import BASE, EXPECTED_TO_STAY, EXPECTED_TO_TURN, GOLD, HIDDEN, MakeTask, git, write_tree

from swegym.images import store as image_store
from swegym.sandbox import open_sandbox
from swegym.sandbox.base import interpreter
from swegym.types import HiddenTests, Sandbox, Task, TestSetup


@pytest.fixture(scope="session")
def environment_layer(store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """/opt/venv with pytest and what it needs."""
    python = interpreter()
    tree = tmp_path_factory.mktemp("environment")
    site = tree / f"opt/venv/lib/python{python.version}/site-packages"
    site.mkdir(parents=True)
    (tree / "opt/venv/bin").mkdir()
    (tree / "opt/venv/pyvenv.cfg").write_text(f"home = {Path(python.inside).parent}\nversion = {python.version}\n")
    for name in ("python", f"python{python.version}"):
        (tree / "opt/venv/bin" / name).symlink_to(python.inside)
    for package in ("pytest", "pluggy", "iniconfig", "packaging", "pygments"):
        for file in importlib.metadata.files(package) or ():
            source = Path(str(file.locate()))
            if ".." not in file.parts and "__pycache__" not in file.parts and source.is_file():
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, site / file)
    (site / "calc.pth").write_text("/testbed\n")
    return image_store.put_layer(tree)


@pytest.fixture(scope="session")
def make_task(environment_layer: str, tmp_path_factory: pytest.TempPathFactory) -> MakeTask:
    """Build a task from a base tree; keyword arguments replace fields of the task."""

    def make(
        files: Mapping[str, bytes] = BASE,
        *,
        hidden: Mapping[str, bytes] | None = None,
        links: Mapping[str, str] | None = None,
        tests: Mapping[str, object] | None = None,
        **fields: object,
    ) -> Task:
        tree = tmp_path_factory.mktemp("source")
        testbed = tree / "testbed"
        testbed.mkdir()
        write_tree(testbed, files)
        for name, target in (links or {}).items():
            (testbed / name).symlink_to(target)
        git(testbed, "init", "-q", "-b", "main")
        git(testbed, "add", "-A", "-f")
        git(testbed, "-c", "commit.gpgsign=false", "commit", "-q", "-m", "base")
        commit = git(testbed, "rev-parse", "HEAD").decode().strip()
        pristine = tmp_path_factory.mktemp("pristine") / "repository.git"
        git(testbed, "clone", "-q", "--bare", "--no-hardlinks", str(testbed), str(pristine))
        version = interpreter().version
        environment = {"PATH": "/opt/venv/bin:/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        source_layer = image_store.put_layer(tree)
        image = image_store.make_image((environment_layer, source_layer), environment)
        restored = {"tests/test_core.py": HIDDEN, "tests/__init__.py": b""}
        setup = {"visible": ("tests",), "timeout": 20.0} | dict(tests or {})
        task = Task(
            id="calc-1",
            set="toys",
            repo=f"calc 1 on {version}",
            issue="add() subtracts",
            image=image,
            tests=TestSetup(**setup),  # type: ignore[arg-type]
            hidden=HiddenTests(hidden or restored, ("tests",), EXPECTED_TO_TURN, EXPECTED_TO_STAY),
            gold_patch=GOLD,
            pristine=pristine,
            base_commit=commit,
            source=("calc",),
            digest="0" * 64,
        )
        return dataclasses.replace(task, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def task(make_task: MakeTask) -> Task:
    return make_task()


@pytest.fixture
def sandbox(task: Task) -> Iterator[Sandbox]:
    with open_sandbox(task.image) as machine:
        yield machine
