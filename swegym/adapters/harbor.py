"""Harbor: tasks as folders that Harbor and the tools that read its format run.

    export("pypi", "harbor-tasks")        # harbor run -p harbor-tasks/sqlparse-0.5.1-0.5.2 -a oracle

    task.toml  instruction.md  environment/Dockerfile, layer-N.tar.gz  tests/test.sh, ...  solution/solve.sh, fix.patch

The image is Python's own of the right version plus the layers of the task. The verifier restores the hidden tests over
the work tree and wants each expected one to pass. It runs in the agent's container, as Harbor does by default, so it
can be tricked where our own grader cannot: there, use an env.
"""

from __future__ import annotations

import json
import shlex
import tarfile
from collections.abc import Iterable
from pathlib import Path

from swegym.adapters.harbor_files import DOCKERFILE, OUTCOMES, SOLVE, TEST
from swegym.config import to_toml
from swegym.errors import InputError
from swegym.sandbox.docker_image import trees_of
from swegym.tasks import load_task_set
from swegym.types import Task

SCHEMA = "1.4"


def export(
    tasks: str, folder: str | Path, patterns: Iterable[str] = (), *, agent_seconds: float = 1800.0
) -> list[Path]:
    """Write each chosen task of a set as a folder of its own below `folder`, and return those. All must be built."""
    task_set = load_task_set(tasks).select(tuple(patterns))
    return [write_task(task_set.load(name), Path(folder) / name, agent_seconds) for name in task_set]


def write_task(task: Task, place: Path, agent_seconds: float = 1800.0) -> Path:
    """One Harbor task. Raises `InputError` where something is there already, or tests do not run with pytest."""
    if place.exists():
        raise InputError(f"{place}: it exists already. Name another folder, or remove it.")
    if getattr(task.tests, "runner", "pytest") != "pytest":
        raise InputError(f"task {task.id}: its tests run with {task.tests.runner}. Only pytest can be exported.")
    for name in ("environment", "tests/files", "solution"):
        (place / name).mkdir(parents=True)
    (place / "task.toml").write_text(to_toml(_settings(task, agent_seconds)), "utf-8")
    (place / "instruction.md").write_text(
        f"Solve this problem in the repository at {task.image.workdir} ({task.repo}).\n\n{task.issue}", "utf-8"
    )
    _environment(task, place / "environment")
    _tests(task, place / "tests")
    (place / "solution" / "solve.sh").write_text(SOLVE.format(workdir=task.image.workdir))
    (place / "solution" / "fix.patch").write_text(task.gold_patch, "utf-8")
    return place


def _settings(task: Task, agent_seconds: float) -> dict[str, object]:
    return {
        "schema_version": SCHEMA,
        "task": {"name": f"swegym/{task.id}", "description": f"A bug in {task.repo}", "keywords": ["swegym", task.set]},
        "metadata": {"set": task.set, "repo": task.repo, "digest": task.digest},
        "agent": {"timeout_sec": agent_seconds},
        "verifier": {"timeout_sec": task.tests.timeout + 60.0},
        "environment": {
            "build_timeout_sec": 600.0,
            "cpus": 1,
            "memory_mb": 2048,
            "storage_mb": 10240,
            "workdir": task.image.workdir,
            "network_mode": "no-network",
        },
    }


def _environment(task: Task, folder: Path) -> None:
    trees = trees_of(task.image)[1:]  # the base is Python's image there
    versions = sorted(path.name for tree in trees for path in tree.glob("opt/venv/lib/python3.*"))
    if not versions:
        raise InputError(f"task {task.id}: no Python environment in its image. Only tasks with one can be exported.")
    names = [f"layer-{number}.tar.gz" for number in range(len(trees))]
    for name, tree in zip(names, trees, strict=True):
        with tarfile.open(folder / name, "w:gz", compresslevel=6) as archive:
            archive.add(tree, arcname=".", filter=_owned_by_root)
    variables = "\n".join(f"ENV {name}={json.dumps(value)}" for name, value in task.image.environment.items())
    layers = "\n".join(f"ADD {name} /" for name in names)
    (folder / "Dockerfile").write_text(
        DOCKERFILE.format(
            version=versions[-1].removeprefix("python"), layers=layers, variables=variables, workdir=task.image.workdir
        )
    )


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _tests(task: Task, folder: Path) -> None:
    for path, data in task.hidden.files.items():
        target = folder / "files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    (folder / "expected.json").write_text(json.dumps(task.hidden.expected, indent=1))
    (folder / "swegym_outcomes.py").write_text(OUTCOMES)
    files = sorted({name.partition("::")[0] for name in task.hidden.expected})
    (folder / "test.sh").write_text(
        TEST.format(
            workdir=shlex.quote(task.image.workdir),
            owned=shlex.join(task.hidden.owned),
            pythonpath=shlex.quote("".join(f":{path}" for path in task.tests.pythonpath)),
            plugins=shlex.join([word for plugin in task.tests.plugins for word in ("-p", plugin)]),
            ini=shlex.join([word for name, value in task.tests.ini.items() for word in ("-o", f"{name}={value}")]),
            files=shlex.join(files),
        )
    )
