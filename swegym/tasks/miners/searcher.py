"""The search for smallest fixes, as a program inside a sandbox: hundreds of test runs in the time of a few.

It imports pytest once and forks for every question, and the test files, which never change here, keep their rewritten
byte code. It reads a job from stdin and prints an answer as JSON. What it says is measured again by whole test runs
before anything is built on it, so nothing here has to be proof against the package. Standard library and pytest only.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

CACHE = "/tmp/search-cache"


class Repository:
    """The files that hunks change, and pytest over them."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.root = Path(job["root"])
        self.hunks = job["hunks"]  # path, start, end, added, whole
        self.arguments = ["-c", job["ini"], "--rootdir", job["root"], "--confcutdir", job["root"], "-q", "--tb=no"]
        self.arguments += ["-p", "no:cacheprovider", "--continue-on-collection-errors"]
        self.arguments += [part for plugin in job["plugins"] for part in ("-p", plugin)]
        self.seconds = float(job["seconds"])
        self.until = time.monotonic() + float(job["deadline"])
        self.original = {hunk["path"]: self._read(hunk["path"]) for hunk in self.hunks}
        sys.path.extend(str(self.root / folder) for folder in job["pythonpath"])

    def ask(self, part: Collection[int], tests: Sequence[str]) -> set[str]:
        """Those of the test functions that pass with these hunks."""
        if time.monotonic() > self.until:
            return set()
        self.apply(part)
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        if len(tests) == 1:
            return self.run(list(tests)) & set(tests)
        return {test for file in files for test in self.run([file])} & set(tests)

    def apply(self, part: Collection[int]) -> None:
        chosen: dict[str, list[dict[str, Any]]] = {path: [] for path in self.original}
        for number in part:
            chosen[self.hunks[number]["path"]].append(self.hunks[number])
        for path, hunks in chosen.items():
            data = self.original[path]
            if hunks and hunks[0]["whole"]:
                data = None if hunks[0]["end"] < 0 else base64.b64decode("".join(hunks[0]["added"]))
            elif hunks:
                *ended, rest = (data or b"").split(b"\n")
                lines = [line + b"\n" for line in ended] + ([rest] if rest else [])
                for hunk in sorted(hunks, key=lambda hunk: (hunk["start"], hunk["end"]), reverse=True):
                    lines[hunk["start"] : hunk["end"]] = [base64.b64decode(line) for line in hunk["added"]]
                data = b"".join(lines)
            if data != self._read(path):
                self._write(path, data)

    def run(self, paths: list[str], *, keep: bool = False) -> set[str]:
        """The test functions that pass, all their parameter sets, in a fork of this process."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.setsid()
            os.close(reading)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            sys.dont_write_bytecode = not keep
            reporter = Reporter()
            with contextlib.suppress(BaseException):
                importlib.import_module("pytest").main([*self.arguments, *paths], plugins=[reporter])
            with os.fdopen(writing, "w") as stream:
                json.dump(sorted(reporter.passing()), stream)
            os._exit(0)
        os.close(writing)
        answer, until = b"", time.monotonic() + self.seconds
        while select.select([reading], [], [], max(until - time.monotonic(), 0))[0]:
            data = os.read(reading, 1 << 16)
            if not data:
                break
            answer += data
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        try:
            return set(json.loads(answer))
        except ValueError:
            return set()

    def warm(self, paths: list[str]) -> None:
        """Keep the rewritten byte code of test files; that of sources, which change, is thrown away."""
        for path in paths:
            self.run([path], keep=True)
        for file in Path(CACHE).rglob("*.pyc"):
            if "-pytest-" not in file.name:
                file.unlink()

    def _read(self, path: str) -> bytes | None:
        place = self.root / path
        return place.read_bytes() if place.is_file() else None

    def _write(self, path: str, data: bytes | None) -> None:
        place = self.root / path
        if data is None:
            place.unlink()
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


class Reporter:
    """A pytest plugin: how every test function ended."""

    def __init__(self) -> None:
        self.good: set[str] = set()
        self.bad: set[str] = set()

    def pytest_runtest_logreport(self, report: Any) -> None:
        path, separator, name = report.nodeid.partition("::")
        function = path + separator + name.partition("[")[0]
        if report.outcome == "failed" or (report.outcome == "skipped" and not hasattr(report, "wasxfail")):
            self.bad.add(function)
        elif report.when == "call":
            self.good.add(function)

    def passing(self) -> set[str]:
        return self.good - self.bad


def main() -> None:
    job = json.load(sys.stdin)
    sys.pycache_prefix = CACHE
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    importlib.import_module("pytest")
    algorithm = importlib.import_module("minimise")
    os.chdir(job["root"])
    repository = Repository(job)
    repository.apply(range(len(repository.hunks)))
    repository.warm(list(dict.fromkeys(test.partition("::")[0] for test in job["tests"])))
    paths = [hunk["path"] for hunk in job["hunks"]]
    found, unsettled = algorithm.problems(paths, job["tests"], job["likely"], repository.ask, job["tries"], job["most"])
    print(json.dumps({"found": found, "unsettled": unsettled}))
    shutil.rmtree(CACHE, ignore_errors=True)


if __name__ == "__main__":
    main()
