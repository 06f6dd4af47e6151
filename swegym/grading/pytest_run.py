"""A sealed pytest run in a sandbox: what the tests report, through a channel that is not their output."""

from __future__ import annotations

import base64
import functools
import json
import secrets
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from swegym.errors import GraderError
from swegym.grading.command_run import run_listed, run_visible
from swegym.grading.official_rules import TIMED_OUT
from swegym.types import ExecResult, Sandbox, Status, TestSetup

Ending = Literal["finished", "early", "time", "memory", "disk", "machine", "lost"]

Fact = tuple[str, str, str, str]

MARGIN = 30.0  # seconds for the runner itself, beyond the tests' own


@dataclass(frozen=True, slots=True)
class TestReport:
    """What a run said. `statuses` holds the expected tests, "missing" where one did not report all its phases, and
    files that could not be collected; where nothing was expected, every test that reported.

    `ending` tells how pytest's process came to its end: "finished" its session; "early" it left or was killed before
    that; a limit by name; "lost" no result came out of the sandbox at all.
    """

    __test__ = False

    statuses: Mapping[str, Status]
    output: str  # head and tail of what the tests printed
    seconds: float
    ending: Ending
    exit_code: int | None = None  # of pytest's process, negative for a signal
    facts: tuple[Fact, ...] = ()  # what the job's extras sent: (kind, name, phase, value)

    @property
    def finished(self) -> bool:
        return self.ending == "finished"


def run_hidden(
    sandbox: Sandbox,
    setup: TestSetup,
    expected: Iterable[str] | None = None,
    paths: Iterable[str] = (),
    *,
    workdir: str = "/testbed",
    extras: Iterable[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> TestReport:
    """Run pytest on whole files and report their tests.

    With `expected` ids, the files that hold them are run, and exactly those ids are reported. With None the files or
    folders in `paths` are run (default: the visible tests) and all their tests reported. Test failures, time-outs and
    early ends are results; `SandboxError` escapes, and `GraderError` where pytest cannot be started at all.
    `extras` names programs of this folder ("_evidence") that watch or ask inside; `facts` are more keys of their job.
    """
    expected = None if expected is None else tuple(expected)
    if setup.runner == "command":
        return _by_command(sandbox, setup, expected, list(paths) or list(setup.visible), workdir)
    if expected is not None:
        wanted = list(dict.fromkeys(test.split("::")[0] for test in expected))
    else:
        wanted = list(dict.fromkeys(paths)) or list(setup.visible)
    word = secrets.token_hex(16)
    job = {
        "word": word,
        "source": source(),
        "reporter": source("_reporter.py"),
        "root": workdir,
        "paths": wanted,
        "expected": expected,
        "pythonpath": list(setup.pythonpath),
        "plugins": list(setup.plugins),
        "options": dict(setup.ini),
        "timeout": setup.timeout,
        "extras": {name: source(f"{name}.py") for name in extras},
        **(facts or {}),
    }
    given, timeout = json.dumps(job).encode("ascii"), setup.timeout + MARGIN
    if hasattr(sandbox, "run_runner"):  # see `swegym.grading.warm` and `swegym.grading.ahead`
        done = sandbox.run_runner(given, timeout)
    else:
        argv = ["python", "-I", "-S", "-B", "-c", source(), "parent"]
        done = sandbox.exec(argv, cwd="/", stdin=given, timeout=timeout)
    if done.exit_code in (126, 127):
        raise GraderError(f"the sandbox has no Python to run tests with: {done.text.strip()[:300]}. Build it again.")
    document = _document(done, word)
    if document is None:
        missing: dict[str, Status] = dict.fromkeys(expected or (), "missing")
        return TestReport(missing, done.text[-20_000:], done.seconds, done.limit or "lost", done.exit_code)
    statuses: dict[str, Status] = dict.fromkeys(expected or (), "missing")
    statuses |= document["statuses"]
    ending: Ending = document["ending"]
    if ending == "early" and done.limit is not None:
        ending = done.limit
    said = tuple(tuple(fact) for fact in document["facts"])
    return TestReport(statuses, document["output"], document["seconds"], ending, document["exit_code"], said)


def _by_command(
    sandbox: Sandbox, setup: TestSetup, expected: tuple[str, ...] | None, paths: list[str], workdir: str
) -> TestReport:
    """The project's own command instead of a structured run, its log read strictly."""
    if expected is None:
        statuses, run, code = run_visible(sandbox, setup, paths, workdir)
    else:
        statuses, run, code = run_listed(sandbox, setup, expected, workdir)
    broken: Ending = run.limit or ("time" if TIMED_OUT in (run.log or "") else "early")
    ending: Ending = "finished" if code is not None else broken
    return TestReport(statuses, run.log or "", run.seconds, ending, code)


def _document(done: ExecResult, word: str) -> dict | None:  # type: ignore[type-arg]
    """The runner's result: the one line that starts with the secret word. Other lines are not its own."""
    for line in reversed(done.stdout.split(b"\n")):
        if line.startswith(word.encode() + b" "):
            try:
                document = json.loads(zlib.decompress(base64.b64decode(line.split(b" ")[1])))
            except (ValueError, zlib.error):
                return None  # cut by the sandbox's output limit
            return document if isinstance(document, dict) else None
    return None


@functools.cache
def source(name: str = "_runner.py") -> str:
    return Path(__file__).with_name(name).read_text("utf-8")
