"""A merged /usr: older root file systems keep programs and libraries in /bin, /sbin and /lib*, beside /usr.

Machines show a root's /usr read-only and the rest through links into it, as every current distribution has it. A root
that is not so becomes so here: what lies in /bin goes to /usr/bin, and /bin becomes a link to it.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from swegym.images import store

TOPS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def merge_usr(tree: Path) -> None:
    """Move the folders of `TOPS` that are no links into /usr of the root file system at `tree`."""
    for top in TOPS:
        if (tree / top).is_dir() and not (tree / top).is_symlink():
            _move(tree, top, f"usr/{top}")
            (tree / top).symlink_to(f"usr/{top}")


def _move(tree: Path, old: str, new: str) -> None:
    """Move a folder's entries into another one, which wins only where the old entry is nothing but a link to it."""
    (tree / new).mkdir(parents=True, exist_ok=True)
    for source in sorted((tree / old).iterdir()):
        name, target = source.name, tree / new / source.name
        if source.is_dir() and not source.is_symlink():
            if target.is_symlink():
                target.unlink()
            _move(tree, f"{old}/{name}", f"{new}/{name}")
            continue
        if source.is_symlink():
            aim = posixpath.normpath(posixpath.join("/", old, source.readlink()))
            if aim == f"/{new}/{name}":
                source.unlink()
                continue
            inside = posixpath.dirname(aim) == f"/{old}"  # a neighbour, which moves along
            source.unlink()
            source.symlink_to(posixpath.basename(aim) if inside else aim)
        if target.is_dir() and not target.is_symlink():
            store.remove_tree(target)
        source.replace(target)
    (tree / old).rmdir()
