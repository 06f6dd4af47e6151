"""Exported tasks have the documented fields, and their verifier and solution do in a machine what Harbor expects.

Harbor itself needs Python 3.12, and `scripts/harbor/run.sh` runs it. What it does with a folder is done here by hand:
the files are put at their places, the solution is run or not, then tests/test.sh, and the reward is read from
/logs/verifier.
"""

import tarfile
import tomllib
from pathlib import Path

import pydantic
import pytest

from swegym.adapters.harbor import export
from swegym.errors import InputError
from swegym.sandbox import sandbox_factory
from swegym.sandbox.limits import Limits
from swegym.tasks import load_task_set


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class Named(Strict):
    name: str = pydantic.Field(pattern=r"^[\w.-]+/[\w.-]+$")
    description: str
    keywords: list[str]


class Timed(Strict):
    timeout_sec: float = pydantic.Field(gt=0)


class Environment(Strict):
    build_timeout_sec: float
    cpus: int
    memory_mb: int
    storage_mb: int
    workdir: str
    network_mode: str = pydantic.Field(pattern="^(no-network|public|allowlist)$")


class TaskFile(Strict):
    """Of task.toml, the fields of schema 1.4 that are used; metadata is free."""

    schema_version: str
    task: Named
    metadata: dict[str, str]
    agent: Timed
    verifier: Timed
    environment: Environment


def reward(tiny: str, folder: Path, solve: bool, change: str = "true") -> str:
    """What Harbor's oracle agent, or one that only runs `change`, is rewarded with."""
    task = load_task_set(tiny).load(folder.name)
    with sandbox_factory("bubblewrap", Limits())(task.image) as sandbox:
        for part in ("tests", "solution"):
            for file in (folder / part).rglob("*"):
                if file.is_file():
                    sandbox.write(f"/{part}/{file.relative_to(folder / part)}", file.read_bytes())
        sandbox.exec(change)
        if solve:
            assert sandbox.exec("bash /solution/solve.sh").exit_code == 0
        sandbox.exec("bash /tests/test.sh")
        return sandbox.read("/logs/verifier/reward.txt").decode().strip()


def test_the_solution_is_rewarded_and_nothing_is_not(tiny, tmp_path):
    folders = export(tiny, tmp_path / "out")
    assert [folder.name for folder in folders] == ["tiny-1", "tiny-2"]
    for folder in folders:
        assert reward(tiny, folder, solve=True) == "1"
    assert reward(tiny, folders[0], solve=False) == "0"
    assert reward(tiny, folders[0], False, "echo 'def test_double_of_five(): pass' > tests/test_numbers.py") == "0"
    assert reward(tiny, folders[0], False, "echo 'import sys; sys.exit(0)' > tiny/numbers.py") == "0"


def test_a_folder_has_what_is_documented(tiny, tmp_path):
    (folder,) = export(tiny, tmp_path / "out", ["tiny-1"])
    settings = TaskFile.model_validate(tomllib.loads((folder / "task.toml").read_text()))
    assert (settings.task.name, settings.environment.workdir) == ("swegym/tiny-1", "/testbed")
    assert "wrong results" in (folder / "instruction.md").read_text()
    dockerfile = (folder / "environment" / "Dockerfile").read_text()
    assert dockerfile.startswith("FROM python:3.") and "ADD layer-1.tar.gz /" in dockerfile
    with tarfile.open(folder / "environment" / "layer-1.tar.gz") as archive:
        names = archive.getnames()
    assert "./testbed/tiny/numbers.py" in names
    hidden = "test_double_of_five"
    shown = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".gz"]
    assert {file.parent.name for file in shown if hidden in file.read_text()} <= {"tests", "files"}


def test_nothing_is_written_over(tiny, tmp_path):
    export(tiny, tmp_path / "out", ["tiny-1"])
    with pytest.raises(InputError, match="exists already"):
        export(tiny, tmp_path / "out", ["tiny-1"])
