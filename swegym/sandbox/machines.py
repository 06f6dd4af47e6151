"""The owner's end of the supervisor: one per process, started when the first machine is opened.

Each owner has a folder under `paths.machines()` with a lease, a file that it keeps locked. `sweep` removes the folders
whose lease nobody holds: their owner and its supervisor are dead. No pid says so, for owners in several PID namespaces
(containers, say) may share a store.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import secrets
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from swegym import paths
from swegym.errors import SandboxDied
from swegym.sandbox import frozen, removal
from swegym.sandbox import supervisor as script

_NEW = ".new-"
_MEMORY = Path("/dev/shm")
_OLD = 3600.0  # seconds after which nobody is making a folder any more


def take_lease(kind: str = "") -> tuple[Path, int]:
    """A folder that belongs to this process, and the lock that says so for as long as somebody holds it."""
    name = f"{os.getpid()}-{kind}{secrets.token_hex(4)}"
    made = paths.machines() / f"{_NEW}{name}"  # no sweep looks at it before its lease is locked
    made.mkdir(parents=True)
    lease = os.open(made / "lease", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(lease, fcntl.LOCK_EX)
    return made.rename(made.with_name(name)), lease


def start_guard(script: str, arguments: list[str], descriptors: Collection[int]) -> subprocess.Popen[bytes]:
    """A process that outlives this one in order to clean up after it; it holds the descriptors, a lease among them."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", script, *arguments],
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},  # a command in a machine must not find the owner's environment in its parent
        start_new_session=True,  # Ctrl-C at the owner's terminal is for the owner to handle
        cwd="/",
    )


def send_request(channel: socket.socket, kind: bytes, payload: dict[str, Any], descriptors: list[int]) -> None:
    """Send one request, as `swegym.sandbox.supervisor` takes it. Raises SandboxDied when nobody is there to take it."""
    body = os.memfd_create("request", os.MFD_CLOEXEC)
    try:
        with open(body, "w", closefd=False, encoding="utf-8") as file:
            json.dump(payload, file)
        os.lseek(body, 0, os.SEEK_SET)
        socket.send_fds(channel, [kind], [body, *descriptors])
    except (BrokenPipeError, ConnectionError) as error:
        raise SandboxDied("the sandbox supervisor is gone (killed?). Open the sandbox again.") from error
    finally:
        os.close(body)


class Supervisor:
    """A running supervisor and the folder that it will remove."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        sweep()
        self.folder, self._lease = take_lease()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        watch = os.pidfd_open(self.owner)
        arguments = [str(theirs.fileno()), str(watch), str(self.folder)]
        self._process = start_guard(script.__file__, arguments, (theirs.fileno(), watch, self._lease))
        theirs.close()
        os.close(watch)

    @property
    def pid(self) -> int:
        return self._process.pid

    def request(self, kind: bytes, payload: dict[str, Any], descriptors: list[int]) -> None:
        """Send one request; it is under way when this returns. Raises SandboxDied when the supervisor is gone."""
        send_request(self._channel, kind, payload, descriptors)

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the supervisor and with it every machine; returns when all is removed."""
        self._channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        os.close(self._lease)

    def discard(self) -> None:
        """Let go of a supervisor that is dead; its folder is for the next sweep."""
        self._channel.close()
        os.close(self._lease)

    def forget(self) -> None:
        """In a forked child: let go of what belongs to the parent, without ending it."""
        self._channel.close()
        self._process.returncode = 0  # not ours to wait for


_current: Supervisor | None = None
_scratch: dict[Path, tuple[Path, int]] = {}  # by the folder of machines that it lies in
_starting = threading.Lock()


def current() -> Supervisor:
    """The supervisor of this process, started or restarted as needed."""
    global _current
    with _starting:
        if _current is not None and not _current.alive():
            _current.discard()
            _current = None
        if _current is None:
            _current = Supervisor()
        return _current


def scratch_place(*, in_memory: bool = False) -> Path:
    """A folder of this process for what it makes and removes itself. If it is killed, the next sweep does.

    `in_memory` where this host has a place for that: many small files come and go there several times as fast.
    """
    root = paths.machines()
    with _starting:
        if root not in _scratch:
            sweep()
            _scratch[root] = take_lease("scratch-")
        folder = _scratch[root][0]
        if in_memory and os.access(_MEMORY, os.W_OK):
            folder = _beside(folder)
            folder.mkdir(exist_ok=True)
        return folder


def _beside(folder: Path) -> Path:
    """The place in memory of who has this lease."""
    return _MEMORY / f"swegym-{folder.name}"


def _clean(folder: Path) -> bool:
    """Remove an owner's folder, and before it, so that a sweep that is killed is made up for, its place in memory."""
    memory = _beside(folder)
    with contextlib.suppress(FileNotFoundError):
        found = memory.lstat()  # anybody may make something of this name, and what is ours nobody else can replace
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not removal.clean(str(memory)):
            return False
    return removal.clean_owner(str(folder))


@atexit.register
def _close_at_exit() -> None:
    for folder, lease in _scratch.values():
        _clean(folder)
        os.close(lease)
    if _current is not None and _current.owner == os.getpid():
        _current.close()


def _forget_after_fork() -> None:
    global _current, _starting
    _starting = threading.Lock()
    for _, lease in _scratch.values():
        os.close(lease)
    _scratch.clear()
    if _current is not None:
        _current.forget()
        _current = None


os.register_at_fork(after_in_child=_forget_after_fork)


def sweep() -> list[Path]:
    """Remove what dead owners left: folders, the cgroups that they list, unused snapshots. Returns the folders."""
    swept = []
    for lease in sorted(paths.machines().glob("[0-9]*-*/lease")):
        try:
            descriptor = os.open(lease, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # swept by another process meanwhile
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # in use
        else:
            removal.end_strays(str(lease.parent))
            if _clean(lease.parent):  # else the next sweep tries again
                swept.append(lease.parent)
        finally:
            os.close(descriptor)
    for folder in [*paths.machines().glob("[0-9]*-*"), *paths.machines().glob(f"{_NEW}*")]:
        # Killed while it made the folder, or while another thread of it wrote to one that was being removed.
        with contextlib.suppress(FileNotFoundError):
            new = folder.name.startswith(_NEW)
            dead = time.time() - folder.stat().st_mtime > _OLD if new else not (folder / "lease").exists()
            if dead and _clean(folder):
                swept.append(folder)
    swept += [paths.snapshots() / name for name in frozen.collect(paths.snapshots(), removal.clean)]
    return swept
