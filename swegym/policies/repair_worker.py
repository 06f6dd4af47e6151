# ruff: noqa: PTH100, PTH109, PTH118, PTH120, PTH123
"""What the repair student runs inside the sandbox; it needs Python, pytest and coverage, and nothing of swegym.

    python worker.py trace REQUEST.json    run the tests: which fail, and which lines do they execute
    python worker.py try REQUEST.json      try edits in order until one makes the tests pass
    python worker.py check REQUEST.json    run tests with one edit, in a fresh process

A result is one line of JSON on stdout behind the word RESULT. No file of the repository is ever written. `try` imports
the code and collects the failing tests once; each edit then gets a fork of that process, in which the code of the
edited function is exchanged. Edits of anything but function bodies, and whatever passes, go through `check`, where the
edit exists only in the import system.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import importlib.machinery
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

PATIENCE = 8  # on a busy machine, seconds that may pass for each second of processor time that is allowed
# Plain asserts: nobody reads why one fails, and explaining it is slow.
OPTIONS = ["-q", "--assert=plain", "--tb=no", "--continue-on-collection-errors", "-o", "addopts="]
OPTIONS += [part for name in ("cacheprovider", "randomly", "xdist", "cov") for part in ("-p", f"no:{name}")]
live_code: Any = importlib.import_module(f"{__package__}.live_code" if __package__ else "live_code")  # beside this file
Edit = list[Any]  # path, first line, last line, new text of these lines


class Watch:
    """A pytest plugin: the outcome and seconds of every test, and when to stop."""

    def __init__(self, only: set[str] | None = None, passing: set[str] | None = None, seconds: float = 1e9) -> None:
        self.only = only  # run these alone
        self.passing = passing or set()  # stop when one of these does not pass
        self.seconds = seconds  # of processor time
        self.deadline = time.monotonic() + PATIENCE * seconds
        self.coverage: Any = None
        self.statuses: dict[str, str] = {}
        self.messages: dict[str, str] = {}
        self.durations: dict[str, float] = {}
        self.files: dict[str, str] = {}
        self.stopped = False

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.statuses[report.nodeid] = "error"
            self.messages[report.nodeid] = str(report.longrepr)[-200:]
        elif self.only and report.nodeid in self.only:
            self.statuses[report.nodeid] = "passed"

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        if self.only is not None:
            items[:] = [item for item in items if item.nodeid in self.only]
        self.files.update((item.nodeid, str(item.fspath)) for item in items)

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> bool | None:
        broken = any(self.statuses[name] not in ("passed", "xfailed") for name in self.passing & self.statuses.keys())
        if broken or effort() > self.seconds or time.monotonic() > self.deadline:
            self.stopped = True
            item.session.shouldstop = "enough"
            return True
        return None

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        if self.coverage is not None:
            self.coverage.switch_context(nodeid)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        if self.coverage is not None:
            self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid
        self.durations[name] = self.durations.get(name, 0.0) + report.duration
        status = "xfailed" if hasattr(report, "wasxfail") else report.outcome
        if self.statuses.get(name, "passed") == "passed":
            self.statuses[name] = status
        if report.failed and name not in self.messages:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.messages[name] = (crash.message if crash else str(report.longrepr))[:200]


def run_pytest(arguments: list[str], *plugins: object) -> None:
    """One pytest session in this process, its output thrown away."""
    import pytest

    with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        pytest.main([*OPTIONS, "--rootdir", os.getcwd(), *arguments], plugins=list(plugins))


def effort() -> float:
    """Seconds of processor time that this process and the children that it waited for have taken."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


# --- trace ------------------------------------------------------------------------------------------------------------


def trace(request: dict[str, Any], folder: str) -> dict[str, Any]:
    coverage: Any = importlib.import_module("coverage")
    root = os.getcwd()
    tests = [os.path.join(root, path) for path in request["visible"]]
    omit = [path if path.endswith(".py") else os.path.join(path, "*") for path in tests]
    watch = Watch(seconds=request["seconds"])
    watch.coverage = cov = coverage.Coverage(
        data_file=None, config_file=False, include=[os.path.join(root, "*")], omit=omit, messages=False
    )
    cov.start()
    run_pytest([*request["visible"], *request["extra"]], watch)
    cov.stop()
    issue = [name for name in watch.statuses if watch.files.get(name) in request["extra"]]
    failing = [name for name, status in watch.statuses.items() if status in ("failed", "error")]
    # What fails without reaching the code, for want of a plugin say, no edit of the code can repair.
    touched = {context for path in cov.get_data().measured_files() for context in contexts_of(cov.get_data(), path)}
    failing = [name for name in failing if name in touched or "::" not in name] or failing
    # An example of the issue that passes may show the bug, so it neither clears a line nor has to stay as it is.
    passing = [name for name, status in watch.statuses.items() if status == "passed" and name not in issue]
    measured = {os.path.realpath(path) for path in cov.get_data().measured_files()}
    modules = [
        name
        for name, each in sys.modules.items()
        if os.path.realpath(getattr(each, "__file__", None) or "/") in measured
    ]
    state = {
        "failing": failing,
        "issue": issue,
        "passing": passing,
        "durations": watch.durations,
        "files": watch.files,
        "modules": modules,  # of the code under test
    }
    with open(os.path.join(folder, "state.json"), "w") as file:
        json.dump(state, file)
    spectra, parts, names = {}, {}, {}
    for path, runs in spectra_of(cov.get_data(), set(failing), set(passing)):
        short = os.path.relpath(path, root)
        spectra[short] = runs
        parts[short], names[short] = outline(path, runs)
    for short in request["outline"]:
        parts[short], names[short] = outline(os.path.join(root, short))
    return {
        "failed": len(failing),
        "passed": len(passing),
        "messages": [f"{name}: {watch.messages.get(name, '')}" for name in failing[:3]],
        "complete": not watch.stopped,
        "spectra": spectra,
        "parts": parts,
        "names": names,
        "effort": round(effort(), 2),
    }


def contexts_of(data: Any, path: str) -> set[str]:
    """The tests that execute any line of a file."""
    return {context for contexts in data.contexts_by_lineno(path).values() for context in contexts}


def spectra_of(data: Any, failing: set[str], passing: set[str]) -> Iterator[tuple[str, list[list[int]]]]:
    """Per file: runs [first, last, failed, passed] of neighbouring lines that failing tests execute."""
    for path in sorted(data.measured_files()):
        runs: list[list[int]] = []
        for line, contexts in sorted(data.contexts_by_lineno(path).items()):
            failed, passed = len(failing.intersection(contexts)), len(passing.intersection(contexts))
            if failed == 0:
                continue
            if runs and runs[-1][1] == line - 1 and runs[-1][2:] == [failed, passed]:
                runs[-1][1] = line
            else:
                runs.append([line, line, failed, passed])
        if runs:
            yield path, runs


def outline(path: str, runs: list[list[int]] | None = None) -> tuple[list[list[Any]], list[str]]:
    """Parts [name, first, last] of a file, and the names that it defines at its top level.

    A part is a function with its decorators, or a statement outside of functions, whose name is "". With `runs` only
    the functions that they touch are listed.
    """
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return [], []
    parts: list[list[Any]] = []

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            end = node.end_lineno or node.lineno
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                if runs is None or any(run[0] <= end and node.body[0].lineno <= run[1] for run in runs):
                    parts.append([prefix + node.name, first, end])
            elif isinstance(node, ast.ClassDef):
                visit(node.body, prefix + node.name + ".")
            elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.If, ast.Try)):
                parts.append(["", node.lineno, end])

    visit(tree.body, "")
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names += [(alias.asname or alias.name).split(".")[0] for alias in node.names]
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return parts, names


# --- try --------------------------------------------------------------------------------------------------------------


def attempt(request: dict[str, Any], folder: str) -> dict[str, Any]:
    """Stops at the first edit with which all failing tests pass and no other breaks; else says which came nearest."""
    with open(os.path.join(folder, "state.json")) as file:
        state = json.load(file)
    trial = Trial(request, state, folder)
    files = sorted({state["files"].get(name, name.split("::")[0]) for name in trial.targets})
    run_pytest(files, Watch(only=set(trial.targets)), trial)
    return {
        "tried": trial.tried,
        "checked": trial.checked,
        "best": trial.best,
        "partial": trial.partial,
        "fixed": trial.most,
        "effort": round(effort(), 2),
    }


class Trial:
    """A pytest plugin that takes over once the failing tests are collected, and runs them for every edit."""

    def __init__(self, request: dict[str, Any], state: dict[str, Any], folder: str) -> None:
        self.request, self.state, self.folder = request, state, folder
        self.targets = quick(state["failing"], state["durations"], state["files"])
        self.seconds = 0.3 + 4.0 * sum(state["durations"].get(name, 0.0) for name in self.targets)
        self.tried = self.checked = self.most = 0
        self.best: int | None = None
        self.partial: int | None = None

    def pytest_runtestloop(self, session: Any) -> bool:
        started = time.monotonic()
        for name in self.state["modules"]:  # those that tests import while they run
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        live = live_code.LiveCode()
        gc.freeze()  # forks then share what the collector would otherwise touch
        for index, edit in enumerate(self.request["edits"]):
            waited = time.monotonic() - started
            if effort() > self.request["seconds"] or waited > PATIENCE * self.request["seconds"]:
                break
            self.tried += 1
            fixed = self.fixed_by(edit, live, session.items)
            if (fixed == len(self.targets) or fixed > self.most) and self.accept(index, edit):
                break
        return True

    def fixed_by(self, edit: Edit, live: Any, items: list[Any]) -> int:
        """How many of the quick targets pass with an edit."""
        exchanges = live.exchanges(*edit) if len(items) == len(self.targets) else []
        if not exchanges:
            files = sorted({self.state["files"].get(name, name.split("::")[0]) for name in self.targets})
            statuses = self.check({"edit": edit, "arguments": files, "only": self.targets}, self.seconds + 5.0)
        else:
            statuses = live_code.in_child(exchanges, items, Watch(), self.seconds)
        return sum(statuses.get(name) == "passed" for name in self.targets)

    def accept(self, index: int, edit: Edit) -> bool:
        """Whether an edit, with the code imported afresh, makes all failing tests pass and breaks none."""
        self.checked += 1
        arguments = [*self.request["visible"], *self.request["extra"]]
        seconds = 10.0 + 4.0 * sum(self.state["durations"].values())
        statuses = self.check({"edit": edit, "arguments": arguments, "passing": self.state["passing"]}, seconds)
        if any(statuses.get(name) != "passed" for name in self.state["passing"]):
            return False
        errors = {name for name in self.state["failing"] if "::" not in name}  # files that could not be collected
        fixed = sum(
            statuses.get(name, "") == "passed" or name in errors - statuses.keys() for name in self.state["failing"]
        )
        # An example of the issue may depend on the machine, or show the bug; a test of the repository does not.
        decisive = set(self.state["failing"]) - set(self.state["issue"]) or set(self.state["failing"])
        if all(statuses.get(name) == "passed" or name in errors - statuses.keys() for name in decisive):
            self.best = index
        elif fixed > self.most:
            self.partial, self.most = index, fixed
        return self.best is not None

    def check(self, request: dict[str, Any], seconds: float) -> dict[str, str]:
        """What `check` says within so many seconds of processor time, and twice that as time that passes; else {}.

        Not `PATIENCE` times: an edit may make a test wait for ever, and others are to be tried after it.
        """
        path = os.path.join(self.folder, "check.json")
        with open(path, "w") as file:
            json.dump({**request, "seconds": seconds}, file)
        process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "check", path],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=2 * seconds)
        except subprocess.TimeoutExpired:
            output = b""
        live_code.end(process.pid)
        process.wait()
        _, _, result = output.decode("utf-8", "replace").rpartition("RESULT ")
        return dict(json.loads(result)) if result else {}


def quick(
    names: list[str], durations: dict[str, float], files: dict[str, str], seconds: float = 0.4, most: int = 8
) -> list[str]:
    """A few tests that together take about `seconds`: the fastest of each file in turn."""
    turns: dict[str, int] = {}
    order: list[tuple[int, float, str]] = []
    for name in sorted(names, key=lambda each: (durations.get(each, 0.0), each)):
        file = files.get(name, name)
        order.append((turns.setdefault(file, 0), durations.get(name, 0.0), name))
        turns[file] += 1
    chosen: list[str] = []
    spent = 0.0
    for _, duration, name in sorted(order):
        if not chosen or (len(chosen) < most and spent + duration <= seconds):
            chosen.append(name)
            spent += duration
    return chosen


# --- check ------------------------------------------------------------------------------------------------------------


def check(request: dict[str, Any], folder: str) -> dict[str, str]:
    """The statuses of tests with one edit; with `passing`, only until one of these breaks."""
    signal.setitimer(signal.ITIMER_PROF, request["seconds"])  # an endless loop ends here
    overlay(*request["edit"])
    only = request.get("only")
    watch = Watch(None if only is None else set(only), set(request.get("passing", ())))
    run_pytest(request["arguments"], watch)
    return watch.statuses


def overlay(path: str, first: int, last: int, new: str) -> None:
    """Make this process import `path` with its lines first to last replaced; the file itself stays as it is."""
    real = os.path.realpath(path)
    with open(real, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    lines[first - 1 : last] = [new.encode()]

    class Loader(importlib.machinery.SourceFileLoader):
        def get_data(self, name: str) -> bytes:
            return b"".join(lines) if os.path.realpath(name) == real else super().get_data(name)

        def path_stats(self, name: str) -> Any:
            if os.path.realpath(name) == real:
                raise OSError("compiled anew, never from or to a bytecode file")
            return super().path_stats(name)

    known = importlib.machinery
    loaders = [
        (known.ExtensionFileLoader, known.EXTENSION_SUFFIXES),
        (Loader, known.SOURCE_SUFFIXES),
        (known.SourcelessFileLoader, known.BYTECODE_SUFFIXES),
    ]
    sys.path_hooks.insert(0, known.FileFinder.path_hook(*loaders))
    sys.path_importer_cache.clear()


def main() -> None:
    command, path = sys.argv[1:]
    folder = os.path.dirname(os.path.abspath(path))
    with open(path) as file:
        request = json.load(file)
    sys.path.insert(0, os.getcwd())
    sys.dont_write_bytecode = False  # test modules are rewritten and compiled once, outside the repository
    sys.pycache_prefix = os.path.join(folder, "bytecode")
    result = {"trace": trace, "try": attempt, "check": check}[command](request, folder)
    print("RESULT " + json.dumps(result, separators=(",", ":")))


if __name__ == "__main__":
    main()
