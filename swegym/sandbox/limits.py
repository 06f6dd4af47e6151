"""Limits of a sandbox, and which of them the kernel enforces here.

Three ways, the best that this host offers is taken: a cgroup (v2 or v1) that holds the whole sandbox, else per-process
rlimits. Disk is watched by the owner; output and wall time are its own doing; open files are always an rlimit.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from swegym.config import Config

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_PERIOD = 100_000  # microseconds, of which a share of processor time is given


class Limits(Config):
    """What one sandbox may use. Sizes in bytes."""

    memory_bytes: int = Field(2 << 30, ge=32 << 20)
    """Memory of the whole sandbox; where there is no cgroup, data memory of each process."""
    processes: int = Field(512, ge=8)
    """Processes and threads alive at once."""
    disk_bytes: int = Field(2 << 30, ge=1 << 20)
    """Size of the writable layer."""
    output_bytes: int = Field(200_000, ge=1_000)
    """Of stdout and of stderr each, what is kept of one command: the first and the last half of it."""
    open_files: int = Field(4096, ge=32)
    """Open files of each process."""
    cpus: float | None = Field(None, ge=0.05)
    """Processors' worth of time for the whole sandbox; None for as much as there is. It needs a cgroup."""

    def rlimits(self) -> dict[str, int]:
        """What each process is held to wherever it runs: names of `resource` and their values."""
        return {"RLIMIT_NOFILE": self.open_files, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": self.disk_bytes}


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One cgroup of ours: one folder in v2, one per controller in v1."""

    version: Literal[1, 2]
    folders: tuple[Path, ...]

    def entries(self) -> list[str]:
        """The files into which a process writes 0 to join."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def tasks(self) -> int | None:
        """How many processes and threads are in it, the machine's own two included."""
        for folder in self.folders:
            with contextlib.suppress(OSError, ValueError):
                return int((folder / "pids.current").read_text())
        return None

    def processes(self) -> list[int]:
        """Ids of the processes in it, as seen from outside."""
        with contextlib.suppress(OSError):
            return [int(line) for line in (self.folders[0] / "cgroup.procs").read_text().split()]
        return []

    def out_of_memory_kills(self) -> int:
        """How many processes the kernel has killed here for memory."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        for folder in self.folders:
            with contextlib.suppress(OSError):
                for line in (folder / name).read_text().splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0


def _own_group(controller: str | None) -> Path | None:
    """Where this process is in the hierarchy of `controller` (None: the v2 hierarchy)."""
    for line in _MEMBERSHIP.read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller is None and names == "":
            return _ROOT / path.lstrip("/")
        if controller is not None and controller in names.split(","):
            base = _ROOT / controller
            # Inside a container the path may be named from the host's root; then the mount itself is ours.
            return base / path.lstrip("/") if (base / path.lstrip("/")).is_dir() else base
    return None


def _v2_parent() -> Path | None:
    """A v2 group in which we may make children that have the memory and pids controllers."""
    if not (_ROOT / "cgroup.controllers").is_file():
        return None
    own = _own_group(None)
    # A group with processes in it cannot hand controllers to children, so the parent of ours is tried as well.
    for parent in (own, own.parent if own else None):
        if parent is None or not parent.is_dir() or not os.access(parent, os.W_OK):
            continue
        control = parent / "cgroup.subtree_control"
        with contextlib.suppress(OSError):
            if not {"memory", "pids"} <= set(control.read_text().split()):
                control.write_text("+memory +pids")
            return parent
    return None


def _v2_has_cpu(parent: Path) -> bool:
    """Whether children get the cpu controller, which is not everywhere handed down."""
    control = parent / "cgroup.subtree_control"
    with contextlib.suppress(OSError):
        if "cpu" not in control.read_text().split():
            control.write_text("+cpu")
        return True
    return False


def _v1_cpu_parent() -> Path | None:
    parent = _own_group("cpu")
    # No quota file: a kernel without bandwidth control.
    usable = parent is not None and os.access(parent, os.W_OK) and (parent / "cpu.cfs_quota_us").exists()
    return parent if usable else None


def _v1_parents() -> tuple[Path, ...] | None:
    parents = [_own_group(controller) for controller in ("memory", "pids")]
    if all(parent is not None and os.access(parent, os.W_OK) for parent in parents):
        return tuple(parent for parent in parents if parent is not None)
    return None


def how_limits_hold() -> dict[str, str]:
    """For each limit, how it is enforced on this host; for people and for `doctor`."""
    v2, v1 = _v2_parent(), _v1_parents()
    group = "cgroup v2" if v2 else "cgroup v1" if v1 else None
    # The kernel exempts the host's root user from RLIMIT_NPROC, and user namespaces do not change that.
    counted = "rlimit" if os.geteuid() != 0 else "not limited (root without a writable cgroup)"
    shared_out = _v2_has_cpu(v2) if v2 else bool(v1 and _v1_cpu_parent())
    return {
        "memory": group or "rlimit, per process",
        "processes": group or counted,
        "cpu": f"{group}, where limits.cpus is set" if shared_out else "not limited (no cgroup with cpu to be had)",
        "disk": "watched by the owner, and a limit on each file's size",
        "time": "the whole machine is killed at the deadline",
        "output": "head and tail are kept",
        "open files": "rlimit",
    }


def make_cgroup(limits: Limits, listing: Path) -> Cgroup | None:
    """A new cgroup with these limits, or None where none can be had.

    Its folders are written to `listing` before they are made: who dies in between still leaves word of them.
    """
    name = f"swegym-{os.getpid()}-{secrets.token_hex(4)}"
    v2 = _v2_parent()
    parents = (v2,) if v2 else _v1_parents()
    if parents is None:
        return None
    cpu = None if limits.cpus is None else v2 if v2 and _v2_has_cpu(v2) else _v1_cpu_parent() if not v2 else None
    if cpu is not None and cpu not in parents:
        parents = (*parents, cpu)
    made = Cgroup(2 if v2 else 1, tuple(parent / name for parent in parents))
    listing.write_text("\n".join(map(str, made.folders)))
    try:
        for folder in made.folders:
            folder.mkdir()
        if v2:
            (v2 / name / "memory.max").write_text(str(limits.memory_bytes))
            with contextlib.suppress(OSError):  # no swap accounting on this kernel
                (v2 / name / "memory.swap.max").write_text("0")
            (v2 / name / "pids.max").write_text(str(limits.processes))
        else:
            (made.folders[0] / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
            with contextlib.suppress(OSError):  # no swap accounting on this kernel
                (made.folders[0] / "memory.memsw.limit_in_bytes").write_text(str(limits.memory_bytes))
            (made.folders[1] / "pids.max").write_text(str(limits.processes))
        if cpu is not None and limits.cpus is not None:
            quota = round(limits.cpus * _PERIOD)
            if v2:
                (cpu / name / "cpu.max").write_text(f"{quota} {_PERIOD}")
            else:
                (cpu / name / "cpu.cfs_period_us").write_text(str(_PERIOD))
                (cpu / name / "cpu.cfs_quota_us").write_text(str(quota))
    except OSError:
        for folder in made.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return None
    return made
