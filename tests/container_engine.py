"""A container engine for tests: one that answers, else one that scripts/docker_engine.sh starts and stops."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from swegym.errors import SandboxUnavailable
from swegym.sandbox import docker_engine

SCRIPT = Path(__file__).parent.parent / "scripts" / "docker_engine.sh"
FOLDER = Path("/tmp/swegym-engine")  # short, since the path of a socket must be, and one for all sessions of a machine
USERS = FOLDER.with_suffix(".users")


@contextlib.contextmanager
def an_engine() -> Iterator[str]:
    """DOCKER_HOST of an engine. Sessions share it; the last one to leave stops it, if it is the script's own."""
    with contextlib.suppress(SandboxUnavailable):
        docker_engine.connect(docker_engine.engine_host()).close()
        yield docker_engine.engine_host()
        return
    if os.geteuid() != 0 or (shutil.which("dockerd") is None and shutil.which("apt-get") is None):
        pytest.skip("no container engine answers, and one can be started only by root, with dockerd or apt-get")
    with own_engine() as host:
        yield host


@contextlib.contextmanager
def own_engine() -> Iterator[str]:
    """DOCKER_HOST of the script's engine. The last user stops it, and leaves nothing behind."""
    with one_user() as users:
        try:
            done = subprocess.run([SCRIPT, "start"], capture_output=True, text=True, timeout=500)
            if done.returncode != 0:
                pytest.skip(f"no container engine can be started here: {done.stderr.strip()[-500:]}")
            yield done.stdout.strip()
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                subprocess.run([SCRIPT, "stop"], capture_output=True, timeout=100)
                USERS.unlink()


def one_user() -> IO[str]:
    """A file that all users keep locked. Whoever can lock it alone is the last one, and removes it."""
    while True:
        users = USERS.open("w")
        fcntl.flock(users, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(users.fileno()), USERS.stat()):
                return users
        users.close()  # the last user of before has removed it meanwhile


@pytest.fixture(scope="session")
def engine(store: Path) -> Iterator[str]:
    """An engine that the Docker backend finds."""
    before = os.environ.get("DOCKER_HOST")
    with an_engine() as host:
        os.environ["DOCKER_HOST"] = host
        try:
            yield host
        finally:
            docker_engine.leave()
            os.environ.pop("DOCKER_HOST")
            if before is not None:
                os.environ["DOCKER_HOST"] = before
