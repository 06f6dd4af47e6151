"""Trials: edits of one release, each run under some of its tests; many in one machine, at the price of the tests.

What a trial says is good for choosing; what is chosen is proven by real runs, one machine each (`swegym tasks check`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym.errors import TaskError
from swegym.tasks import call_probe, trial_server
from swegym.types import Image, SandboxFactory, TestSetup

_PLACE = "/tmp/trials"
_ROOT = "/testbed"


@dataclass(frozen=True, slots=True)
class Trial:
    """Files that replace those of the repository, and what is run over them."""

    files: Mapping[str, bytes]
    paths: Sequence[str] = ()  # test files
    only: Sequence[str] | None = None  # of their tests; None: all
    calls: Sequence[str] = ()  # texts of calls (see `swegym.tasks.call_probe`)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial. One that did not end, or ended its process, says nothing else."""

    ended: bool
    failed: Mapping[str, str]  # test -> message
    passed: frozenset[str]
    outcomes: tuple[Mapping[str, Any], ...]  # of the calls, in order

    def broken(self, expected: Iterable[str]) -> frozenset[str]:
        """Those of these tests that did not pass."""
        return frozenset(expected) - self.passed


def run_trials(
    image: Image, setup: TestSetup, trials: Sequence[Trial], open_sandbox: SandboxFactory, jobs: int = 1
) -> list[Outcome]:
    """Carry out trials, in as many machines as there are jobs; each trial has `setup.timeout` seconds."""
    if not trials:
        return []
    shares = [list(trials[number::jobs]) for number in range(min(jobs, len(trials)))]
    with ThreadPoolExecutor(len(shares), "trials") as pool:
        done = list(pool.map(lambda share: _run(image, setup, share, open_sandbox), shares))
    return [done[number % len(shares)][number // len(shares)] for number in range(len(trials))]


def _run(image: Image, setup: TestSetup, trials: Sequence[Trial], open_sandbox: SandboxFactory) -> list[Outcome]:
    options = "".join(f"{name} = {value}\n" for name, value in setup.ini.items())
    arguments = ["-c", f"{_PLACE}/pytest.ini", "--rootdir", _ROOT, "--confcutdir", _ROOT, "-q"]
    arguments += ["-p", "no:cacheprovider", "--continue-on-collection-errors"]
    arguments += [part for plugin in setup.plugins for part in ("-p", plugin)]
    job = {
        "root": _ROOT,
        "pythonpath": list(setup.pythonpath),
        "arguments": arguments,
        "result": f"{_PLACE}/result.json",
        "timeout": setup.timeout,
        "trials": [
            {
                "files": {path: data.decode("utf-8", "surrogateescape") for path, data in trial.files.items()},
                "paths": list(trial.paths),
                "only": None if trial.only is None else list(trial.only),
                "calls": list(trial.calls),
            }
            for trial in trials
        ],
    }
    with open_sandbox(image) as sandbox:
        for module in (trial_server, call_probe):
            path = Path(str(module.__file__))
            sandbox.write(f"{_PLACE}/{path.name}", path.read_bytes())
        sandbox.write(f"{_PLACE}/pytest.ini", f"[pytest]\n{options}".encode())
        done = sandbox.exec(
            ["python", f"{_PLACE}/trial_server.py"],
            cwd=_ROOT,
            env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": ""},
            stdin=json.dumps(job).encode(),
            timeout=30.0 + (setup.timeout + 1.0) * len(trials),
        )
        try:
            found = json.loads(sandbox.read(f"{_PLACE}/result.json"))
        except (FileNotFoundError, json.JSONDecodeError):
            raise TaskError(f"trials could not be run: {done.text.strip()[-500:]}") from None
    return [Outcome(one["ended"], one["failed"], frozenset(one["passed"]), tuple(one["outcomes"])) for one in found]
