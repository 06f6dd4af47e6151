"""SWE-ReX's deployments behind calls that are bounded and do not block each other.

Its requests to a server run on one event loop of this process. Its starting and stopping sleep inside coroutines, and
so does its in-process runtime while a command runs: those get threads and loops of their own, and a limit in seconds.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import os
import threading
import urllib.parse
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pydantic

from swegym.errors import InputError, SandboxDied, SandboxUnavailable, UnknownName
from swegym.sandbox import docker_engine
from swegym.sandbox.limits import Limits

Answer = TypeVar("Answer")

KINDS = {
    "local": "LocalDeploymentConfig",
    "docker": "DockerDeploymentConfig",
    "modal": "ModalDeploymentConfig",
    "fargate": "FargateDeploymentConfig",
    "daytona": "DaytonaDeploymentConfig",
    "remote": "RemoteDeploymentConfig",
}
_STOP_SECONDS = 30.0
_START_GRACE = 15.0
_DEFAULT_START = 180.0

_log = logging.getLogger("swegym.swerex")
_theirs = logging.getLogger("swegym.swerex.rex")  # silent unless somebody listens: what matters is raised
_theirs.addHandler(logging.NullHandler())
_theirs.propagate = False


def parse_options(text: str) -> tuple[str, dict[str, Any]]:
    """`docker?image=python:3.11&docker_args=["--network=mine"]` as a deployment and its options.

    A value that looks like a JSON list, object, string, true, false or null is one; all else is text, so that a token
    made of digits stays what it is. Numbers are for the deployment's own config to read.
    """
    kind, _, query = text.partition("?")
    options: dict[str, Any] = {}
    for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        options[name] = value
        if value[:1] in ("[", "{", '"') or value in ("true", "false", "null"):
            with contextlib.suppress(ValueError):
                options[name] = json.loads(value)
    return kind, options


class Deployed:
    """One machine of a SWE-ReX deployment, and what can be asked of it."""

    def __init__(self, kind: str, options: Mapping[str, Any], limits: Limits) -> None:
        self.kind = kind
        self.in_process = kind == "local"
        config = _config(kind, options, limits)
        self._start_seconds = float(getattr(config, "startup_timeout", _DEFAULT_START))
        try:
            self._deployment = config.get_deployment()
        except ImportError as error:
            raise SandboxUnavailable(
                f"swerex:{kind} needs a package that is not installed: {error}. Run: pip install 'swe-rex[{kind}]'."
            ) from error
        self._deployment.logger = _theirs
        _never_stopped_by_deletion(self._deployment)
        self._runtime: Any = None

    def start(self) -> None:
        """Start the machine; when this raises, nothing is left of it."""
        try:
            in_thread(self._deployment.start(), self._start_seconds + _START_GRACE)
            self._runtime = self._deployment.runtime
            self._runtime.logger = _theirs
            _drain(getattr(self._deployment, "_container_process", None))
            if not in_thread(self._runtime.is_alive(timeout=5.0), 10.0):
                raise SandboxUnavailable(f"swerex:{self.kind}: its server does not answer. Check host, port and token.")
        except SandboxUnavailable:
            self.stop()
            raise
        except Exception as error:
            self.stop()
            said = str(error).strip() or type(error).__name__
            raise SandboxUnavailable(
                f"swerex:{self.kind} could not be started: {said[-1500:]}. The image must have `swerex-remote` in it, "
                "or pip and a package index that it can reach."
            ) from error

    def execute(self, argv: list[str], environment: Mapping[str, str] | None, seconds: float) -> tuple[int, str, str]:
        """Run a short command where SWE-ReX's server runs: exit code, stdout, stderr. SandboxDied if none comes."""
        from swerex.runtime.abstract import Command

        command = Command(
            command=argv, timeout=seconds, env=None if environment is None else dict(environment), cwd="/"
        )
        answer = self._ask(lambda: self._runtime.execute(command), seconds + 10.0)
        return answer.exit_code or 0, answer.stdout, answer.stderr

    def upload(self, source: str, target: str) -> None:
        from swerex.runtime.abstract import UploadRequest

        request = UploadRequest(source_path=source, target_path=target)
        self._ask(lambda: self._runtime.upload(request), 300.0)

    def stop(self) -> None:
        """Take the machine down, within seconds, whatever its server does. Twice is fine."""
        deployment, self._deployment = self._deployment, None
        if deployment is None:
            return
        name = getattr(deployment, "container_name", None)
        try:
            if self.kind == "remote":  # not ours to take down
                return
            in_thread(deployment.stop(), _STOP_SECONDS)
        except Exception as error:
            _log.warning("swerex:%s did not stop: %s", self.kind, error)
            if name is not None:
                _kill_container(str(getattr(deployment._config, "container_runtime", "docker")), name)
        finally:
            self._runtime = None
            process = getattr(deployment, "_container_process", None)
            if process is not None:
                process.kill()

    def _ask(self, call: Callable[[], Coroutine[Any, Any, Any]], seconds: float) -> Any:
        if self._runtime is None:
            raise SandboxDied("this sandbox is closed. Open another one.")
        try:
            if self.in_process:
                return asyncio.run(call())
            return asyncio.run_coroutine_threadsafe(asyncio.wait_for(call(), seconds), _loop()).result(seconds + 5.0)
        except (TimeoutError, concurrent.futures.TimeoutError) as error:
            raise SandboxDied(f"swerex:{self.kind}: its server did not answer within {seconds:.0f} s.") from error
        except Exception as error:  # SWE-ReX raises again here whatever was raised on the other side
            said = f"{type(error).__name__}: {error}"
            raise SandboxDied(f"swerex:{self.kind}: its server is gone or refuses: {said[:500]}.") from error


def in_thread(coroutine: Coroutine[Any, Any, Answer], seconds: float) -> Answer:
    """Run a coroutine that may block its loop, for at most so many seconds; TimeoutError leaves it to its thread."""
    future: concurrent.futures.Future[Answer] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(asyncio.run(coroutine))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="swerex", daemon=True).start()
    return future.result(seconds)


_shared: asyncio.AbstractEventLoop | None = None
_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process for requests, in a thread of its own."""
    global _shared
    with _starting:
        if _shared is None:
            _shared = asyncio.new_event_loop()
            threading.Thread(target=_shared.run_forever, name="swerex-requests", daemon=True).start()
        return _shared


def _forget_after_fork() -> None:
    global _shared, _starting
    _shared, _starting = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)


def _config(kind: str, options: Mapping[str, Any], limits: Limits) -> Any:
    if kind not in KINDS:
        raise UnknownName.among("SWE-ReX deployment", kind, KINDS)
    # Whatever handlers SWE-ReX installs when it is imported, it says only what has gone wrong.
    os.environ.setdefault("SWE_REX_LOG_STREAM_LEVEL", "CRITICAL")
    try:
        from swerex.deployment import config
    except ImportError as error:
        raise SandboxUnavailable(f"SWE-ReX is not installed: {error}. Run: pip install 'swegym[swerex]'.") from error
    try:
        made = getattr(config, KINDS[kind])(**options)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "(options)"
        raise InputError.at(f"swerex:{kind}", field, first.get("input"), first["msg"], "Correct the option.") from None
    if kind == "docker":
        # With the labels of this process's own containers its watcher, or the next start, removes these too.
        ours = made.container_runtime == "docker"
        labels = docker_engine.current().labels if ours else {"swegym.owner": str(os.getpid())}
        made.docker_args = [
            "--init",
            *(f"--label={name}={value}" for name, value in labels.items()),
            f"--memory={limits.memory_bytes}",
            f"--pids-limit={limits.processes}",
            *([f"--cpus={limits.cpus}"] if limits.cpus else []),
            "--security-opt=no-new-privileges",
            *made.docker_args,
        ]
    return made


def _never_stopped_by_deletion(deployment: Any) -> None:
    """SWE-ReX's `__del__` runs `stop` again wherever the collector happens to be, for minutes if the server is gone."""
    kind = type(deployment)
    deployment.__class__ = type(kind.__name__, (kind,), {"__del__": lambda self: None})


def _drain(process: Any) -> None:
    """Read away what a container prints: nobody else does, and a full pipe would stop its server for good."""
    for stream in (getattr(process, "stdout", None), getattr(process, "stderr", None)):
        if stream is not None:

            def swallow(stream: Any = stream) -> None:
                with stream:
                    while stream.read1(1 << 16):
                        pass

            threading.Thread(target=swallow, name="swerex-drain", daemon=True).start()


def _kill_container(runtime: str, name: str) -> None:
    import subprocess

    try:
        subprocess.run([runtime, "rm", "-f", name], capture_output=True, timeout=_STOP_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("container %s may be left: %s. Remove it: %s rm -f %s", name, error, runtime, name)
