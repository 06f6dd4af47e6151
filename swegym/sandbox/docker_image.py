"""Images of the store as images of a container engine: one layer each, so that the engine shares what the store shares.

The archive is the one that `docker save` writes and `docker load` reads. Everything in it belongs to the machine's one
user, as it looks from within an embedded machine too.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from swegym import paths
from swegym.sandbox.base import USER, load_base, stored_layer
from swegym.sandbox.docker_engine import speaking
from swegym.types import Image, Snapshot

REPOSITORY = "swegym/image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def trees_of(image: Image) -> list[Path]:
    """The folders of an image, lowest first."""
    return [load_base(image.base).layer, *(stored_layer(digest) for digest in image.layers)]


def ensure(client: Any, source: Image | Snapshot, mounted: Sequence[str] = ()) -> str:
    """The tag under which the engine has this image; it is handed over where it is not there yet. Nothing is pulled.

    What lies below the `mounted` folders is left out: a mount will show it.
    """
    from docker.errors import ImageNotFound

    image = source.image if isinstance(source, Snapshot) else source
    trees = [*trees_of(image), *(source.layers if isinstance(source, Snapshot) else ())]
    content = json.dumps([[str(tree) for tree in trees], sorted(mounted), USER])
    tag = f"{REPOSITORY}:{hashlib.sha256(content.encode()).hexdigest()[:32]}"
    with speaking(f"looking for image {tag}"):
        try:
            client.api.inspect_image(tag)
            return tag
        except ImageNotFound:
            pass
    paths.home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=paths.home()) as file:
        write_archive(file, trees, tag, without=mounted)
        file.seek(0)
        with speaking(f"handing over image {tag}"):
            for _ in client.api.load_image(file):
                pass
    return tag


def write_archive(
    file: IO[bytes],
    trees: Sequence[Path],
    tag: str,
    *,
    without: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    workdir: str = "/",
    labels: Mapping[str, str] | None = None,
) -> None:
    """Write what `docker load` reads: a layer for each tree, lowest first, and a configuration."""
    names, digests = [], []
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number, tree in enumerate(trees):
            with tempfile.TemporaryFile(dir=paths.home()) as packed:
                write_layer(packed, tree, without)
                size = packed.tell()
                packed.seek(0)
                digests.append(hashlib.file_digest(packed, "sha256").hexdigest())
                names.append(f"{number:03}-{digests[-1]}/layer.tar")
                packed.seek(0)
                entry = tarfile.TarInfo(names[-1])
                entry.size = size
                archive.addfile(entry, packed)
        configuration = {
            "architecture": _ARCHITECTURES.get(os.uname().machine, os.uname().machine),
            "os": "linux",
            "config": {
                "Env": [f"{name}={value}" for name, value in (environment or {}).items()],
                "WorkingDir": workdir,
                "User": f"{USER}:{USER}",
                "Cmd": ["/bin/bash"],
                "Labels": dict(labels or {}),
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        }
        data = json.dumps(configuration).encode()
        name = f"{hashlib.sha256(data).hexdigest()}.json"
        _add(archive, name, data)
        _add(archive, "manifest.json", json.dumps([{"Config": name, "RepoTags": [tag], "Layers": names}]).encode())


def write_layer(file: IO[bytes], tree: Path, without: Sequence[str] = ()) -> None:
    """Write one layer; what overlayfs notes as deleted becomes what the format notes as deleted."""

    def owned(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if entry.name[1:] in without:
            return None
        entry.uid = entry.gid = USER
        entry.uname = entry.gname = ""
        if not (entry.isreg() or entry.isdir() or entry.issym() or entry.islnk() or entry.isfifo()):
            return None  # a device or a socket: nothing that a machine starts from
        return entry

    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(tree, ".", filter=owned)
        for folder, folders, files in os.walk(tree):
            folders[:] = [name for name in folders if f"/{Path(folder, name).relative_to(tree)}" not in without]
            inside_tree = Path(folder).relative_to(tree)
            if _opaque(Path(folder)):
                _add(archive, f"./{inside_tree}/.wh..wh..opq", b"")
            for name in (*folders, *files):
                if _deleted(Path(folder, name)):
                    _add(archive, f"./{inside_tree}/.wh.{name}", b"")


def _deleted(path: Path) -> bool:
    """Whether overlayfs notes here that a name of a lower layer is gone."""
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _opaque(folder: Path) -> bool:
    """Whether overlayfs shows this folder without what lies below it."""
    for name in ("user.overlay.opaque", "trusted.overlay.opaque"):
        try:
            if os.getxattr(folder, name) == b"y":
                return True
        except OSError:
            continue
    return False


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.uid, entry.gid = len(data), USER, USER
    archive.addfile(entry, io.BytesIO(data))
