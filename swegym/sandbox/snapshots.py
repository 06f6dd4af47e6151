"""Snapshots that outlive their sandbox: holding, saving, opening elsewhere, and letting go of their frozen layers.

A layer is kept as long as a sandbox stands on it, a process that took or loaded a snapshot of it lives and has not
discarded that, or a file written by `save` names it. What nobody uses is removed: at once where the last use ends in an
orderly way, else when the supervisor of the dead process ends, at the next start, or by `swegym doctor --clean`.

A layer is not flushed to the disk: it survives the death of every process, not that of the machine.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from swegym import paths
from swegym.errors import InputError, SandboxError
from swegym.sandbox import frozen, merging
from swegym.sandbox.removal import clean
from swegym.types import Image, Snapshot

FORMAT = "swegym-snapshot/1"
# bubblewrap hands all paths to mount(2) in one page, each with /oldroot before it, and ends with an error past it.
_MOST_OPTIONS = 3600
_MOST_LAYERS = 16  # each costs every look-up of a missing name a look into it

_lock = threading.Lock()
_leases: dict[Path, tuple[str, int]] = {}  # of this process, for each store it has used
_holds: Counter[Path] = Counter()  # how often this process uses a layer's folder
_taken: Counter[tuple[Path, ...]] = Counter()  # snapshots that this process has and has not discarded


def to_json(snapshot: Snapshot) -> str:
    """The snapshot as text. It keeps nothing: whoever opens it must do so while this process has it, or `save` it."""
    names = []
    for tree in snapshot.layers:
        if tree.parent.parent != paths.snapshots():
            raise InputError(f"a snapshot with layer {tree} exists in this process only: its backend stores none.")
        names.append(tree.parent.name)
    image = dataclasses.asdict(snapshot.image)
    return json.dumps({"format": FORMAT, "image": image, "layers": names}, indent=1)


def from_json(text: str, origin: str | Path = "snapshot") -> Snapshot:
    """The snapshot of a text by `to_json`, kept for this process until `discard`. Its layers are in this store."""
    try:
        data = json.loads(text)
        image = data["image"] | {"layers": tuple(data["image"]["layers"])}
        names = [name for name in data["layers"] if re.fullmatch("[0-9a-f]{12}", name)]
        layers = tuple(paths.snapshots() / name / "tree" for name in names)
        snapshot = Snapshot(Image(**image), layers)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{origin}: not a snapshot ({error!r}). Write one with swegym.sandbox.snapshots.save."
        ) from None
    if len(names) != len(data["layers"]):
        raise InputError.at(origin, "layers", data["layers"], "not names of layers", "Take the snapshot again.")
    if data.get("format") != FORMAT:
        raise InputError.at(origin, "format", data.get("format"), f"not {FORMAT}", "Take the snapshot again.")
    keep(snapshot)
    return snapshot


def save(snapshot: Snapshot, path: str | Path) -> None:
    """Write the snapshot to a file; its layers are kept as long as that file is there and not moved."""
    place = Path(path).absolute()
    text = to_json(snapshot)
    staged = place.with_name(f".{place.name}.{os.getpid()}")
    staged.write_text(text, "utf-8")
    staged.replace(place)
    name = f"file-{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}"
    try:
        frozen.use(paths.snapshots(), [tree.parent.name for tree in snapshot.layers], name, str(place))
    except FileNotFoundError as error:
        place.unlink()
        raise _gone(error) from None


def load(path: str | Path) -> Snapshot:
    """Read a snapshot that `save` wrote, in this process or another."""
    try:
        text = Path(path).read_text("utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such snapshot. Check the path.") from None
    return from_json(text, path)


def keep(snapshot: Snapshot) -> None:
    """Keep a snapshot's layers until `discard`, or until this process ends."""
    hold(snapshot.layers)
    with _lock:
        _taken[snapshot.layers] += 1


def discard(snapshot: Snapshot) -> None:
    """Let go of a snapshot. What stands on it goes on; what nobody else uses of it is removed. Twice is fine."""
    with _lock:
        if _taken[snapshot.layers] <= 0:
            return
        _taken[snapshot.layers] -= 1
        if not _taken[snapshot.layers]:
            del _taken[snapshot.layers]
    let_go(snapshot.layers)


def collect() -> list[str]:
    """Remove every layer that nobody uses; returns their names."""
    return frozen.collect(paths.snapshots(), clean)


# --- for backends -----------------------------------------------------------------------------------------------------


def new_layer() -> Path:
    """Where to put a new layer's tree, held once by this process: move a folder there."""
    root = paths.snapshots()
    with _lock:
        folder = frozen.create(root, _lease(root))
        _holds[folder] += 1
    return folder / "tree"


def hold(trees: Iterable[Path]) -> None:
    """Use layers once more. Raises SandboxError when one is gone."""
    folders = _stored(trees)
    with _lock:
        for root in {folder.parent for folder in folders}:
            names = [folder.name for folder in folders if folder.parent == root]
            try:
                frozen.use(root, names, _lease(root))
            except FileNotFoundError as error:
                raise _gone(error) from None
        _holds.update(folders)


def let_go(trees: Iterable[Path]) -> None:
    """Use layers once less; remove those that nobody uses any more."""
    unused: list[Path] = []
    with _lock:
        for folder in _stored(trees):
            _holds[folder] -= 1
            if _holds[folder] > 0:
                continue
            del _holds[folder]
            if folder.parent in _leases:
                (folder / "uses" / _leases[folder.parent][0]).unlink(missing_ok=True)
                unused.append(folder)
    for root in {folder.parent for folder in unused}:
        frozen.collect(root, clean, [folder.name for folder in unused if folder.parent == root])


def is_long(trees: Sequence[Path], frozen_count: int) -> bool:
    """Whether so many layers should be merged before one more is put on top."""
    escaped = (str(tree).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,") for tree in trees)
    return frozen_count >= _MOST_LAYERS or sum(len(os.fsencode(text)) + 9 for text in escaped) > _MOST_OPTIONS


def merged(trees: Sequence[Path]) -> Path:
    """A new layer that does what `trees`, lowest first, do one after another; held once by this process."""
    return _made("merge", *trees)


def copied(tree: Path) -> Path:
    """A new layer like one that is being written to; each file as it is when it is reached. Held as by `merged`."""
    return _made("copy", tree)


def _made(verb: str, *trees: Path) -> Path:
    target = new_layer()
    argv = [sys.executable, "-I", "-S", "-B", merging.__file__, verb, str(target), *map(str, trees)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, env={"PATH": os.environ.get("PATH", os.defpath)})
        if done.returncode != 0:
            problem = done.stderr.strip()[-500:]
            raise SandboxError(f"a layer could not be written to {target.parent}: {problem}. Is the disk full?")
    except BaseException:
        let_go([target])
        raise
    return target


def _stored(trees: Iterable[Path]) -> list[Path]:
    return [tree.parent for tree in trees if tree.name == "tree" and tree.parent.parent.name == "snapshots"]


def _gone(error: FileNotFoundError) -> SandboxError:
    return SandboxError(
        f"a layer of this snapshot was removed: {error}. It was discarded, or the process that took it has ended. "
        "Keep a snapshot longer with swegym.sandbox.snapshots.save."
    )


def _lease(root: Path) -> str:
    if root not in _leases:
        _leases[root] = frozen.take_lease(root)
    return _leases[root][0]


@atexit.register
def _end_leases() -> None:
    """In order, before the supervisor ends and collects what is left."""
    for root, (name, descriptor) in _leases.items():
        with contextlib.suppress(OSError):
            (root / ".leases" / name).unlink(missing_ok=True)
        os.close(descriptor)
    _leases.clear()


def _forget_after_fork() -> None:
    """A child has its parent's snapshots as values; it holds their layers only when it opens or loads them."""
    global _lock
    _lock = threading.Lock()
    for _, descriptor in _leases.values():
        os.close(descriptor)
    _leases.clear()
    _holds.clear()
    _taken.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
