"""The store: layers by content. A layer is one directory tree that is never changed again, named by what it holds.

Everything is written under a temporary name, flushed and renamed, so a reader sees a whole layer or none, and any
number of processes may build the same layer at once. The digest covers every path with its type, permission bits and
content or link target; owners, times and extended attributes do not count.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swegym import paths
from swegym.errors import TaskError
from swegym.sandbox.base import stored_layer
from swegym.types import Image

TEMPORARY = ".new-"
_STALE_SECONDS = 3600.0


def put_layer(tree: Path) -> str:
    """Take over a directory tree (it is moved away) and return its digest. Storing the same content twice is cheap."""
    if not tree.is_dir():
        raise TaskError(f"{tree} is not a folder, so it cannot become a layer.")
    tree.chmod(0o755)
    digest = tree_digest(tree)
    target = paths.layers() / digest
    if target.is_dir():
        remove_tree(tree)
        return digest
    with scratch() as folder:
        staged = folder / "layer"
        shutil.move(tree, staged)
        flush(staged)
        move_into_place(staged, target)
    return digest


def layer_path(digest: str) -> Path:
    """The folder of a stored layer. Never write to it: other sandboxes are reading it."""
    return stored_layer(digest)


def recall(key: Mapping[str, Any]) -> str | None:
    """The layer that was built from exactly this input, if it is still in the store."""
    try:
        record = json.loads(_key_file(key).read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    digest = str(record["layer"])
    return digest if (paths.layers() / digest).is_dir() else None


def remember(key: Mapping[str, Any], digest: str) -> None:
    """Note which layer a build input gave, so that `recall` finds it."""
    record = {"key": dict(key), "layer": digest}
    write_atomically(_key_file(key), json.dumps(record, indent=1, sort_keys=True).encode())


def layer(key: Mapping[str, Any], fill: Callable[[Path], None]) -> tuple[str, bool]:
    """The layer for `key`, built by `fill(folder)` unless it is there already.

    Returns its digest and whether it was there. Builders of the same key wait for each other, in threads and processes.
    """
    if digest := recall(key):
        return digest, True
    with exclusive(_key_file(key).with_suffix(".lock")):
        if digest := recall(key):
            return digest, True
        with scratch() as folder:
            tree = folder / "tree"
            tree.mkdir()
            fill(tree)
            digest = put_layer(tree)
        remember(key, digest)
    return digest, False


def make_image(
    layers: Iterable[str],
    environment: Mapping[str, str],
    workdir: str = "/testbed",
    base: str = "host",
    *,
    silent_network: bool = False,
) -> Image:
    """An image of stored layers, lowest first; its digest covers all that is given here."""
    layers, environment = tuple(layers), dict(environment)
    for digest in layers:
        layer_path(digest)
    facts = [base, layers, environment, workdir, *(["silent network"] if silent_network else [])]
    return Image(json_digest(facts), base, layers, environment, workdir, silent_network)


def tree_digest(tree: Path) -> str:
    """SHA-256 over the sorted paths of a tree with type, permission bits, and content or link target."""
    total = hashlib.sha256()
    for path, status in _walk(tree):
        mode = status.st_mode
        content = b""
        if stat.S_ISREG(mode):
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
        elif stat.S_ISLNK(mode):
            content = os.fsencode(path.readlink())
        elif not stat.S_ISDIR(mode):
            content = str(status.st_rdev).encode()
        name = os.fsencode(path.relative_to(tree))
        # The permission bits of a link mean nothing and differ between file systems.
        bits = 0 if stat.S_ISLNK(mode) else stat.S_IMODE(mode)
        for part in (name, f"{stat.S_IFMT(mode):o} {bits:o}".encode(), content):
            total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


def json_digest(value: Any) -> str:
    """SHA-256 of plain data in its canonical JSON form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder on the store's own file system, from which `put_layer` only has to rename."""
    parent = paths.layers()
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=parent))
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield folder
    finally:
        remove_tree(folder)
        os.close(descriptor)


@contextlib.contextmanager
def exclusive(lock: Path, on_wait: Callable[[], None] | None = None, *, shared: bool = False) -> Iterator[None]:
    """Hold `lock` against every other thread and process; the system lets go of it when the holder dies.

    `on_wait` is told when somebody else holds it, before this waits for them. Those who hold it `shared` do so
    together, and never beside one who does not.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with lock.open("w") as stream:
        try:
            fcntl.flock(stream, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(stream, kind)
        yield


def move_into_place(staged: Path, target: Path) -> None:
    """Rename a finished folder to `target`; if somebody was faster, theirs stays and `staged` is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        staged.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        remove_tree(staged)
    _sync_folder(target.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, even if the machine stops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=TEMPORARY, delete=False) as stream:
        staged = Path(stream.name)
        try:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            staged.chmod(0o644)
            staged.replace(path)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)


def remove_tree(tree: Path) -> None:
    """Remove a tree, also where folders in it lost their write permission; one that is gone already is fine."""
    for folder, _, _ in os.walk(tree):
        Path(folder).chmod(0o700)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(tree)


def _key_file(key: Mapping[str, Any]) -> Path:
    return paths.keys() / f"{json_digest(dict(key))}.json"


def _walk(tree: Path) -> list[tuple[Path, os.stat_result]]:
    found = [(tree, tree.lstat())]
    for folder, folders, files in os.walk(tree):
        found += [(path := Path(folder, name), path.lstat()) for name in (*folders, *files)]
    return sorted(found, key=lambda entry: os.fsencode(entry[0]))


def flush(tree: Path) -> None:
    """Everything under `tree` is on the disk when this returns."""
    descriptor = os.open(tree, os.O_RDONLY)
    try:
        if getattr(ctypes.CDLL(None), "syncfs", None) is None or ctypes.CDLL(None).syncfs(descriptor) != 0:
            os.sync()
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    """Remove what a killed builder left behind: old, and no longer held by anybody."""
    for folder in parent.glob(f"{TEMPORARY}*"):
        try:
            if not folder.is_dir() or time.time() - folder.stat().st_mtime < _STALE_SECONDS:
                continue
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            remove_tree(folder)
        finally:
            os.close(descriptor)
