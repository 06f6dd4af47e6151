"""The Docker backend: machines that are containers, on Docker or on Podman behind the same interface.

A container has no network, no capabilities, one user that is not root, and a first process that only waits: it ends
when its standard input does, so when the owner dies the machine stops by itself. The base "host" is shown read-only
from this host, so it needs an engine on this host; any other base is handed to the engine as an image, never pulled.

A command that exceeds a limit is ended by killing the container, which no process can escape; the next command starts
it again over the same files. Files are read and written by the engine, without a process in the machine.

Not the same as in the embedded sandbox: files are reached with the engine's rights, not the machine's user's, so modes
do not bar `read`; what lies on a mount (/proc, /dev) cannot be read; and the root folder is not the machine's user's,
so nothing is made in it or removed from it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from swegym.errors import SandboxDied, SandboxError, SandboxUnavailable
from swegym.sandbox import docker_engine, docker_files, docker_image
from swegym.sandbox.base import USER, argv_of, load_base, refuse_silent_network
from swegym.sandbox.docker_engine import Engine, is_local, speaking
from swegym.sandbox.docker_exec import hijack, new_mark, stream, wrapped
from swegym.sandbox.limits import Limits
from swegym.types import ExecResult, Image, Snapshot

_WAIT = ["/usr/bin/env", "--ignore-signal=CHLD", "/usr/bin/cat"]  # the kernel reaps orphans when nobody asks for them
_SNAPSHOTS = "swegym/snapshot"
_MARK = "/docker-engine"  # no folder: no other backend finds a layer there
_ENDING = 10.0
Accessed = TypeVar("Accessed")


def how_limits_hold() -> dict[str, str]:
    """For each limit, how it is enforced by the engine that answers here; the disk is known after the first machine."""
    engine = docker_engine.current()
    quota = "the engine's storage driver" if engine.quota else "watched by the owner, and a limit on each file's size"
    return {
        "memory": "the engine's cgroup",
        "processes": "the engine's cgroup",
        "disk": quota,
        "cpu": "the engine's cgroup",
        "time": "the container is killed at the deadline",
        "output": "head and tail are kept",
        "open files": "rlimit",
    }


def snapshot_of(image: Image, tag: str) -> Snapshot:
    """A commit as a snapshot: its one layer is a name that only this backend finds."""
    return Snapshot(image, (Path(_MARK, tag),))


def _committed(source: Image | Snapshot) -> str | None:
    """The engine's name of a snapshot that this backend took, if `source` is one."""
    if isinstance(source, Snapshot) and len(source.layers) == 1 and source.layers[0].is_relative_to(_MARK):
        return str(source.layers[0].relative_to(_MARK))
    return None


class DockerSandbox:
    """See `swegym.types.Sandbox` for the contract."""

    def __init__(self, source: Image | Snapshot, limits: Limits | None = None) -> None:
        self.image = source.image if isinstance(source, Snapshot) else source
        self.limits = limits or Limits()
        refuse_silent_network(self.image, "docker")
        self._lock = threading.Lock()  # guards starting and ending the machine
        self._closed = False
        self._running = False
        self._stdin: Any = None
        self._used = 0  # of the disk, when last measured
        self._id = ""
        base = load_base(self.image.base)
        self._engine: Engine = docker_engine.current()
        self._environment = {**base.environment, **self.image.environment}
        mounts, masks = list(base.binds), base.masks
        if not is_local(self._engine.host):
            if any(not Path(source).is_relative_to(base.layer) for source, _ in mounts):
                raise SandboxUnavailable(
                    f"base {self.image.base!r} shows folders of this host, and the engine at {self._engine.host} is "
                    "elsewhere. Use a Debian base (swegym images build debian-bookworm) or an engine on this host."
                )
            mounts, masks = [], ()
        self._api = self._engine.client.api
        tag = _committed(source) or docker_image.ensure(self._engine.client, source, [inside for _, inside in mounts])
        try:
            self._create(tag, mounts, masks)
            self._start()
        except BaseException:
            self.close()
            raise

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
        argv = argv_of(command)
        mark = new_mark()
        started, clock = time.monotonic(), time.time()
        request = {
            "AttachStdin": stdin is not None,
            "AttachStdout": True,
            "AttachStderr": True,
            "Env": [f"{name}={value}" for name, value in (env or {}).items()],
            "Cmd": wrapped(argv, cwd or self.image.workdir, mark),
            "WorkingDir": "/",
            "User": f"{USER}:{USER}",
        }
        with speaking("running a command"):
            identity = self._prepared(request)
            path = f"/v{self._api.api_version}/exec/{identity}/start"
            channel, first = hijack(self._engine.host, path, {"Detach": False, "Tty": False})
            used = self._used
            with channel:
                done = stream(
                    channel,
                    first,
                    stdin,
                    mark,
                    timeout=max(0.0, timeout - (time.monotonic() - started)),
                    keep=self.limits.output_bytes,
                    tick=lambda: "disk" if self._measure() > max(self.limits.disk_bytes, used) else None,
                )
            limit: Any = done.stopped
            if done.stopped is not None:
                self.stop_processes()
            code = done.code
            if code is None:
                code, ended = (137, False) if done.stopped else self._ended(identity)
                limit = limit or ("machine" if ended else None)
            if limit in (None, "machine") and code > 128 and self._out_of_memory(clock):
                limit = "memory"
            if limit is None and time.monotonic() - started > 0.25 and self._measure() > self.limits.disk_bytes:
                limit = "disk"
        return ExecResult(code, done.stdout, done.stderr, time.monotonic() - started, limit, done.truncated)

    def read(self, path: str) -> bytes:
        return self._access(f"reading {path}", lambda: docker_files.read(self._api, self._id, self.image.workdir, path))

    def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        self._access(
            f"writing {path}",
            lambda: docker_files.write(self._api, self._id, self.image.workdir, path, data, executable=executable),
        )

    def snapshot(self) -> Snapshot:
        """Commit the container; the sandbox goes on. The engine keeps the commit as long as this process lives."""
        self._check()
        tag = secrets.token_hex(8)
        with speaking("taking a snapshot"):
            self._api.commit(self._id, _SNAPSHOTS, tag, conf={"Labels": self._engine.labels})
        return snapshot_of(self.image, f"{_SNAPSHOTS}:{tag}")

    def stop_processes(self) -> None:
        with self._lock:
            self._kill()

    def close(self) -> None:
        from docker.errors import NotFound

        with self._lock:
            if self._closed or self._engine.owner != os.getpid():
                return
            self._closed = True
            if self._stdin is not None:
                self._stdin.close()
            if self._id:
                with speaking("removing a container"), contextlib.suppress(NotFound):
                    self._api.remove_container(self._id, force=True, v=True)

    def __enter__(self) -> DockerSandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- the machine ---

    def _create(self, tag: str, mounts: list[tuple[str, str]], masks: tuple[str, ...]) -> None:
        from docker.errors import APIError

        limits, api = self.limits, self._api
        options: dict[str, Any] = {
            "binds": [f"{source}:{inside}:ro" for source, inside in mounts],
            "tmpfs": dict.fromkeys(masks, "ro,size=4k"),
            "network_mode": "none",
            "dns": ["127.0.0.1"],  # else the host's own resolver is named in /etc/resolv.conf
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": limits.processes,
            "mem_limit": limits.memory_bytes,
            "memswap_limit": limits.memory_bytes,
            **({"nano_cpus": int(limits.cpus * 1e9)} if limits.cpus else {}),
            "oom_score_adj": 500,
            "log_config": {"Type": "none", "Config": {}},
            "ulimits": [
                {"Name": name, "Soft": value, "Hard": value}
                for name, value in (("nofile", limits.open_files), ("core", 0), ("fsize", limits.disk_bytes))
            ],
        }
        with speaking("creating a container"):
            for quota in (True, False) if self._engine.quota else (False,):
                sized = {"storage_opt": {"size": str(limits.disk_bytes)}} if quota else {}
                try:
                    made = api.create_container(
                        tag,
                        _WAIT,
                        name=f"swegym-{secrets.token_hex(8)}",
                        hostname="sandbox",
                        user=f"{USER}:{USER}",
                        working_dir="/",
                        environment=self._environment,
                        stdin_open=True,
                        labels=self._engine.labels,
                        host_config=api.create_host_config(**options, **sized),
                    )
                except APIError:
                    if not quota:
                        raise
                    self._engine.quota = False  # most storage drivers cannot; then the owner watches
                    continue
                self._id = made["Id"]
                break

    def _start(self) -> None:
        """Start the container, with its standard input held open by this process."""
        with speaking("starting a container"):
            path = f"/v{self._api.api_version}/containers/{self._id}/attach?stream=1&stdin=1"
            self._stdin, _ = hijack(self._engine.host, path, {})
            self._api.start(self._id)
        self._running = True

    def _kill(self) -> None:
        """Kill the first process, and with it, by the kernel's doing, everything in the container."""
        from docker.errors import APIError

        if not self._running:
            return
        self._running = False
        self._stdin.close()
        with speaking("killing a container"):
            try:
                self._api.kill(self._id)
            except APIError as error:
                if error.status_code != 409:  # it had ended by itself
                    raise
            self._api.wait(self._id, timeout=_ENDING, condition="not-running")

    def _check(self) -> None:
        """Make sure that the machine runs: a limit, or the policy itself, may have ended it."""
        with self._lock:
            if self._closed:
                raise SandboxDied("this sandbox is closed. Open another one.")
            if self._engine.owner != os.getpid():
                raise SandboxDied("this sandbox belongs to the process that opened it. Open one after the fork.")
            if not self._running:
                self._start()

    def _access(self, what: str, work: Callable[[], Accessed]) -> Accessed:
        """Read or write a file; when the engine fails at it, once more where nothing runs that could move it away."""
        try:
            self._check()
            with speaking(what):
                return work()
        except SandboxDied:
            raise
        except (SandboxError, tarfile.TarError):
            self.stop_processes()
        self._check()
        with speaking(what):
            return work()

    def _prepared(self, request: dict[str, Any]) -> str:
        """Hand a command over to the engine; one that meets a machine which has ended starts it again."""
        from docker.errors import APIError, NotFound

        for last in (False, True):
            self._check()
            path = f"{self._api.base_url}/v{self._api.api_version}/containers/{self._id}/exec"
            try:
                answer = self._api.post(path, json=request, timeout=docker_engine.CALL_TIMEOUT)
                self._api._raise_for_status(answer)
                return str(answer.json()["Id"])
            except NotFound as error:
                raise SandboxDied("the container is gone: something outside removed it. Open another one.") from error
            except APIError as error:
                if last or error.status_code != 409:
                    raise
                self.stop_processes()
        raise AssertionError("not reached")

    def _ended(self, identity: str) -> tuple[int, bool]:
        """The exit code of a command whose mark never came, and whether the whole machine has ended."""
        deadline = time.monotonic() + _ENDING
        while True:
            found = self._api.exec_inspect(identity)
            alive = self._api.inspect_container(self._id)["State"]["Running"]
            if not alive:
                self.stop_processes()
            if not found["Running"] or not alive or time.monotonic() > deadline:
                code = found["ExitCode"]
                return 137 if code is None else int(code), not alive
            time.sleep(0.02)

    def _out_of_memory(self, since: float) -> bool:
        """Whether the kernel killed something here for memory since then, as the engine has heard."""
        chosen = {"container": self._id, "event": "oom"}
        # The engine hears of it a moment after the command has ended.
        heard = self._api.events(since=since, until=time.time() + 0.3, filters=chosen)
        try:
            return any(True for _ in heard)
        finally:
            heard.close()

    def _measure(self) -> int:
        """Bytes of the writable layer; where the engine limits them itself, nothing needs to be measured."""
        if not self._engine.quota:
            path = f"{self._api.base_url}/v{self._api.api_version}/containers/{self._id}/json?size=1"
            answer = self._api.get(path, timeout=docker_engine.CALL_TIMEOUT)
            self._used = int(answer.json().get("SizeRw") or 0)
        return self._used
