"""A sandbox without a machine: files in a dict, and a shell that knows eight commands. For fast tests.

It isolates nothing and runs nothing of the host. What its shell does not know it asks `commands`, a function
(sandbox, command line, stdin) -> ExecResult or None.
"""

from __future__ import annotations

import posixpath
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from swegym.errors import SandboxDied
from swegym.sandbox.limits import Limits
from swegym.types import ExecResult, Image, Snapshot

Commands = Callable[["FakeSandbox", str, "bytes | None"], "ExecResult | None"]


class _FakeSnapshot(Snapshot):
    """A snapshot that carries the files themselves."""

    __slots__ = ("files",)
    files: dict[str, bytes]


class FakeSandbox:
    def __init__(
        self,
        source: Image | Snapshot | None = None,
        limits: Limits | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        commands: Commands | None = None,
    ) -> None:
        self.files: dict[str, bytes] = dict(files or {})
        self.limits = limits or Limits()
        self.image = Image("fake", "fake")
        if isinstance(source, Snapshot):
            self.image = source.image
            self.files |= getattr(source, "files", {})
        elif source is not None:
            self.image = source
        self._commands = commands
        self._closed = False

    def exec(
        self,
        command: str | list[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float = 60.0,
    ) -> ExecResult:
        self._check()
        started = time.monotonic()
        line = command if isinstance(command, str) else shlex.join(command)
        answer = self._shell(line, cwd or self.image.workdir, stdin, timeout)
        if answer is None and self._commands is not None:
            answer = self._commands(self, line, stdin)
        if answer is None:
            answer = ExecResult(127, b"", f"{line.split()[0] if line.split() else ''}: command not found\n".encode(), 0)
        seconds = time.monotonic() - started
        return ExecResult(answer.exit_code, answer.stdout, answer.stderr, seconds, answer.limit, answer.truncated)

    def _shell(self, line: str, cwd: str, stdin: bytes | None, timeout: float) -> ExecResult | None:
        try:
            name, *arguments = shlex.split(line)
        except ValueError:
            return ExecResult(2, b"", b"bash: syntax error\n", 0)
        if set("$`|&;<>") & set(line):
            return None
        if name == "true":
            return ExecResult(0, b"", b"", 0)
        if name == "false":
            return ExecResult(1, b"", b"", 0)
        if name == "exit":
            return ExecResult(int(arguments[0]) if arguments else 0, b"", b"", 0)
        if name == "pwd":
            return ExecResult(0, cwd.encode() + b"\n", b"", 0)
        if name in ("echo", "printf"):
            return ExecResult(0, " ".join(arguments).encode() + (b"\n" if name == "echo" else b""), b"", 0)
        if name == "sleep":
            wanted = float(arguments[0])
            time.sleep(min(wanted, timeout))
            return ExecResult(137, b"", b"", 0, "time") if wanted > timeout else ExecResult(0, b"", b"", 0)
        if name == "cat" and not arguments:
            return ExecResult(0, stdin or b"", b"", 0)
        if name == "cat":
            try:
                return ExecResult(0, b"".join(self.read(posixpath.join(cwd, path)) for path in arguments), b"", 0)
            except (FileNotFoundError, IsADirectoryError) as error:
                return ExecResult(1, b"", f"cat: {error}\n".encode(), 0)
        return None

    def read(self, path: str) -> bytes:
        self._check()
        path = self._absolute(path)
        if path in self.files:
            return self.files[path]
        if any(name.startswith(path.rstrip("/") + "/") for name in self.files):
            raise IsADirectoryError(f"{path} is a directory")
        raise FileNotFoundError(f"{path}: no such file")

    def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        self._check()
        path = self._absolute(path)
        if any(name.startswith(path.rstrip("/") + "/") for name in self.files):
            raise IsADirectoryError(f"{path} is a directory")
        self.files[path] = data

    def snapshot(self) -> Snapshot:
        self._check()
        frozen = _FakeSnapshot(self.image, (Path("fake"),))
        object.__setattr__(frozen, "files", dict(self.files))
        return frozen

    def stop_processes(self) -> None:
        self._check()

    def close(self) -> None:
        self._closed = True

    def __enter__(self) -> FakeSandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _absolute(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.image.workdir, path))

    def _check(self) -> None:
        if self._closed:
            raise SandboxDied("this sandbox is closed. Open another one.")
