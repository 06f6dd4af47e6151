"""The container engine that machines of the Docker backend run on: Docker, or Podman through the same interface.

Found at $DOCKER_HOST, else at the usual sockets. Whatever this process makes there carries labels: which host and which
store it belongs to, and the lease of its owner. A watcher process (docker_watch.py) removes it when the owner dies, in
whatever way; should the watcher be killed too, the next start sweeps, and `swegym doctor --clean`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swegym import paths
from swegym.errors import SandboxDied, SandboxError, SandboxUnavailable
from swegym.sandbox import docker_watch as watch_script
from swegym.sandbox import machines
from swegym.sandbox.frozen import is_held

CALL_TIMEOUT = watch_script.CALL_TIMEOUT
OLDEST = (1, 40)  # Docker 19.03, Podman 3
REMEDY = "Start one, or point DOCKER_HOST at it; `swegym doctor --sandbox docker` checks again."


class Engine:
    """A connection to the engine, and the lease under which this process makes things there."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.host = engine_host()
        self.client = connect(self.host)
        self.quota = True  # until the engine refuses to limit a container's disk
        self.folder, self._lease = machines.take_lease("docker-")
        self.labels = {**home_labels(), "swegym.lease": self.folder.name}
        ours, self._alive = os.pipe()
        arguments = [str(ours), self.host, f"swegym.lease={self.folder.name}"]
        # It holds the lease until it has removed everything.
        self._watcher = machines.start_guard(watch_script.__file__, arguments, (ours, self._lease))
        os.close(ours)
        sweep_engine(self.client)

    def close(self) -> None:
        """Remove all that was made under the lease, and give it back."""
        os.close(self._alive)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._watcher.wait(timeout=CALL_TIMEOUT)
        os.close(self._lease)
        self.client.close()
        (self.folder / "lease").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def forget(self) -> None:
        """In a forked child: let go without ending anything."""
        os.close(self._alive)
        os.close(self._lease)
        self._watcher.returncode = 0  # not ours to wait for


_current: Engine | None = None
_starting = threading.Lock()


def current() -> Engine:
    """The engine of this process. Raises SandboxUnavailable where there is none."""
    global _current
    with _starting:
        if _current is not None and (_current.host != engine_host() or not _current.folder.is_dir()):
            _current.close()
            _current = None
        if _current is None:
            _current = Engine()
        return _current


@atexit.register
def leave() -> None:
    """Remove what this process made on its engine and hang up; the next machine connects again."""
    global _current
    with _starting:
        if _current is not None and _current.owner == os.getpid():
            _current.close()
        _current = None


def _forget_after_fork() -> None:
    global _current, _starting
    _starting = threading.Lock()
    if _current is not None:
        _current.forget()
        _current = None


os.register_at_fork(after_in_child=_forget_after_fork)


def engine_host() -> str:
    """Where the engine listens: $DOCKER_HOST, else the first of the usual sockets that exists."""
    chosen = os.environ.get("DOCKER_HOST")
    if chosen:
        if not chosen.startswith(("unix://", "tcp://")):
            raise SandboxUnavailable(f"DOCKER_HOST = {chosen!r}: only unix:// and tcp:// engines can be used.")
        return chosen
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    usual = [
        "/var/run/docker.sock",
        f"{runtime}/docker.sock",
        f"{runtime}/podman/podman.sock",
        "/run/podman/podman.sock",
    ]
    for place in usual:
        if Path(place).exists():
            return f"unix://{place}"
    raise SandboxUnavailable(f"no container engine is here: no socket among {', '.join(usual)}. {REMEDY}")


def is_local(host: str) -> bool:
    return host.startswith("unix://")


def connect(host: str) -> Any:
    """A client of the `docker` package whose every call has a deadline."""
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as error:
        raise SandboxUnavailable("the `docker` package is not installed: pip install docker.") from error
    try:
        watch_script.dial(host, 10.0).close()  # the package leaves its socket open when nobody answers
        client = docker.DockerClient(base_url=host, timeout=CALL_TIMEOUT, version="auto", max_pool_size=64)
    except (DockerException, OSError) as error:
        reason = " (you may not use the socket: join its group)" if "ermission" in str(error) else ""
        raise SandboxUnavailable(f"no container engine answers at {host}{reason}: {error}. {REMEDY}") from error
    version = client.api.api_version
    if tuple(int(part) for part in version.split(".")) < OLDEST:
        client.close()
        needed = ".".join(map(str, OLDEST))
        raise SandboxUnavailable(
            f"the engine at {host} is too old: it speaks version {version} of the interface, and {needed} is needed. "
            "Install Docker 19.03 or newer."
        )
    return client


@contextlib.contextmanager
def speaking(what: str) -> Iterator[None]:
    """Turn an engine's refusal or silence into a SandboxError that says what was being done."""
    import http.client

    import requests
    from docker.errors import APIError, DockerException

    silence = (requests.exceptions.RequestException, http.client.HTTPException, ConnectionError, TimeoutError)
    try:
        yield
    except APIError as error:
        raise SandboxError(f"{what}: the container engine said: {error.explanation or error}.") from error
    except (DockerException, *silence) as error:
        raise SandboxDied(f"{what}: the container engine does not answer: {error}. {REMEDY}") from error


def home_labels() -> dict[str, str]:
    """Labels that say whose store a container belongs to: leases of other hosts and stores cannot be judged here."""
    return {"swegym.host": socket.gethostname(), "swegym.home": str(paths.home())}


def sweep_engine(client: Any) -> list[str]:
    """Remove containers and snapshots whose owner is dead; returns their names."""
    import requests
    from docker.errors import DockerException

    chosen = {"label": [f"{name}={value}" for name, value in home_labels().items()]}
    swept = []
    with speaking("sweeping"):
        left = [
            *((found, client.api.remove_container) for found in client.api.containers(all=True, filters=chosen)),
            *((found, client.api.remove_image) for found in client.api.images(filters=chosen)),
        ]
    for found, remove in left:
        lease = found["Labels"].get("swegym.lease")
        if lease is None or is_held(paths.machines() / lease / "lease"):
            continue
        with contextlib.suppress(DockerException, requests.exceptions.RequestException):  # others sweep as well
            remove(found["Id"], force=True)
            swept.append(found["Id"])
    return swept
