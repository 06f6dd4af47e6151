"""Images of others as base images: from an engine (docker://REF), an OCI folder (oci:DIR), or a TAR.

A TAR is what `docker save` writes, or a plain root file system such as `docker export` writes. The layers are laid over
each other, deletions carried out, and become one layer of the store; environment and working directory come along.
"""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from swegym import paths
from swegym.errors import InputError
from swegym.images import rootfs, store
from swegym.images.unpack import apply_layer
from swegym.types import Image

ROW_PREFIX = "row-"  # of the names of base images that belong to built tasks, and may go when those are not used
_DEFAULT_WORKDIR = "/testbed"


@dataclass(frozen=True, slots=True)
class _Layers:
    """What of an image is needed here: how to open each layer, lowest first, and its configuration."""

    names: tuple[str, ...]
    open: Callable[[str], IO[bytes]]
    configuration: dict[str, Any] = field(default_factory=dict)


Carve = Callable[[Path, str], None]


def import_image(source: str, name: str, carve: Carve | None = None) -> Image:
    """Take an image into the store under a name. Nothing is left half-made when it fails.

    `carve(tree, workdir)` may take something out of the unpacked image before it is stored.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) or name in rootfs.described():
        taken = "is the name of a base that swegym builds" if name in rootfs.described() else "is no plain name"
        raise InputError(f"-n {name}: {taken}. Use lower-case letters, digits, dots and dashes, e.g. my-image.")
    paths.home().mkdir(parents=True, exist_ok=True)
    if source.startswith("docker://"):
        with tempfile.TemporaryFile(dir=paths.home()) as file:
            _save(source.removeprefix("docker://"), file)
            file.seek(0)
            return _import_tar(file, source, name, carve)
    if source.startswith("oci:"):
        return _store(_oci(Path(source.removeprefix("oci:"))), source, name, carve)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{source}: no such file. Give docker://REF, oci:DIR, or a TAR of an image.")
    with path.open("rb") as file:
        return _import_tar(file, source, name, carve)


def _save(reference: str, file: IO[bytes]) -> None:
    """Have the engine write out an image that it has; nothing is pulled."""
    from docker.errors import ImageNotFound

    from swegym.sandbox.docker_engine import connect, engine_host, speaking

    client = connect(engine_host())
    try:
        with speaking(f"saving {reference}"):
            try:
                for chunk in client.images.get(reference).save(named=True):
                    file.write(chunk)
            except ImageNotFound as error:
                remedy = f"Load or pull it first: docker pull {reference}."
                raise InputError(f"docker://{reference}: the engine has no such image. {remedy}") from error
    finally:
        client.close()


def _import_tar(file: IO[bytes], source: str, name: str, carve: Carve | None) -> Image:
    try:
        with tarfile.open(fileobj=file) as archive:
            if "manifest.json" not in archive.getnames():
                file.seek(0)
                return _store(_Layers(("",), lambda _: file), source, name, carve)
            manifest = json.loads(_member(archive, "manifest.json", source).read())[0]
            configuration = json.loads(_member(archive, manifest["Config"], source).read()).get("config") or {}
            layers = _Layers(tuple(manifest["Layers"]), lambda layer: _member(archive, layer, source), configuration)
            return _store(layers, source, name, carve)
    except (tarfile.TarError, EOFError, json.JSONDecodeError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"{source}: this is no image that can be read ({error!r}). Save it again.") from error


def _member(archive: tarfile.TarFile, name: str, source: str) -> IO[bytes]:
    try:
        found = archive.extractfile(name)
    except KeyError:
        found = None
    if found is None:
        raise InputError(f"{source}: {name} is named in its manifest but is not in it. Save the image again.")
    return found


def _oci(folder: Path) -> _Layers:
    if not (folder / "index.json").is_file():
        raise InputError(f"oci:{folder}: no index.json in it. Give a folder in the OCI image layout.")
    try:
        index = json.loads((folder / "index.json").read_text("utf-8"))
        while "manifests" in index:
            index = json.loads(_blob(folder, index["manifests"][0]["digest"]).read_text("utf-8"))
        configuration = json.loads(_blob(folder, index["config"]["digest"]).read_text("utf-8")).get("config") or {}
        layers = tuple(layer["digest"] for layer in index["layers"])
        if any(layer["mediaType"].endswith("zstd") for layer in index["layers"]):
            raise InputError(f"oci:{folder}: layers are packed with zstd. Copy it with gzip layers first.")
    except (json.JSONDecodeError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"oci:{folder}: its index cannot be read ({error!r}). Copy the image again.") from error
    return _Layers(layers, lambda digest: _blob(folder, digest).open("rb"), configuration)


def _blob(folder: Path, digest: str) -> Path:
    if not re.fullmatch(r"sha(256|512):[0-9a-f]+", digest):
        raise InputError(f"oci:{folder}: digest = {digest!r} is malformed. Copy the image again.")
    blob = folder / "blobs" / digest.replace(":", "/")
    if not blob.is_file():
        raise InputError(f"oci:{folder}: {blob.relative_to(folder)} is missing. Copy the image again.")
    return blob


def _store(layers: _Layers, source: str, name: str, carve: Carve | None) -> Image:
    workdir = layers.configuration.get("WorkingDir") or "/"
    workdir = _DEFAULT_WORKDIR if workdir == "/" else workdir.rstrip("/")
    with store.scratch() as folder:
        tree = folder / "tree"
        tree.mkdir()
        for layer in layers.names:
            with layers.open(layer) as stream:
                apply_layer(stream, tree, f"{source} {layer}".strip())
        if carve is not None:
            carve(tree, workdir)
        rootfs.complete(tree, source)
        digest = store.put_layer(tree)
    variables = dict(entry.partition("=")[::2] for entry in layers.configuration.get("Env") or [])
    rootfs.record(name, digest, variables, workdir, source)
    return rootfs.load(name)
