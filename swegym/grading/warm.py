"""The warm grader: as `unasked`, with tests that run in forks of a Python that has imported pytest already.

It is for online RL on tasks whose tests take milliseconds. Each patch still has a fresh machine from the pristine image
and two processes of its own; only the start of two interpreters and the import of pytest are saved. It asks no
questions, so it pays for in-process forging just as `unasked` does.

The zygote that is forked (`_zygote.py`) has imported the environment's pytest outside of any machine. So an environment
must hold nothing but pytest and what belongs to it, over the interpreter that runs swegym; that is so for the tasks of
`micro`. Everything else is run cold, and the verdict's notes say why.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from swegym.grading import pytest_run, sealed
from swegym.sandbox import supervisor
from swegym.sandbox.base import stored_layer
from swegym.sandbox.bubblewrap import BubblewrapSandbox
from swegym.sandbox.zygote import Zygote, can_fork
from swegym.types import ExecResult, Image, Sandbox, SandboxFactory, Snapshot, Task, Verdict

# What may stand in the environment's site-packages, besides metadata and .pth files that name folders only.
_TRUSTED = {"_pytest", "coverage", "iniconfig", "packaging", "pluggy", "py.py", "pygments", "pytest", "pytest_cov"}
_TRUSTED |= {"a1_coverage.pth", "__pycache__"}
_MOST = 4  # zygotes of one process, about 25 MB each

_zygotes: dict[str, Zygote] = {}
_starting = threading.Lock()
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}  # of the runner's child


@dataclass(frozen=True, slots=True)
class WarmSandbox:
    """A sandbox with a zygote for its runner; all else is the sandbox's own."""

    sandbox: BubblewrapSandbox
    zygote: Zygote

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sandbox, name)

    def __enter__(self) -> WarmSandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sandbox.close()

    def run_runner(self, job: bytes, timeout: float) -> ExecResult:
        return self.zygote.exec(self.sandbox, cwd="/", stdin=job, timeout=timeout)


@atexit.register
def _close_at_exit() -> None:
    while _zygotes:
        _zygotes.popitem()[1].close()


def _forget_after_fork() -> None:
    global _starting
    _starting = threading.Lock()
    _zygotes.clear()


os.register_at_fork(after_in_child=_forget_after_fork)


def grade(task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
    """Judge `patch` without questions, warm where that is possible."""
    reason = why_cold(task)
    runs_elsewhere = False

    def opened(source: Image | Snapshot) -> Sandbox:
        nonlocal runs_elsewhere
        sandbox = open_sandbox(source)
        if reason:
            return sandbox
        if type(sandbox) is not BubblewrapSandbox:
            runs_elsewhere = True
            return sandbox
        try:
            zygote = zygote_for(task.image)
        except BaseException:
            sandbox.close()
            raise
        return cast(Sandbox, WarmSandbox(sandbox, zygote))

    verdict = sealed.grade_unasked(task, patch, opened)
    reason = reason or ("its sandbox is not the embedded one" if runs_elsewhere else "")
    return replace(verdict, notes=(*verdict.notes, f"graded cold: {reason}")) if reason else verdict


def why_cold(task: Task) -> str:
    """Why this task's tests cannot run in a fork; "" where they can."""
    if task.tests.runner != "pytest":
        return f"its tests are run by {task.tests.runner}, not by pytest"
    if task.image.base != "host" or len(task.image.layers) < 2:
        return f"its image has an interpreter of its own ({task.image.base})"
    if not can_fork():
        return "a fork into machines needs CAP_SYS_ADMIN, as root has"
    foreign = _foreign(task.image.layers)
    return f"its environment holds more than pytest ({', '.join(foreign[:3])})" if foreign else ""


@functools.lru_cache(maxsize=1024)
def _foreign(layers: tuple[str, ...]) -> tuple[str, ...]:
    """What does not belong to pytest: of the environment (all layers but the last), and of the last beside its tree."""
    found = [entry.name for entry in stored_layer(layers[-1]).iterdir() if entry.name in ("opt", "usr", "lib", "bin")]
    for digest in layers[:-1]:
        for folder in stored_layer(digest).glob("opt/venv/lib*/python*/site-packages"):
            found += [entry.name for entry in folder.iterdir() if not _is_trusted(entry)]
    return tuple(sorted(found))


def _is_trusted(entry: Path) -> bool:
    if entry.name in _TRUSTED or entry.suffix == ".dist-info":
        return True
    return entry.suffix == ".pth" and not any(line.startswith("import") for line in entry.read_text().splitlines())


def zygote_for(image: Image) -> Zygote:
    """The zygote of this process for an image's environment, started or restarted as needed."""
    name = f"{image.layers[:-1]} {sorted(image.environment.items())}"
    with _starting:
        for known, zygote in list(_zygotes.items()):
            if not zygote.alive():
                _zygotes.pop(known).close()
        if name not in _zygotes:
            while len(_zygotes) >= _MOST:
                _zygotes.pop(next(iter(_zygotes))).close()
            _zygotes[name] = start_zygote(image)
        return _zygotes[name]


def start_zygote(image: Image) -> Zygote:
    """A zygote over the environment of an image, without its last layer, the repository."""
    environment = Image(f"zygote of {image.digest}", image.base, image.layers[:-1], image.environment, "/")
    programs = {"zygote": pytest_run.source("_zygote.py"), "supervisor": Path(supervisor.__file__).read_text("utf-8")}
    # As the runner starts its child, so that flags and hashes are the same.
    argv = ["python", "-s", "-B", "-c", pytest_run.source(), "zygote"]
    return Zygote(environment, argv, ENVIRONMENT, json.dumps(programs).encode())
