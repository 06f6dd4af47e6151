"""Root file systems as base images: made by mmdebstrap for a Debian suite, or taken over from elsewhere.

Each is one layer of the store with a record of its name, `images/<name>.json`, so that `Image.base` may name it. What a
machine needs of its root is put in: the one user, minimal /etc files, and empty folders.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swegym import paths
from swegym.errors import InputError, TaskError, UnknownName
from swegym.images import store
from swegym.images.merged import merge_usr
from swegym.images.unpack import apply_layer
from swegym.sandbox import base, machines
from swegym.types import Image

_FORMAT = 2  # of the layers made here; another number builds them anew
_TIMEOUT = 3600.0
_NEEDED = ("usr/bin/bash", "usr/bin/sh", "usr/bin/env", "usr/bin/sleep", "usr/bin/cat")
_UNWANTED = ("man", "doc", "info", "locale")


def described() -> dict[str, dict[str, Any]]:
    """The base images that images/*/image.toml describe, by name."""
    found: dict[str, dict[str, Any]] = {}
    for folder in paths.data_folders("images"):
        for file in sorted(folder.glob("*/image.toml")):
            found.setdefault(file.parent.name, tomllib.loads(file.read_text("utf-8")))
    return found


def recorded() -> dict[str, dict[str, Any]]:
    """The root file systems in the store, by name."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(paths.images().glob("*.json"))}


def load(name: str) -> Image:
    """An image of just this base. Raises NotBuilt or UnknownName where it is not in the store."""
    base.load_base(name)
    return store.make_image((), {}, str(recorded().get(name, {}).get("workdir", "/testbed")), name)


def build(name: str) -> bool:
    """Make a described base; returns whether its layer was there already."""
    known = described()
    if name not in known:
        raise UnknownName.among("base image", name, known)
    recipe = known[name]
    if recipe["kind"] == "host":
        return True
    key = {
        "kind": "debian root file system",
        "format": _FORMAT,
        "suite": recipe["suite"],
        "packages": recipe["packages"],
        "machine": os.uname().machine,
    }
    layer, cached = store.layer(key, lambda tree: _bootstrap(tree, recipe["suite"], recipe["packages"]))
    record(name, layer, {}, recipe["workdir"], f"Debian {recipe['suite']}")
    return cached


def record(name: str, layer: str, environment: Mapping[str, str], workdir: str, source: str) -> None:
    """Give a layer of the store a name under which it is a base image."""
    entry = {"layer": layer, "environment": dict(environment), "workdir": workdir, "source": source}
    store.write_atomically(paths.images() / f"{name}.json", json.dumps(entry, indent=1).encode())


def complete(tree: Path, name: str) -> None:
    """Put in what a machine needs of its root. Raises InputError where its programs are missing."""
    merge_usr(tree)
    missing = [program for program in _NEEDED if not os.path.lexists(tree / program)]
    if missing:
        raise InputError(
            f"{name}: lacks /{', /'.join(missing)}; machines need bash and GNU coreutils. Use another image."
        )
    for lists in ("etc/shadow", "etc/shadow-", "etc/gshadow", "etc/gshadow-", "etc/ssh", "etc/ssl/private"):
        target = tree / lists
        if target.is_dir() and not target.is_symlink():
            store.remove_tree(target)
        else:
            target.unlink(missing_ok=True)
    for folder in ("run", "tmp", "var/tmp", "var/cache/apt", "var/lib/apt/lists", "var/log"):
        if (tree / folder).is_dir() and not (tree / folder).is_symlink():
            store.remove_tree(tree / folder)
            (tree / folder).mkdir(parents=True)
    base.furnish(tree)
    if not os.path.lexists(tree / "opt/python"):
        (tree / "opt/python").symlink_to("/usr")


def _bootstrap(tree: Path, suite: str, packages: list[str]) -> None:
    if shutil.which("mmdebstrap") is None:
        raise TaskError("mmdebstrap is not installed: apt-get install mmdebstrap (Debian, Ubuntu), then try again.")
    with _roomy() as folder:
        folder.chmod(0o755)  # without root, mmdebstrap enters it as another user
        work = folder / "work"
        work.mkdir()
        work.chmod(0o1777)
        packed = work / "root.tar"
        command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", "--dpkgopt=force-unsafe-io"]
        command += [f"--dpkgopt=path-exclude=/usr/share/{unwanted}/*" for unwanted in _UNWANTED]
        command += [suite, str(packed), *_mirror()]
        variables = {**os.environ, "TMPDIR": str(work), "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT, env=variables
            )
        except subprocess.TimeoutExpired as error:
            raise TaskError(f"mmdebstrap {suite}: not done after {_TIMEOUT:.0f} s. Does the mirror answer?") from error
        if done.returncode != 0:
            raise TaskError(
                f"mmdebstrap {suite} failed: {done.stderr.strip()[-1500:]}\nIt needs a Debian mirror, and root or user "
                "namespaces with subordinate ids (package uidmap, a line for this user in /etc/subuid)."
            )
        with packed.open("rb") as stream:
            apply_layer(stream, tree, suite)
    complete(tree, suite)


@contextlib.contextmanager
def _roomy() -> Iterator[Path]:
    """A folder to unpack in: memory where there is enough, for dpkg flushes every file that it writes.

    If this process is killed, it goes with the next sweep of the machines, or of the store.
    """
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 3 << 30):
        with store.scratch() as folder:
            yield folder
        return
    place = machines.scratch_place(in_memory=True)
    place.chmod(0o755)
    with tempfile.TemporaryDirectory(prefix="root-", dir=place) as made:
        yield Path(made)


def _mirror() -> list[str]:
    """The Debian mirror that apt uses here; none where it cannot be told, and mmdebstrap uses its own."""
    if shutil.which("apt-get") is None:
        return []
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    listed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60).stdout
    mirrors = [line for line in listed.splitlines() if line.rstrip("/").endswith("/debian")]
    return mirrors[:1]
