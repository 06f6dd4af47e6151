"""The store as a cache: layers and downloads that were not used for longest go first, down to a size.

Nothing that is in use is ever evicted: not the layers of a machine, not those of a base image, and nothing that was
made or asked for in the last minutes, which a build may be about to use. So the store may stay larger than it was asked
to be. A task whose layer is gone counts as not built, and is built again when it is wanted.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swegym import paths
from swegym.errors import InputError
from swegym.images import store
from swegym.images.imports import ROW_PREFIX
from swegym.sandbox import layer_uses
from swegym.sandbox.base import host_layer

VARIABLE = "SWEGYM_STORE_LIMIT"
_GRACE = 600.0  # seconds in which what was used is in use
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What a trim did, in bytes on disk."""

    before: int
    after: int
    evicted: tuple[str, ...]  # digests of layers, names of downloads
    in_use: int  # layers that were kept because something uses them

    @property
    def freed(self) -> int:
        return self.before - self.after


def trim(limit: int, *, grace: float = _GRACE) -> Trimmed:
    """Evict what was not used for longest until the store's layers and downloads take at most `limit` bytes."""
    with store.exclusive(paths.layers() / ".trim.lock"):
        kept = layer_uses.in_use() | _bases()
        units = sorted(_units(), key=lambda unit: unit[0])
        total = before = sum(size for _, size, _ in units)
        newest, evicted = time.time() - grace, []
        for used, size, path in units:
            if total <= limit:
                break
            if used < newest and path.name not in kept and _evict(path):
                total -= size
                evicted.append(path.name)
        return Trimmed(before, total, tuple(evicted), len(kept & {path.name for _, _, path in units}))


def trim_to_limit() -> Trimmed | None:
    """Trim to what the environment asks for; None when it asks for nothing."""
    wanted = os.environ.get(VARIABLE)
    return trim(parse_size(wanted, VARIABLE)) if wanted else None


def parse_size(text: str, origin: str = "size") -> int:
    """Bytes of "20GB", "500M" or "1000000"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?", text.strip().upper())
    if match is None:
        raise InputError.at("command line or environment", origin, text, "not a size", 'Write it like "20GB".')
    return int(float(match[1]) * _UNITS[match[2]])


def size_on_disk(tree: Path) -> int:
    """Bytes that a tree takes, hard links counted once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder, _, files in os.walk(tree):
        for path in [folder, *(os.path.join(folder, name) for name in files)]:  # noqa: PTH118 (half the time of Path)
            found = os.lstat(path)
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * 512
    return total


def _units() -> Iterator[tuple[float, int, Path]]:
    """Last use, size and place of every layer and download."""
    for path in paths.layers().glob("[0-9a-f]*"):
        if len(path.name) == 64 and path.is_dir():
            yield layer_uses.last_used(path.name), _layer_size(path), path
    for path in paths.downloads().glob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            yield max(status.st_atime, status.st_mtime), status.st_blocks * 512, path


def _layer_size(path: Path) -> int:
    """A layer never changes, so it is measured once."""
    noted = paths.used() / f"{path.name}.size"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(noted.read_text())
    size = size_on_disk(path)
    store.write_atomically(noted, str(size).encode())
    return size


def _bases() -> set[str]:
    """Layers of base images that a person built or imported, and the host's; a row's is built again with its task."""
    files = (file for file in paths.images().glob("*.json") if not file.name.startswith(ROW_PREFIX))
    return {host_layer(), *re.findall(r"[0-9a-f]{64}", "".join(file.read_text("utf-8") for file in files))}


def _evict(path: Path) -> bool:
    """Remove one layer or download; a layer that a machine has come to use meanwhile goes back to its place."""
    if path.is_file():
        path.unlink(missing_ok=True)
        return True
    aside = path.with_name(f"{store.TEMPORARY}gone-{path.name}")
    path.rename(aside)
    if path.name in layer_uses.in_use():
        aside.rename(path)
        return False
    store.remove_tree(aside)
    for name in (path.name, f"{path.name}.size"):
        (paths.used() / name).unlink(missing_ok=True)
    return True
