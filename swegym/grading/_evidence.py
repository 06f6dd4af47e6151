"""Evidence from inside the tests' interpreter: what of the test machinery is no longer what it was.

Loaded by `_runner.py` before anything of the repository. It notes the code of every function of pytest, pluggy and
unittest, looks again at the end, and hears the interpreter's audit events between. It proves nothing where it is
silent, for code that shares the interpreter may restore what it changed and silence this program; what it does report
has happened, unless that code accuses itself.

Of the reference fix it is asked (`job["reads"]`) which files of the repository are read, and by which of its files.
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

WATCHED = ("_pytest", "pytest", "pluggy", "unittest")
MOST = 40
MOST_READ = 1_000
COMPILED = (".pyc", ".pyo")
# What opens a module to import, run or show it, and not for what stands in it.
LOADING = ("<frozen importlib", "<frozen runpy", "<frozen zipimport")
LOADERS = ("/runpy.py", "/linecache.py")
OPENING = ("open", "sqlite3.connect")
HEARD = ("sys.addaudithook", "gc.get_objects", "gc.get_referrers", "ctypes.dlopen", "sys.settrace", "os.kill")


def install(pytest: Any, job: dict[str, Any], send: Any) -> Any:
    return Watch(send, job["root"] if job.get("reads") else None)


class Watch:
    """A pytest plugin only by its place: it has no hooks. `root`: where what is read is reported."""

    def __init__(self, send: Any, root: str | None) -> None:
        self._send, self._seen = send, set()  # type: tuple[Any, set[tuple[str, str]]]
        self._root = root
        self._read: set[tuple[str, str]] = set()
        self._before: dict[str, Any] = {}

    def begin(self) -> None:
        self._before = machinery()
        if hasattr(sys, "addaudithook"):
            sys.addaudithook(self.hear)

    def end(self) -> None:
        now = machinery()
        for name in sorted(self._before):
            if name in now and now[name] != self._before[name]:
                self.note("changed", name)
            elif name not in now:
                self.note("removed", name)

    def note(self, kind: str, name: str) -> None:
        if (kind, name) not in self._seen and len(self._seen) < MOST:
            self._seen.add((kind, name))
            self._send("evidence", kind, name[:300], "")

    def hear(self, event: str, arguments: Any) -> None:
        """An audit event. Only those count that no library of ordinary use raises on the test machinery."""
        if event == "object.__setattr__" and len(arguments) > 1:
            owner, attribute = arguments[0], arguments[1]
            if attribute == "__code__" and str(getattr(owner, "__module__", "")).split(".")[0] in WATCHED:
                self.note("recoded", f"{owner.__module__}.{getattr(owner, '__qualname__', '?')}")
        elif event in HEARD:
            self.note("heard", event)
        elif event in OPENING and self._root is not None and isinstance(arguments[0], (str, bytes)):
            self.note_read(os.fsdecode(arguments[0]), sys._getframe(1))

    def note_read(self, opened: str, frame: types.FrameType | None) -> None:
        """Report a file below the root, where a link leads to it that one too, and the nearest file that opened it.

        Modules only where they are read as any other file, as what a formatter of code should give.
        """
        below = f"{self._root}/"
        try:
            paths = {str(Path(opened).resolve()), os.path.normpath(Path(opened).absolute())}
        except (OSError, ValueError, RuntimeError):  # no file; who opens it hears that
            return
        loaded = False
        while frame is not None and not frame.f_code.co_filename.startswith(below):
            name = frame.f_code.co_filename
            loaded = loaded or name.startswith(LOADING) or name.endswith(LOADERS)
            frame = frame.f_back
        if frame is None:
            return
        opener = frame.f_code.co_filename.removeprefix(below)
        for path in paths:
            if path.startswith(below) and not path.endswith(COMPILED) and not (loaded and path.endswith(".py")):
                found = opener, path.removeprefix(below)
                if found not in self._read and len(self._read) < MOST_READ and "".join(found).isprintable():
                    self._read.add(found)
                    self._send("read", *found, "")


def machinery() -> dict[str, Any]:
    """Name -> identity of the code behind it, of every function and method that the watched packages define."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in WATCHED and isinstance(module, types.ModuleType):
            for key, value in list(vars(module).items()):
                if getattr(value, "__module__", None) == name:
                    add(found, f"{name}.{key}", value)
    return found


def add(found: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, types.FunctionType):
        found[name] = (id(value), id(value.__code__), id(value.__defaults__))
    elif isinstance(value, type):
        for key, member in list(vars(value).items()):
            inner = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(inner, types.FunctionType):
                found[f"{name}.{key}"] = (id(inner), id(inner.__code__), id(inner.__defaults__))
