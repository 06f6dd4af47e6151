"""Uses of stored layers: which layers running machines stand on, and when each was last asked for.

    machines/<lease>/<machine>/layers   the digests that a machine uses, one a line; gone with the machine
    used/<digest>                       touched whenever a machine is opened over the layer

A machine notes its layers first and then looks whether they are there; who removes a layer moves it away first and then
looks for notes. So one of the two always sees the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from swegym import paths

_NOTE = "layers"


def note(machine: Path, digests: Iterable[str]) -> None:
    """A machine's folder says which layers it uses, and their last use is now."""
    digests = list(digests)
    (machine / _NOTE).write_text("\n".join(digests))
    for digest in digests:
        file = paths.used() / digest
        try:
            file.touch()
        except FileNotFoundError:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()


def in_use() -> set[str]:
    """The layers of all machines there are, also of dead ones that were not swept yet."""
    found: set[str] = set()
    for owner in paths.machines().glob("*"):
        with contextlib.suppress(FileNotFoundError):  # an owner has just ended, and all its machines with it
            for file in owner.glob(f"*/{_NOTE}"):
                with contextlib.suppress(FileNotFoundError):  # the machine has just been closed
                    found.update(file.read_text().split())
    return found


def last_used(digest: str) -> float:
    """Seconds since the epoch; the time at which it was made where it was never used."""
    times = []
    for file in (paths.used() / digest, paths.layers() / digest):
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        times.append(max(status.st_mtime if file.parent == paths.used() else 0.0, status.st_ctime))
    return max(times, default=0.0)
