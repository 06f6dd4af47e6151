"""The embedded sandbox: bubblewrap and overlayfs, no root, no daemon.

A machine is an init process in its own user, PID, mount, network, IPC, UTS and cgroup namespaces, over a root that is
an overlay of the image's layers and one writable folder. It sees `/usr` and the interpreter of the host, read-only, and
nothing else of it: no home, no environment, no sockets, and no network but a loopback of its own.

A command that exceeds a limit is ended by ending the whole machine, which no process can escape; the next command finds
a fresh machine over the same files. What was in the background is gone then, the files are not.

Calls that would take the host's disk at once, before it is watched, are answered as not supported, and so are those for
asynchronous input and output; of what the kernel counts for each user over all machines (inotify, fanotify), and of the
host's terminals, one machine gets an eighth.

Not covered: the rest of the kernel's interface is the host's; what it counts for each user and no namespace limits
(epoll watches, descriptors on their way, keys) is shared by all machines; and the names of the store's folders can be
read in /proc/self/mountinfo.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import posixpath
import secrets
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swegym.errors import SandboxDied, SandboxError, SandboxUnavailable
from swegym.sandbox import file_access, layer_uses, machines, refused_calls, snapshots
from swegym.sandbox.base import MOST_READ, argv_of, load_base, stored_layer, too_large
from swegym.sandbox.command_line import machine_argv
from swegym.sandbox.complaints import explained, unavailable
from swegym.sandbox.disk import bytes_free, bytes_used, bytes_without_a_name
from swegym.sandbox.limits import Cgroup, Limits, make_cgroup
from swegym.sandbox.pump import Pumped, pump
from swegym.sandbox.removal import clean_machine, remove_groups
from swegym.types import ExecResult, Image, Snapshot

_START_TIMEOUT = 20.0
_KILL_TIMEOUT = 30.0  # what thousands of processes and gigabytes of memory may take to go away
_ACCESS_TIMEOUT = 30.0
_OWN_TASKS = 2  # bubblewrap and the init of its machine
_SETTLING = 1 << 20  # by which a file system may still correct what was written before

Send = Callable[[bytes, dict[str, Any], list[int]], None]


class BubblewrapSandbox:
    """See `swegym.types.Sandbox` for the contract."""

    def __init__(self, source: Image | Snapshot, limits: Limits | None = None) -> None:
        self.image = source.image if isinstance(source, Snapshot) else source
        self.limits = limits or Limits()
        self._base = load_base(self.image.base)
        frozen = source.layers if isinstance(source, Snapshot) else ()
        self._lower = [self._base.layer, *(stored_layer(digest) for digest in self.image.layers)]
        self._frozen: list[Path] = []  # above those, held by this sandbox
        self._environment = {**self._base.environment, **self.image.environment}
        self._supervisor = machines.current()
        self._folder = self._supervisor.folder / secrets.token_hex(6)
        self._upper = self._folder / "upper"
        self._shared = self._folder / "shm"
        self._closed = False
        self._cgroup: Cgroup | None = None
        self._pid, self._pidfd = 0, -1
        self._lock = threading.Lock()  # guards starting and ending the machine, and counting what runs in it
        self._snapshotting = threading.Lock()
        self._running = 0  # requests under way
        try:
            snapshots.hold(frozen)
            self._frozen += frozen
            self._upper.mkdir(parents=True)
            layer_uses.note(self._folder, [self._base.layer.name, *self.image.layers])
            # Once more: from now on they are held.
            self._lower = [self._base.layer, *(stored_layer(digest) for digest in self.image.layers)]
            (self._folder / "work").mkdir()
            self._shared.mkdir()
            self._shared.chmod(0o1777)
            self._cgroup = make_cgroup(self.limits, self._folder / "cgroup")  # the supervisor removes what it lists
            self._start()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError) and not isinstance(error, SandboxError):
                raise explained(error, self._folder) from error
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
        return self._exec(argv_of(command), cwd, env, stdin, timeout, self._supervisor.request)

    def exec_forked(self, send: Send, *, cwd: str, stdin: bytes, timeout: float) -> ExecResult:
        """As `exec`, of what a zygote forks: `send` hands it the request. See `swegym.sandbox.zygote`."""
        return self._exec([], cwd, None, stdin, timeout, send)

    def _exec(
        self,
        argv: list[str],
        cwd: str | None,
        env: Mapping[str, str] | None,
        stdin: bytes | None,
        timeout: float,
        send: Send,
    ) -> ExecResult:
        started = time.monotonic()
        kills = self._cgroup.out_of_memory_kills() if self._cgroup else 0
        request = {
            "argv": argv,
            "cwd": cwd or self.image.workdir,
            "environment": {**self._environment, **(env or {})},
            "rlimits": self._rlimits(),
            "cgroups": self._cgroup.entries() if self._cgroup else [],
        }
        done = self._run(request, stdin, timeout, self.limits.output_bytes, send)
        seconds = time.monotonic() - started
        limit: Any = done.stopped
        code = 137
        if done.status is not None:
            verb, _, rest = done.status.decode().partition(" ")
            if verb == "exit":
                code = int(rest)
            else:
                limit = "machine"
            if self._cgroup and self._cgroup.out_of_memory_kills() > kills:
                limit = "memory"
            elif self._used() > self.limits.disk_bytes:
                limit = "disk"
        return ExecResult(code, done.stdout, done.stderr, seconds, limit, done.truncated)

    def read(self, path: str) -> bytes:
        done = self._access({"file": "read", "most": MOST_READ + 1}, path, None)
        if len(done.stdout) > MOST_READ:
            raise too_large(path)
        return done.stdout

    def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        self._access({"file": "write", "most": len(data), "executable": executable}, path, data)

    def snapshot(self) -> Snapshot:
        """Freeze the writable layer as it is now; the sandbox goes on. See `swegym.sandbox.snapshots` for its life.

        Where nothing runs in the machine, the layer is taken from under it and a new one put on top, at a cost that
        does not depend on its size; the machine starts again with the next command. Else the layer is copied, each file
        as it is when it is reached, and what runs goes on. A hostile process could swap a folder for a link in that
        time and so have files of the host copied: call `stop_processes` first where the machine is a policy's.
        """
        with self._snapshotting:
            with self._lock:
                self._refuse_if_closed()
                rotated = self._is_idle()
                if rotated and any(self._upper.iterdir()):
                    self._end()
                    self._rotate()
            if not rotated:
                layer = snapshots.copied(self._upper)
                try:
                    frozen = Snapshot(self.image, (*self._frozen, layer))
                    snapshots.keep(frozen)
                finally:
                    snapshots.let_go([layer])
                return frozen
            frozen = Snapshot(self.image, tuple(self._frozen))
            snapshots.keep(frozen)
            return frozen

    def _is_idle(self) -> bool:
        """Whether nothing but the machine's init runs in it. Only init could start something, and it never does."""
        if self._running:
            return False
        if not self._alive():
            return True
        if self._cgroup is not None and (tasks := self._cgroup.tasks()) is not None:
            return tasks <= _OWN_TASKS
        try:
            return not Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().strip()
        except OSError:  # a kernel without this file
            return False

    def _rotate(self) -> None:
        """Make the writable layer a frozen one and put an empty one on top; no machine is running."""
        layer = snapshots.new_layer()
        try:
            fresh = self._folder / "fresh"
            fresh.mkdir(exist_ok=True)
            fresh.chmod(stat.S_IMODE(self._upper.stat().st_mode))
            self._upper.rename(layer)
            fresh.rename(self._upper)
        except OSError as error:
            snapshots.let_go([layer])
            raise explained(error, self._folder) from error
        self._frozen.append(layer)
        if snapshots.is_long([*self._lower, *self._frozen, self._upper, self._folder / "work"], len(self._frozen)):
            parts, self._frozen = self._frozen, [snapshots.merged(self._frozen)]
            snapshots.let_go(parts)

    def stop_processes(self) -> None:
        with self._lock:
            self._end()

    def close(self) -> None:
        with self._lock:
            if self._closed or self._supervisor.owner != os.getpid():
                return
            self._closed = True
            self._end()
            if self._cgroup:  # somebody may have removed the folder that lists it
                remove_groups(list(map(str, self._cgroup.folders)))
            clean_machine(str(self._folder))
            snapshots.let_go(self._frozen)

    def __enter__(self) -> BubblewrapSandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- the machine ---

    def _start(self) -> None:
        """Start bubblewrap over the writable layer and wait until its init runs."""
        status, status_theirs = os.pipe()
        ready, ready_theirs = os.pipe()
        errors, errors_theirs = os.pipe()
        try:
            self._upper.chmod(0o755)  # it is the machine's root, and a policy may have shut it
            argv = machine_argv(self._base, [*self._lower, *self._frozen], self._upper, self._folder, self._shared)
            cgroups = self._cgroup.entries() if self._cgroup else []
            payload = {"argv": argv, "cgroups": cgroups, **refused_calls.for_requests()}
            self._supervisor.request(b"o", payload, [status_theirs, ready_theirs, errors_theirs])
            for descriptor in (status_theirs, ready_theirs, errors_theirs):
                os.close(descriptor)
            poller = select.poll()
            poller.register(ready, select.POLLIN)
            if not poller.poll(_START_TIMEOUT * 1000):
                raise SandboxUnavailable(f"bubblewrap did not start a machine within {_START_TIMEOUT:.0f} s.")
            if not os.read(ready, 1):
                raise unavailable(os.read(errors, 4096).decode("utf-8", "replace").strip(), self._folder)
            self._pid = json.loads(os.read(status, 4096).splitlines()[0])["child-pid"]
            self._pidfd = os.pidfd_open(self._pid)
        finally:
            for descriptor in (status, ready, errors):
                os.close(descriptor)

    def _alive(self) -> bool:
        if self._pidfd < 0:
            return False
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return not poller.poll(0)

    def _end(self) -> None:
        """Kill the machine's init, and with it, by the kernel's doing, everything in its PID namespace."""
        if self._pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        ended = poller.poll(_KILL_TIMEOUT * 1000)
        os.close(self._pidfd)
        self._pidfd = -1
        if not ended:
            raise SandboxError(
                f"a machine (pid {self._pid}) outlived SIGKILL by {_KILL_TIMEOUT:.0f} s. Is its disk hung?"
            )

    def environment(self) -> dict[str, str]:
        """What commands find in their environment."""
        return dict(self._environment)

    def first_process(self) -> tuple[int, int]:
        """Id of the machine's init on the host, and a descriptor of it that stays this object's."""
        self._enter()
        self._leave()
        return self._pid, self._pidfd

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SandboxDied("this sandbox is closed. Open another one.")
        if self._supervisor.owner != os.getpid():
            raise SandboxDied("this sandbox belongs to the process that opened it. Open one after the fork.")

    def _enter(self) -> None:
        """Make sure that a machine runs: a limit, a snapshot or the policy itself may have ended the last one."""
        with self._lock:
            self._refuse_if_closed()
            if not self._alive():
                self._end()
                if not self._upper.is_dir():
                    raise SandboxDied(f"the writable layer {self._upper} is gone: something outside removed it.")
                self._start()
            self._running += 1

    def _leave(self) -> None:
        with self._lock:
            self._running -= 1

    def _run(
        self, request: dict[str, Any], stdin: bytes | None, timeout: float, keep: int | None, send: Send, tries: int = 2
    ) -> Pumped:
        """Have the supervisor, or who else is behind `send`, do one request in the machine.

        What does not come in is tried again in a new machine: who runs in this one may set limits to who enters it.
        """
        adds = request.get("file") != "read"
        self._enter()
        opened: list[int] = []
        try:
            out, out_theirs = os.pipe()
            err, err_theirs = os.pipe()
            status, status_theirs = os.pipe()
            feed_theirs, feed = os.pipe() if stdin is not None else (os.open("/dev/null", os.O_RDONLY), -1)
            theirs = [feed_theirs, out_theirs, err_theirs, status_theirs]
            opened += [out, err, status, *theirs]
            request |= {"pid": self._pid, "silent_network": self.image.silent_network, **refused_calls.for_requests()}
            send(b"x", request, [*theirs, self._pidfd])
            for descriptor in theirs:
                os.close(descriptor)
                opened.remove(descriptor)
            before, free = self._used(), bytes_free(self._folder)
            if before > self.limits.disk_bytes:  # counting stopped; what is deleted next must not look like growth
                before = self._used(sys.maxsize) + _SETTLING
            done = pump(
                (feed, stdin) if stdin is not None else None,
                out,
                err,
                status,
                timeout=timeout,
                keep=keep,
                tick=lambda: "disk" if adds and self._over_disk(before, free) else None,
            )
        finally:
            self._leave()
            for descriptor in opened:
                os.close(descriptor)
        if done.stopped is not None:
            with self._lock:
                self._end()
        elif done.status and done.status.startswith(b"broken") and tries > 1:
            self.stop_processes()
            return self._run(request, stdin, timeout, keep, send, tries - 1)
        elif not done.status or done.status.startswith(b"broken"):
            said = (done.status or b"broken the supervisor was killed").partition(b" ")[2].partition(b"\n")[0].decode()
            raise SandboxDied(f"this host did not run a command to its end: {said}. Open the sandbox again.")
        return done

    def _rlimits(self) -> dict[str, int]:
        rest = {"RLIMIT_NPROC": self.limits.processes, "RLIMIT_DATA": self.limits.memory_bytes}
        return self.limits.rlimits() | (rest if self._cgroup is None else {})

    def _used(self, most: int | None = None) -> int:
        """Bytes of the writable layer and of shared memory; counting stops above `most`, or the limit."""
        most = self.limits.disk_bytes if most is None else most
        return bytes_used(str(self._upper), most) + bytes_used(str(self._shared), most)

    def _over_disk(self, before: int, free: int) -> bool:
        """Whether more than the limit is used, and than `before`. `free` is what the file system had free then."""
        most = max(self.limits.disk_bytes, before)
        if (used := self._used(most)) > most:
            return True
        # What has no name any more is not in the count. Looking for it costs more, so only where something is amiss.
        if free - bytes_free(self._folder) <= self.limits.disk_bytes - min(used, self.limits.disk_bytes):
            return False
        return used + bytes_without_a_name(self._pid, self._cgroup.processes() if self._cgroup else None) > most

    def _access(self, request: dict[str, Any], path: str, data: bytes | None) -> Pumped:
        """Read or write one file; what is wrong with the path is an OSError, with the machine a SandboxError."""
        limits = {"RLIMIT_FSIZE": self.limits.disk_bytes}
        request |= {"path": posixpath.join(self.image.workdir, path), "rlimits": limits}
        for _ in range(2):
            done = self._run(request, data, _ACCESS_TIMEOUT, None, self._supervisor.request)
            if done.stopped == "disk":
                raise OSError(errno.ENOSPC, "the sandbox's disk is full", path)
            verb, _, code = (done.status or b"").decode().partition(" ")
            if verb == "exit" and code != "137":
                break
            # Something in the machine stopped or killed what worked on the file. In a new machine nothing else runs.
            self.stop_processes()
        else:
            raise SandboxError(f"cannot {request['file']} {path}: the machine stopped ({done.stopped or code}).")
        if code == "0":
            return done
        raise file_access.problem(int(code), done.stderr.decode("utf-8", "replace").strip(), path)
