"""The reporter: a pytest plugin that sends every phase of every test through a pipe, for `_runner.py` to count.

Loaded by its source text before anything of the repository, and in one interpreter with it: code under test can make it
say anything.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

MOST_TRACEBACKS = 40


def recording(name: str, function: Any, said: list[str]) -> Any:
    def record(*arguments: Any, **keywords: Any) -> Any:
        said.append(name)
        return function(*arguments, **keywords)

    return record


def make(pytest: Any, job: dict[str, Any], folders: list[str], style: str) -> Any:
    """The plugin. It writes to `job["result"]` behind `job["report_word"]`; `folders` are where packages come from."""
    descriptor, word = job["result"], job["report_word"]
    process, write, dumps = os.getpid(), os.write, json.dumps

    class Reporter:
        def __init__(self) -> None:
            self.unsaid: set[str] = set()  # tests of unittest that ended without a result
            self.marked: set[str] = set()  # tests of unittest that failed, and are marked to fail
            self.called: set[str] = set()  # tests in which pytest.xfail() was called
            self.failures = 0

        def send(self, kind: str, name: str, phase: str, outcome: str) -> None:
            if os.getpid() != process:
                return  # a fork of a test
            line = (dumps([word, kind, name, phase, outcome]) + "\n").encode("ascii")
            while line:
                line = line[write(descriptor, line) :]

        def pytest_load_initial_conftests(self, early_config: Any) -> None:
            sys.path.extend(folders)

        def pytest_runtest_logreport(self, report: Any) -> None:
            outcome = report.outcome
            if type(report).__name__ != "TestReport":  # a subtest: its failure counts, the test's own report follows
                if outcome == "failed":
                    self.send("test", report.nodeid, "call", outcome)
                return
            if outcome == "skipped" and getattr(report, "wasxfail", None) is not None:
                outcome = "skipped" if report.nodeid in self.called - self.marked else "xfailed"
            if report.when == "call" and report.nodeid in self.unsaid:
                outcome = "failed"
            if outcome in ("passed", "failed", "skipped", "xfailed"):
                self.send("test", report.nodeid, report.when, outcome)

        @pytest.hookimpl(hookwrapper=True)  # type: ignore[untyped-decorator]
        def pytest_runtest_call(self, item: Any) -> Any:
            """Unittest drops an exception of its own that means "stop here", and calls the test neither."""
            said: list[str] = []
            for name in ("addSuccess", "addExpectedFailure") if hasattr(item, "addSuccess") else ():
                setattr(item, name, recording(name, getattr(item, name), said))
            outcome = yield
            if hasattr(item, "addSuccess"):
                if not said and not outcome.excinfo and not getattr(item, "_excinfo", None):
                    self.unsaid.add(item.nodeid)
                if "addExpectedFailure" in said:
                    self.marked.add(item.nodeid)

        @pytest.hookimpl(hookwrapper=True)  # type: ignore[untyped-decorator]
        def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
            if call.excinfo is not None and not isinstance(call.excinfo.value, pytest.skip.Exception):
                self.failures += 1
                if self.failures > MOST_TRACEBACKS:  # making one takes pytest up to a tenth of a second
                    item.config.option.tbstyle = "line"
            yield
            # A mark with run=False is carried out by the same exception.
            unrun = any(mark.kwargs.get("run") is False for mark in item.iter_markers("xfail"))
            if call.excinfo is not None and isinstance(call.excinfo.value, pytest.xfail.Exception) and not unrun:
                self.called.add(item.nodeid)

        @pytest.hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
        def pytest_sessionfinish(self, session: Any) -> None:
            session.config.option.tbstyle = style  # for the summary, which shows those that were made

        def pytest_collectreport(self, report: Any) -> None:
            if report.outcome == "failed":
                self.send("broken", report.nodeid, "", "")

    return Reporter()
