"""Frozen layers, of which snapshots are made: where they lie, who uses each, and the removal of what nobody uses.

    snapshots/
    ├── <id>/tree/           the layer, never written to again
    ├── <id>/uses/<lease>    a process that uses it; counts while that process holds .leases/<lease> locked
    ├── <id>/uses/file-*     the path of a saved snapshot; counts while that file exists and names the layer
    ├── .leases/<lease>
    ├── .gone-*/             being removed
    └── .lock                held while uses are added or looked at

Only the standard library is used: the supervisor loads this file by its path when its owner is dead.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Nothing is removed under `root`, and no use is added by another, while this is held."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def take_lease(root: Path) -> tuple[str, int]:
    """A new lease of this process and the descriptor that holds it; the system lets go of it when the process dies."""
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    (root / ".leases").mkdir(parents=True, exist_ok=True)
    with locked(root):
        descriptor = os.open(root / ".leases" / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return name, descriptor


def create(root: Path, lease: str) -> Path:
    """A new layer's folder, used by `lease` and without its tree yet."""
    folder = root / secrets.token_hex(6)
    with locked(root):
        (folder / "uses").mkdir(parents=True)
        (folder / "uses" / lease).touch()
    return folder


def use(root: Path, layers: Iterable[str], name: str, text: str = "") -> None:
    """Note a use of each layer. Raises FileNotFoundError, and notes nothing, when one of them is gone."""
    with locked(root):
        folders = [root / layer for layer in layers]
        for folder in folders:
            if not (folder / "tree").is_dir():
                raise FileNotFoundError(f"{folder} is gone")
        for folder in folders:
            (folder / "uses" / name).write_text(text)


def collect(root: Path, remove: Callable[[str], object], only: Iterable[str] | None = None) -> list[str]:
    """Remove the layers that nobody uses (of `only`, if given) and say which. `remove` deletes one folder."""
    if not root.is_dir():
        return []
    gone = []
    with locked(root):
        names = [entry.name for entry in os.scandir(root) if entry.is_dir()] if only is None else list(only)
        for name in names:
            folder = root / name
            if not name.startswith(".") and folder.is_dir() and not _is_used(root, folder):
                folder.rename(root / f".gone-{name}")
                gone.append(name)
        if only is None:
            for lease in (root / ".leases").glob("*"):
                if not is_held(lease):
                    lease.unlink(missing_ok=True)
    left = [f".gone-{name}" for name in gone] if only is not None else [entry.name for entry in root.glob(".gone-*")]
    for name in left:
        remove(str(root / name))
    return gone


def _is_used(root: Path, folder: Path) -> bool:
    uses = folder / "uses"
    for entry in uses.iterdir() if uses.is_dir() else ():
        if not entry.name.startswith("file-"):
            if is_held(root / ".leases" / entry.name):
                return True
            continue
        with contextlib.suppress(OSError):
            if folder.name in Path(entry.read_text("utf-8")).read_text("utf-8"):
                return True
    return False


def is_held(lease: Path) -> bool:
    """Whether a living process holds the lock of this lease."""
    try:
        descriptor = os.open(lease, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
