"""Machines somewhere else, through SWE-ReX: Docker, Modal, Fargate, Daytona, a server of your own, or this machine.

    swerex:docker?image=python:3.11      swerex:modal?image=...      swerex:remote?host=http://box&port=8000&auth_token=...

What follows `?` are the options of SWE-ReX's deployment of that name. The machine's own image stands for the image's
base; the image's layers are copied into it. A machine serves one sandbox. What isolates it is the deployment's doing,
and everything of a sandbox runs as the user of SWE-ReX's server, so a policy can reach the runner that is copied in.

`swerex:local` isolates NOTHING: what runs there runs as you, sees your files and uses your network. It is refused
unless `allow_unisolated=true` is among its options. It is there to try things and to measure.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import functools
import json
import os
import posixpath
import secrets
import tarfile
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swegym.errors import SandboxDied, SandboxError, SandboxUnavailable
from swegym.sandbox import machines, pump, swerex_runner
from swegym.sandbox.base import (
    INSIDE,
    MOST_READ,
    argv_of,
    interpreter,
    load_base,
    refuse_silent_network,
    stored_layer,
    too_large,
)
from swegym.sandbox.limits import Limits
from swegym.sandbox.swerex_deploy import Deployed, parse_options
from swegym.sandbox.swerex_local import View
from swegym.types import ExecResult, Image, SandboxFactory, Snapshot

_CONTROL = "/tmp/.swegym"
_IN_ARGUMENTS = 90_000  # of a request; one argument may have 128 KiB, all of them 2 MiB, and SWE-ReX sends them as JSON
_PIECE = 8 << 20
_CALL_SECONDS = 60.0
_COPY_SECONDS = 600.0
_GRACE = 15.0  # beyond a command's deadline, which is enforced where it runs


class SwerexSandbox:
    """See `swegym.types.Sandbox` for the contract."""

    def __init__(
        self,
        source: Image | Snapshot,
        limits: Limits | None = None,
        *,
        deployment: str = "docker",
        options: Mapping[str, Any] | None = None,
        allow_unisolated: bool = False,
    ) -> None:
        self.image = source.image if isinstance(source, Snapshot) else source
        self.limits = limits or Limits()
        refuse_silent_network(self.image, "swerex")
        archive = _archive_of(source)
        if deployment == "local" and not allow_unisolated:
            raise SandboxUnavailable(
                "swerex:local isolates nothing: what a policy or a patch runs acts as you on this machine. Use "
                "swerex:docker, or say swerex:local?allow_unisolated=true where that is what you want."
            )
        self._closed = False
        self._lock = threading.Lock()
        self._running = 0
        self._view: View | None = None
        self._python = ["python3"]
        self._machine = Deployed(deployment, options or {}, self.limits)
        weakref.finalize(self, self._machine.stop)  # one that was forgotten ends with this process at the latest
        try:
            self._machine.start()
            if deployment == "local":
                self._view = View(self.image)
            self._environment = self._introduce()
            if self._view is None:
                for digest in self.image.layers:
                    self._unpack_layer(stored_layer(digest))
            self._call({"do": "mark"})
            if archive is not None:
                self._unpack(archive, instead_of=self.image.workdir)
        except BaseException:
            self.close()
            raise

    @classmethod
    def with_options(cls, text: str) -> SandboxFactory:
        """What `swerex:TEXT` names: a deployment, and after `?` its options."""
        deployment, options = parse_options(text)
        unisolated = options.pop("allow_unisolated", False) is True
        return functools.partial(cls, deployment=deployment, options=options, allow_unisolated=unisolated)

    # --- the contract ---

    def exec(
        self,
        command: str | list[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float = 60.0,
    ) -> ExecResult:
        started = time.monotonic()
        request = {
            "do": "start",
            "argv": argv_of(command),
            "cwd": cwd or self.image.workdir,
            "environment": {**self._environment, **(env or {})},
            "stdin": None if stdin is None else self._handed(stdin),
            "timeout": timeout,
            "keep": self.limits.output_bytes,
            "rlimits": self._rlimits(),
            "owner": os.getpid() if self._view is not None else None,
        }
        with self._lock:
            self._running += 1
        try:
            answer = self._call({**request, "patience": self._patience(started)})
            while "running" in answer:
                if time.monotonic() - started > timeout + _GRACE:
                    raise SandboxDied(f"a command did not end {_GRACE:.0f} s after its deadline: the machine is stuck.")
                if self._running > 1 and not self._machine.in_process:
                    time.sleep(0.05 * self._running)  # each question keeps the server from answering the others
                answer = self._call({"do": "wait", "job": answer["running"], "patience": self._patience(started)})
        finally:
            with self._lock:
                self._running -= 1
        seconds = time.monotonic() - started
        if "lost" in answer:
            return ExecResult(137, b"", b"", seconds, "machine")
        out, err = base64.b64decode(answer["stdout"]), base64.b64decode(answer["stderr"])
        limit: Any = {"time": "time", None: None}.get(answer["stopped"], "machine")
        return ExecResult(answer["code"], out, err, seconds, limit, answer["truncated"])

    def read(self, path: str) -> bytes:
        place = posixpath.join(self.image.workdir, path)
        data = b""
        while True:
            answer = self._call({"do": "read", "path": place, "offset": len(data), "most": _PIECE}, about=path)
            if answer["size"] > MOST_READ:
                raise too_large(path)
            piece = base64.b64decode(answer["data"])
            data += piece
            if len(piece) < _PIECE:
                return data

    def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        place = posixpath.join(self.image.workdir, path)
        request = {"do": "write", "path": place, "data": self._handed(data), "executable": executable}
        self._call(request, about=path)

    def snapshot(self) -> Snapshot:
        """All of the workdir and what has changed elsewhere, as an archive here that lives as long as this process.

        What was removed outside the workdir is there again in a branch.
        """
        roots = self._view.roots if self._view is not None else ["/"]
        packed = self._call({"do": "pack", "workdir": self.image.workdir, "roots": roots}, seconds=_COPY_SECONDS)
        target = machines.current().folder / f"swerex-{secrets.token_hex(6)}.tar"
        with target.open("wb") as file:
            while file.tell() < packed["size"]:
                offset = file.tell()
                piece = self._call({"do": "read", "path": packed["path"], "offset": offset, "most": _PIECE})["data"]
                file.write(base64.b64decode(piece))
        return Snapshot(self.image, (target,))

    def stop_processes(self) -> None:
        if not self._call({"do": "stop", "whole": self._view is None})["ended"]:
            raise SandboxError("processes of the machine outlived SIGKILL by 5 s. Is its disk hung?")

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            if self._view is not None or self._machine.kind == "remote":
                with contextlib.suppress(SandboxError):
                    self._ask({"do": "stop", "whole": self._view is None}, 20.0)
        finally:
            self._machine.stop()
            if self._view is not None:
                self._view.close()

    def __enter__(self) -> SwerexSandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- the machine ---

    def _introduce(self) -> dict[str, str]:
        """Copy the runner in, claim the machine for this sandbox, and find out what commands start with."""
        local = self._view is not None
        if self._view is not None:
            Path(self._view.outside(_CONTROL)).mkdir()
            self._python = [*self._view.prefix, interpreter().inside]
            environment = dict(load_base("host").environment)
        else:
            wanted = interpreter().version
            script = f"mkdir {_CONTROL} || exit 9; command -v python{wanted} || command -v python3; printf %s $HOME"
            code, out, err = self._machine.execute(["/bin/sh", "-c", script], None, _CALL_SECONDS)
            if code == 9:
                raise SandboxUnavailable(
                    f"swerex:{self._machine.kind}: {err.strip()[:200]}. A machine serves one sandbox, once: start a "
                    f"new server, or remove {_CONTROL} there if the machine is as new."
                )
            python, _, home = out.partition("\n")
            if not python:
                raise SandboxUnavailable(f"swerex:{self._machine.kind}: its image has no python3 on PATH. Add one.")
            self._python = [python]
            path = f"{INSIDE}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            environment = {"PATH": path, "HOME": home or "/root", "LANG": "C.UTF-8", "TERM": "dumb"}
        for module in (swerex_runner, pump):
            self._machine.upload(str(module.__file__), self._outside(f"{_CONTROL}/{Path(str(module.__file__)).name}"))
        folders = [self.image.workdir, "/tmp"]
        found = self._call({"do": "prepare", "folders": folders, "interpreter": None if local else INSIDE})
        if self.image.layers and self.image.base == "host" and found["python"] != interpreter().version:
            raise SandboxUnavailable(
                f"swerex:{self._machine.kind}: the layers of image {self.image.digest[:12]} are for Python "
                f"{interpreter().version}, and its machine has {found['python']}. Choose another image for it."
            )
        return {**environment, **self.image.environment}

    def _patience(self, started: float) -> float:
        """For how long a call may block SWE-ReX's server, and all others' calls with it."""
        if self._machine.in_process:
            return 5.0
        if self._running > 1:
            return 0.02
        return 0.2 if time.monotonic() - started < 5.0 else 0.5

    def _call(self, request: dict[str, Any], about: str = "", seconds: float = _CALL_SECONDS) -> dict[str, Any]:
        if self._closed:
            raise SandboxDied("this sandbox is closed. Open another one.")
        answer = self._ask(request, seconds)
        if "errno" in answer:
            number, text = int(answer["errno"]), str(answer["error"])
            if not about:
                raise SandboxError(f"the machine could not {request['do']}: {text}.")
            kind = OSError if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else PermissionError
            if number in (errno.ENOENT, errno.EISDIR):
                kind = FileNotFoundError if number == errno.ENOENT else IsADirectoryError
            raise kind(number, text, about)
        return answer

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        text = json.dumps(request)
        pieces = [text[start : start + _IN_ARGUMENTS] for start in range(0, len(text), _IN_ARGUMENTS)]
        runner = [*self._python, "-I", "-S", "-B", f"{_CONTROL}/swerex_runner.py"]
        environment = {"LANG": "C.UTF-8"}
        if self._view is not None and "LD_LIBRARY_PATH" in load_base("host").environment:
            environment["LD_LIBRARY_PATH"] = load_base("host").environment["LD_LIBRARY_PATH"]
        code, out, err = self._machine.execute([*runner, *pieces], environment, seconds)
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError:
            if request["do"] == "wait":  # it was among what another thread has stopped
                return {"running": request["job"]}
            said = err.strip()[-300:] or f"nothing (exit code {code})"
            raise SandboxDied(f"the runner in the machine does not answer, it said: {said}") from None
        return answer

    def _outside(self, path: str) -> str:
        return path if self._view is None else self._view.outside(path)

    def _handed(self, data: bytes) -> dict[str, str]:
        """Bytes for a request: within it, or uploaded beforehand."""
        if len(data) <= _IN_ARGUMENTS:
            return {"data": base64.b64encode(data).decode()}
        with tempfile.NamedTemporaryFile(prefix="swegym-") as file:
            file.write(data)
            file.flush()
            return {"file": self._uploaded(Path(file.name))}

    def _uploaded(self, source: Path) -> str:
        if self._closed:
            raise SandboxDied("this sandbox is closed. Open another one.")
        target = f"{_CONTROL}/upload-{secrets.token_hex(8)}"
        self._machine.upload(str(source), self._outside(target))
        return target

    def _unpack_layer(self, layer: Path) -> None:
        def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            return entry

        with tempfile.TemporaryDirectory(prefix="swegym-") as folder:
            packed = Path(folder, "layer.tar")
            with tarfile.open(packed, "w", format=tarfile.PAX_FORMAT) as archive:
                for entry in sorted(layer.iterdir()):
                    archive.add(entry, entry.name, filter=owned_by_root)
            self._unpack(packed)

    def _unpack(self, archive: Path, instead_of: str | None = None) -> None:
        request = {"do": "unpack", "archive": self._uploaded(archive), "instead_of": instead_of}
        self._call(request, seconds=_COPY_SECONDS)

    def _rlimits(self) -> dict[str, int]:
        return self.limits.rlimits() | {"RLIMIT_DATA": self.limits.memory_bytes}


def _archive_of(source: Image | Snapshot) -> Path | None:
    if not isinstance(source, Snapshot) or not source.layers:
        return None
    archive = source.layers[-1]
    if len(source.layers) > 1 or archive.suffix != ".tar":
        raise SandboxUnavailable(
            "this snapshot was taken by another sandbox backend. Open it with the one that took it."
        )
    if not archive.is_file():
        raise SandboxUnavailable(f"snapshot {archive.name} is gone: it lives as long as the process that took it.")
    return archive
