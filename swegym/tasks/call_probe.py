"""Which calls tests make, and what these calls give: for the reproduction in a bug report.

This file is copied into a sandbox, where swegym is not installed, so it stands on its own. It has two uses:

* as a pytest plugin under `coverage run`, it writes to $CALL_PROBE_FILE, for every test, its failure message and the
  calls into the package $CALL_PROBE_PACKAGE that the test file makes itself, as Python text that can be run again; and,
  for every line that is covered, the tests that reach it;
* as a script, it runs such texts (a JSON list on stdin) and prints what each gives.

Only calls whose arguments are plain values can be put as text; all others are passed over.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import importlib
import inspect
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

LONGEST = 300  # characters of one call
KNOWN: dict[str, tuple[Any, str]] = {
    "datetime": (datetime, "import datetime"),
    "OrderedDict": (collections.OrderedDict, "from collections import OrderedDict"),
    "Decimal": (decimal.Decimal, "from decimal import Decimal"),
    "Fraction": (fractions.Fraction, "from fractions import Fraction"),
}

# --- calls as text ----------------------------------------------------------------------------------------------------


class Recorder:
    """A profile function that notes the calls which one test file makes into the package."""

    def __init__(self, test_file: str, package: str) -> None:
        self.test_file = test_file
        self.package = package
        self.calls: list[str] = []
        self.made: dict[int, tuple[object, str]] = {}  # id -> the object, kept alive, and the call that made it

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or frame.f_back is None or frame.f_back.f_code.co_filename != self.test_file:
            return
        if frame.f_globals.get("__name__", "").partition(".")[0] != self.package:
            return
        sys.setprofile(None)  # what happens while noting is no call of the test's
        try:
            self.note(frame)
        finally:
            sys.setprofile(self)

    def note(self, frame: FrameType) -> None:
        code = frame.f_code
        first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
        bound = code.co_argcount > 0 and code.co_varnames[0] in ("self", "cls")
        function, target = self.method(first, code) if bound else self.function(frame)
        if target is None or innermost_code(function) is not code:
            return
        arguments = arguments_text(frame, function, skip=int(bound))
        if arguments is None or len(target) + len(arguments) > LONGEST:
            return
        text = f"{target}({arguments})"
        if code.co_name == "__init__":
            self.made[id(first)] = first, text
        if text not in self.calls:
            self.calls.append(text)

    def function(self, frame: FrameType) -> tuple[object, str | None]:
        module, name = frame.f_globals["__name__"], frame.f_code.co_name
        return getattr(sys.modules.get(module), name, None), self.public_name(module, name)

    def method(self, owner: object, code: CodeType) -> tuple[object, str | None]:
        kind = owner if isinstance(owner, type) else type(owner)
        function = inspect.getattr_static(kind, code.co_name, None)
        kind_name = self.public_name(kind.__module__, kind.__name__)
        if code.co_name == "__init__":
            return function, kind_name
        if code.co_name.startswith("_"):
            return function, None
        if isinstance(owner, type):
            return function, kind_name and f"{kind_name}.{code.co_name}"
        made = self.made.get(id(owner))
        return function, made and f"{made[1]}.{code.co_name}"

    def public_name(self, module: str, name: str) -> str | None:
        """The shortest dotted name under which the package offers this, if it does so in public."""
        wanted = getattr(sys.modules.get(module), name, None)
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            prefix = ".".join(parts[:length])
            if any(part.startswith("_") for part in (*parts[:length], name)):
                return None
            if wanted is not None and getattr(sys.modules.get(prefix), name, None) is wanted:
                return f"{prefix}.{name}"
        return None


def innermost(function: Any) -> Any:
    """The function beneath its decorators."""
    while (inner := getattr(function, "__wrapped__", None) or getattr(function, "__func__", None)) is not None:
        function = inner
    return function


def innermost_code(function: object) -> CodeType | None:
    return getattr(innermost(function), "__code__", None)


def arguments_text(frame: FrameType, function: object, skip: int) -> str | None:
    """The arguments of a call that has just begun, defaults left out; None if one is no plain value."""
    values = frame.f_locals
    texts: list[str] = []
    named = False  # whether positional arguments must go by name, as one before them was left out
    for parameter in list(inspect.signature(innermost(function)).parameters.values())[skip:]:
        given: list[tuple[str | None, Any]]
        value = values[parameter.name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            given = [(None, item) for item in value]
        elif parameter.kind is parameter.VAR_KEYWORD:
            given = list(value.items())
        elif value is parameter.default or (type(value) is type(parameter.default) and value == parameter.default):
            named, given = True, []
        else:
            by_name = named or parameter.kind is parameter.KEYWORD_ONLY
            given = [(parameter.name if by_name else None, value)]
        for name, item in given:
            text = plain_text(item)
            if text is None:
                return None
            texts.append(text if name is None else f"{name}={text}")
    return ", ".join(texts)


def plain_text(value: Any) -> str | None:
    """Python text from which an equal value can be made, or None."""
    if (isinstance(value, type) or inspect.isbuiltin(value)) and value.__module__ == "builtins":
        return str(value.__name__)
    try:
        text = repr(value)
        if len(text) > LONGEST:
            return None
        # Runs in the sandbox, and only what the value's own repr gave.
        copy = eval(text, {name: known for name, (known, _) in KNOWN.items()})
        return text if type(copy) is type(value) and copy == value and repr(copy) == text else None
    except Exception:  # values of tests may raise anything when shown or compared
        return None


# --- as a pytest plugin -----------------------------------------------------------------------------------------------

_calls: dict[str, list[str]] = {}
_messages: dict[str, str] = {}


def pytest_runtest_setup(item: Any) -> None:
    recorder = Recorder(str(item.path), os.environ["CALL_PROBE_PACKAGE"])
    _calls[item.nodeid] = recorder.calls
    running_coverage().switch_context(item.nodeid)
    sys.setprofile(recorder)


def pytest_runtest_teardown(item: Any) -> None:
    sys.setprofile(None)


def pytest_runtest_logreport(report: Any) -> None:
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        _messages.setdefault(report.nodeid, crash.message if crash else str(report.longrepr))


def pytest_sessionfinish() -> None:
    numbers = {test: number for number, test in enumerate(_calls)}
    data = running_coverage().get_data()
    reached = {
        file: {line: sorted(numbers[test] for test in tests if test) for line, tests in lines.items()}
        for file in data.measured_files()
        if (lines := data.contexts_by_lineno(file))
    }
    tests = [{"test": test, "calls": calls, "message": _messages.get(test)} for test, calls in _calls.items()]
    Path(os.environ["CALL_PROBE_FILE"]).write_text(json.dumps({"tests": tests, "reached": reached}), "utf-8")


def running_coverage() -> Any:
    """The coverage measurement that this process runs under."""
    return importlib.import_module("coverage").Coverage.current()


# --- as a script ------------------------------------------------------------------------------------------------------


def imports_of(call: str) -> Iterator[str]:
    """The import lines that a call needs."""
    yield from (line for name, (_, line) in KNOWN.items() if name in call)
    module = call.partition("(")[0].rpartition(".")[0]
    while module.rpartition(".")[0] and not importable(module):
        module = module.rpartition(".")[0]
    yield f"import {module}"


def importable(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def outcome(call: str) -> dict[str, Any]:
    """What a call gives, as an interactive session shows it; an iterator is shown as a list."""
    lines = list(imports_of(call))
    scope: dict[str, Any] = {}
    shown = call
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for line in lines:
            exec(line, scope)
        try:
            value = eval(call, scope)
            if isinstance(value, Iterator):
                shown, value = f"list({call})", list(value)
            result = repr(value)
        except Exception as error:  # whatever the package raises is what the call gives
            result = f"Traceback (most recent call last):\n    ...\n{type(error).__name__}: {error}"
    return {"call": call, "shown": shown, "imports": lines, "result": result}


if __name__ == "__main__":
    print(json.dumps([outcome(call) for call in json.load(sys.stdin)]))
