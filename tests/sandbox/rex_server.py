"""Real SWE-ReX servers on this machine: each in a root and a PID namespace of its own, reached over loopback."""

import concurrent.futures
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from swegym.sandbox.complaints import bubblewrap_path

_HIDDEN = ("tmp", "opt", "home", "testbed", "proc", "dev", "root")


class RexServers:
    """Starts servers and ends them all."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        # A server dies with the thread that started it, so with these tests, but not with a test's own thread.
        self._starter = concurrent.futures.ThreadPoolExecutor(1)

    def start(self) -> str:
        """A new server, as the name of a sandbox backend."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        token = secrets.token_hex(8)
        argv = [bubblewrap_path(), "--unshare-pid", "--unshare-user", "--uid", "0", "--gid", "0", "--die-with-parent"]
        for entry in Path("/").iterdir():
            if entry.name in _HIDDEN:
                continue
            if entry.is_symlink():
                argv += ["--symlink", str(entry.readlink()), str(entry)]
            elif entry.is_dir():
                argv += ["--ro-bind", str(entry), str(entry)]
        argv += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--setenv", "HOME", "/tmp"]
        # The interpreter of the tests may lie in a folder that is hidden.
        for folder in {Path(sys.prefix), Path(sys.base_prefix).resolve()}:
            argv += ["--ro-bind", str(folder), str(folder)]
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        argv += ["--setenv", "PATH", path, "--", sys.executable, "-m", "swerex", "--host", "127.0.0.1"]
        argv += ["--port", str(port), "--auth-token", token]
        log = subprocess.DEVNULL if not os.environ.get("REX_LOG") else None
        self._running.append(self._starter.submit(subprocess.Popen, argv, stdout=log, stderr=log).result())
        deadline = time.monotonic() + 30
        while not _answers(f"http://127.0.0.1:{port}/is_alive", token):
            assert self._running[-1].poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)
        return f"swerex:remote?host=http://127.0.0.1&port={port}&auth_token={token}"

    def kill(self) -> None:
        """Kill the newest server."""
        self._running[-1].kill()
        self._running[-1].wait()

    def __enter__(self) -> "RexServers":
        return self

    def __exit__(self, *exc: Any) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        self._starter.shutdown()


def _answers(url: str, token: str) -> bool:
    try:
        request = urllib.request.Request(url, headers={"X-API-Key": token})
        with urllib.request.urlopen(request, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
