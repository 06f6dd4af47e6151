# ruff: noqa: PTH123, B905
"""Live code: exchanging the code of functions that are already imported, and running collected tests in a fork.

It is written beside the worker of the repair student, and like it needs nothing of swegym.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import inspect
import json
import os
import select
import signal
import time
import types
from collections.abc import Iterator
from typing import Any, Tuple  # noqa: UP035 (also runs on older Pythons)

Exchange = Tuple[types.FunctionType, types.CodeType]  # noqa: UP006


class LiveCode:
    """The functions that exist in this process, by file, and what code an edit would give them."""

    def __init__(self) -> None:
        self.functions: dict[str, dict[tuple[str, int], list[types.FunctionType]]] = {}
        self.sources: dict[str, tuple[list[bytes], list[tuple[int, int]]]] = {}
        for each in gc.get_objects():
            if type(each) is types.FunctionType:
                code = each.__code__
                self.functions.setdefault(code.co_filename, {}).setdefault(key(code), []).append(each)

    def exchanges(self, path: str, first: int, last: int, new: str) -> list[Exchange]:
        """Functions and their new code; none if the edit changes anything but the bodies of functions."""
        real = os.path.realpath(path)
        lines, spans = self.source(real)
        span = next(((start, stop) for start, stop in spans if start <= first and last <= stop), None)
        if span is None:
            return []
        start, stop = span
        # Only the statement around the edit is compiled, at its own line numbers.
        before = [*lines[start - 1 : stop]]
        after = [*lines[start - 1 : first - 1], new.encode(), *lines[last:stop]]
        try:
            codes = [compile(b"\n" * (start - 1) + b"".join(text), real, "exec") for text in (before, after)]
            changed = list(changed_code(*codes))
        except (SyntaxError, ValueError):
            return []
        live = self.functions.get(real, {})
        return [(function, code) for old, code in changed for function in live.get(key(old), [])]

    def source(self, real: str) -> tuple[list[bytes], list[tuple[int, int]]]:
        """The lines of a file, and the first and last line of each statement at its top level."""
        if real not in self.sources:
            with open(real, "rb") as file:
                data = file.read()
            spans = [
                (min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]), node.end_lineno)
                for node in ast.parse(data).body
            ]
            self.sources[real] = (data.splitlines(keepends=True), [(a, b or a) for a, b in spans])
        return self.sources[real]


def key(code: types.CodeType) -> tuple[str, int]:
    return code.co_name, code.co_firstlineno


def changed_code(old: types.CodeType, new: types.CodeType) -> Iterator[tuple[types.CodeType, types.CodeType]]:
    """Pairs of function code that differ. ValueError: something differs that runs while the module is imported."""
    function = bool(old.co_flags & inspect.CO_NEWLOCALS)
    inner = [[part for part in code.co_consts if isinstance(part, types.CodeType)] for code in (old, new)]
    if not function:
        flat = [[part for part in code.co_consts if not isinstance(part, types.CodeType)] for code in (old, new)]
        if flat[0] != flat[1] or old.co_code != new.co_code or old.co_names != new.co_names:
            raise ValueError("not only function bodies")
    elif old != new:
        if old.co_freevars != new.co_freevars:
            raise ValueError("other variables of an outer function")
        yield old, new
    if [part.co_name for part in inner[0]] == [part.co_name for part in inner[1]]:
        for pair in zip(*inner):
            yield from changed_code(*pair)


def in_child(exchanges: list[Exchange], items: list[Any], watch: Any, seconds: float) -> dict[str, str]:
    """The statuses of collected tests in a fork of this process; {} if it crashes or takes too long.

    `seconds` is processor time; as time that passes, ten times that and at least five seconds are allowed.
    `watch` is a pytest plugin that gathers `statuses`.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            os.close(reader)
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, seconds)  # an endless loop ends here
            for function, code in exchanges:
                function.__code__ = code
            for item in items:
                item.repr_failure = str  # a traceback that nobody reads takes longer than most tests
            items[0].config.pluginmanager.register(watch)
            for item, following in zip(items, [*items[1:], None]):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            with os.fdopen(writer, "wb") as file:
                file.write(json.dumps(watch.statuses).encode())
        finally:
            os._exit(0)
    os.close(writer)
    answer, deadline = b"", time.monotonic() + max(5.0, 10 * seconds)
    with os.fdopen(reader, "rb", buffering=0) as file:
        while select.select([file], [], [], max(0.0, deadline - time.monotonic()))[0]:
            chunk = file.read(65536)
            if not chunk:
                break
            answer += chunk
    end(child)
    os.waitpid(child, 0)
    try:
        return dict(json.loads(answer))
    except ValueError:
        return {}


def end(process: int) -> None:
    """Kill a process and whatever else is in its group."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(process, signal.SIGKILL)
