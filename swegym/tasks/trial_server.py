"""Trials of many edits in one machine: pytest is imported once, and each trial is a fork with files of its own.

This file is copied into a sandbox, where swegym is not installed, so it stands on its own. It reads a job from stdin:

    {"root": folder, "pythonpath": [...], "arguments": [...], "result": file, "timeout": seconds,
     "trials": [{"files": {path: text}, "paths": [...], "only": [test ids] | null, "calls": [...]}, ...]}

and writes to `result`, per trial, {"ended", "failed": {test: message}, "passed": [...], "outcomes": [...]}. Compiled
files are kept between trials; each file that a trial brings gets a time of its own, so that none is taken for another.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

_FIRST_TIME = 1_000_000_000  # seconds; the files that a trial brings count up from here
_LONGEST_MESSAGE = 4000


class Recorder:
    """A pytest plugin that keeps the tests that are wanted and notes how they end."""

    def __init__(self, only: list[str] | None) -> None:
        self.only = None if only is None else set(only)
        self.passed: list[str] = []
        self.failed: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.only is not None:
            items[:] = [item for item in items if item.nodeid in self.only]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.setdefault(report.nodeid, str(report.longrepr)[:_LONGEST_MESSAGE])
        elif report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
            self.passed.append(report.nodeid)


def carry_out(trial: dict[str, Any], arguments: list[str]) -> dict[str, Any]:
    """What the child of a fork does."""
    import pytest
    from _pytest.nodes import Node

    # One line for each failure is all that is asked for, and a traceback costs more than the test.
    Node._repr_failure_py = lambda self, excinfo, style=None: excinfo.exconly(tryshort=True)  # type: ignore
    recorder = Recorder(trial["only"])
    if trial["paths"]:
        pytest.main([*arguments, *trial["paths"]], plugins=[recorder])
    outcomes: list[Any] = []
    if trial["calls"]:
        import call_probe  # type: ignore[import-not-found]  # lies beside this file in the sandbox

        outcomes = [call_probe.outcome(call) for call in trial["calls"]]
    passed = [test for test in recorder.passed if test not in recorder.failed]
    return {"ended": True, "failed": recorder.failed, "passed": passed, "outcomes": outcomes}


def forked(trial: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Carry out a trial in a process group of its own, which is ended when it takes too long."""
    place = Path(job["result"] + ".part")
    place.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            place.write_text(json.dumps(carry_out(trial, job["arguments"])), "utf-8")
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + job["timeout"]
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # what it left running
    try:
        return dict(json.loads(place.read_text("utf-8")))
    except (FileNotFoundError, json.JSONDecodeError):
        return {"ended": False, "failed": {}, "passed": [], "outcomes": []}


def serve(job: dict[str, Any]) -> list[dict[str, Any]]:
    """All trials, one after the other, each over the files as they were."""
    from _pytest.config import default_plugins

    for name in default_plugins:
        __import__(f"_pytest.{name}")
    results = []
    counted = _FIRST_TIME
    for trial in job["trials"]:
        before = {path: Path(path).read_bytes() if Path(path).exists() else None for path in trial["files"]}
        times = {path: Path(path).stat() for path, data in before.items() if data is not None}
        for path, text in trial["files"].items():
            counted += 1
            Path(path).write_bytes(text.encode("utf-8", "surrogateescape"))
            os.utime(path, (counted, counted))
        results.append(forked(trial, job))
        for path, data in before.items():
            if data is None:
                Path(path).unlink()
            else:
                Path(path).write_bytes(data)
                os.utime(path, ns=(times[path].st_atime_ns, times[path].st_mtime_ns))
    return results


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    os.chdir(asked["root"])
    sys.path[:0] = [str(Path(asked["root"], folder)) for folder in asked["pythonpath"]]
    sys.dont_write_bytecode, sys.pycache_prefix = False, asked["result"] + ".compiled"
    Path(asked["result"]).write_text(json.dumps(serve(asked)), "utf-8")
