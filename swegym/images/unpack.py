"""Unpacking root file systems: one or more tar layers, lowest first, into one folder. Nothing leads out of it.

Deletions are carried out, so that the folder holds what a container would show. Every file becomes readable for the one
user that a machine has; owners, devices and set-user-id bits are dropped, modification times are kept.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from swegym.errors import InputError
from swegym.images.store import remove_tree

_DELETED, _OPAQUE = ".wh.", ".wh..wh..opq"


def apply_layer(stream: IO[bytes], tree: Path, name: str) -> None:
    """Unpack one tar layer, compressed or not, over `tree`. Raises InputError for one that is damaged or leads out."""
    new: set[Path] = set()
    try:
        with tarfile.open(fileobj=stream, mode="r:*") as archive:
            for entry in archive:
                _apply(archive, entry, tree, new, name)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise InputError(f"{name}: this is no tar archive that can be read: {error}. Save the image again.") from error


def _apply(archive: tarfile.TarFile, entry: tarfile.TarInfo, tree: Path, new: set[Path], name: str) -> None:
    place = _inside(tree, entry.name, name)
    if place == tree:
        return
    if place.name == _OPAQUE:
        for below in list(place.parent.iterdir()):
            if below not in new:
                _remove(below)
        return
    if place.name.startswith(_DELETED):
        _remove(place.parent / place.name.removeprefix(_DELETED))
        return
    if entry.isdir():
        if place.is_symlink() or not place.is_dir():
            _remove(place)
            place.mkdir()
        place.chmod(0o755 | entry.mode & 0o1777)
    else:
        _remove(place)
        if entry.issym():
            place.symlink_to(entry.linkname)
        elif entry.islnk():
            target = _inside(tree, entry.linkname, name)
            if target.is_symlink() or not target.is_file():
                raise InputError(f"{name}: {entry.name} is a link to {entry.linkname}, which is not in it.")
            os.link(target, place)
        elif entry.isfile():
            content = archive.extractfile(entry)
            assert content is not None
            with place.open("wb") as file:
                while data := content.read(1 << 20):
                    file.write(data)
            place.chmod(0o644 | entry.mode & 0o777)
            os.utime(place, (entry.mtime, entry.mtime))
        else:
            return  # a device or a pipe: no image needs one
    new.update({place, *place.parents})


def _inside(tree: Path, member: str, name: str) -> Path:
    """Where a member belongs; its folders are there afterwards. No part of the way may be a link or lead upwards."""
    parts = [part for part in PurePosixPath("/", member).parts[1:] if part != "."]
    if ".." in parts:
        raise InputError(f"{name}: the member {member!r} leads out of it. Do not use this archive.")
    place = tree
    for part in parts[:-1]:
        place /= part
        if place.is_symlink():
            raise InputError(f"{name}: the member {member!r} goes through the link {place.relative_to(tree)}.")
        if not place.is_dir():
            place.mkdir()
    return place / parts[-1] if parts else tree


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        remove_tree(place)
    else:
        place.unlink(missing_ok=True)
