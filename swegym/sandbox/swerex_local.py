"""How SWE-ReX's local deployment gets the paths of an image: a view of the file system, which is no isolation.

Commands run as the user of this process, with its network, its processes, and its files. Only the folders that an
image brings or that tasks need (/testbed, /opt, /home, /tmp) are private, and bubblewrap lays them over the root.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from swegym.errors import InputError, SandboxUnavailable
from swegym.sandbox import machines
from swegym.sandbox.base import INSIDE, interpreter, stored_layer
from swegym.sandbox.complaints import bubblewrap_path
from swegym.sandbox.removal import clean
from swegym.types import Image

_PRIVATE = ("home/agent", "opt", "tmp")
_SYSTEM = {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr", "var"}


class View:
    """A private folder that commands see as the root, with the rest of this machine in it."""

    def __init__(self, image: Image) -> None:
        layers = [stored_layer(digest) for digest in image.layers]
        workdir = image.workdir.strip("/")
        tops = {path.partition("/")[0] for path in (*_PRIVATE, workdir)}
        tops |= {entry.name for layer in layers for entry in layer.iterdir()}
        if taken := sorted(tops & _SYSTEM):
            raise InputError(
                f"swerex:local cannot show /{taken[0]} of image {image.digest[:12]}: that one is this machine's own. "
                "Use another deployment, e.g. swerex:docker."
            )
        self.roots = sorted(f"/{top}" for top in tops)
        self.folder = machines.current().folder / secrets.token_hex(6)
        self.root = self.folder / "root"
        try:
            for path in (*_PRIVATE, workdir):
                (self.root / path).mkdir(parents=True, exist_ok=True)
            for layer in layers:
                _copy(layer, self.root)
            self.prefix = self._arguments(tops)
        except BaseException:
            self.close()
            raise

    def _arguments(self, tops: set[str]) -> list[str]:
        """The command that runs another one in this view."""
        argv = [bubblewrap_path(), "--bind", str(self.root), "/"]
        for entry in sorted(Path("/").iterdir()):
            if entry.name in tops:
                continue
            if entry.is_symlink():
                argv += ["--symlink", str(entry.readlink()), str(entry)]
            elif entry.is_dir() and os.access(entry, os.X_OK):
                argv += ["--dev-bind", str(entry), str(entry)]
        prefix = interpreter().prefix
        if prefix == Path("/usr"):
            argv += ["--symlink", "/usr", INSIDE]
        else:
            argv += ["--ro-bind", str(prefix), INSIDE]
        return [*argv, "--"]

    def outside(self, path: str) -> str:
        """Where a path of the view lies on this machine."""
        return str(self.root / path.lstrip("/"))

    def close(self) -> None:
        clean(str(self.folder))


def _copy(tree: Path, over: Path) -> None:
    done = subprocess.run(["cp", "-a", "--reflink=auto", f"{tree}/.", str(over)], capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(over, ignore_errors=True)
        raise SandboxUnavailable(f"layer {tree.name[:12]} could not be copied: {done.stderr.strip()[-300:]}")
