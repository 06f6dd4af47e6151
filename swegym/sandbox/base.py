"""Base images of the embedded sandbox: what of the host a machine sees, always read-only.

The base "host" shows this machine's `/usr`, a minimal `/etc` of our own, and the Python interpreter that runs swegym at
/opt/python. Packages installed on the host are masked: a task must not find a newer copy of itself there.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swegym import paths
from swegym.errors import UnknownName

INSIDE = "/opt/python"
HOME = "/home/agent"
USER = 1000

_ETC = {
    "etc/passwd": f"root:x:0:0:root:/root:/bin/sh\nagent:x:{USER}:{USER}:agent:{HOME}:/bin/bash\n",
    "etc/group": f"root:x:0:\nagent:x:{USER}:\n",
    "etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "etc/gitconfig": "[safe]\n\tdirectory = *\n",
}
_FOLDERS = {"home/agent": 0o755, "tmp": 0o1777, "var/tmp": 0o1777, "run": 0o755, "opt": 0o755, "testbed": 0o755}


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python that machines share with this process."""

    prefix: Path  # on the host
    version: str  # "3.11"
    inside: str  # path of its executable in a machine


@dataclass(frozen=True, slots=True)
class Base:
    """How a machine's root is composed, besides the image's own layers."""

    layer: Path  # lowest layer: /etc and empty folders
    binds: tuple[tuple[str, str], ...]  # host path, path inside; read-only
    links: tuple[tuple[str, str], ...]  # target, path inside
    masks: tuple[str, ...]  # folders shown empty
    environment: Mapping[str, str] = field(default_factory=dict)


def interpreter() -> Interpreter:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Interpreter(Path(sys.base_prefix).resolve(), version, f"{INSIDE}/bin/python{version}")


def load_base(name: str) -> Base:
    if name != "host":
        raise UnknownName.among("base image", name, ["host"])
    return host_base()


@functools.cache
def host_base() -> Base:
    python = interpreter()
    binds = [("/usr", "/usr")]
    links = []
    for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
        place = Path("/", name)
        if place.is_symlink():
            links.append((str(place.readlink()), str(place)))
        elif place.is_dir():
            binds.append((str(place), str(place)))
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"):
        if Path("/etc", name).exists():
            binds.append((f"/etc/{name}", f"/etc/{name}"))
    masks = [*map(str, Path("/usr/lib").glob("python3*/dist-packages")), "/usr/local"]
    environment = {
        "PATH": f"{INSIDE}/bin:/usr/bin:/bin",
        "HOME": HOME,
        "USER": "agent",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if python.prefix == Path("/usr"):
        links.append(("/usr", INSIDE))
    else:
        binds.append((str(python.prefix), INSIDE))
        masks.append(f"{INSIDE}/lib/python{python.version}/site-packages")
        if sysconfig.get_config_var("Py_ENABLE_SHARED"):
            environment["LD_LIBRARY_PATH"] = f"{INSIDE}/lib"
    existing = tuple(mask for mask in masks if mask.startswith(INSIDE) or Path(mask).is_dir())
    return Base(_base_layer(), tuple(binds), tuple(links), existing, environment)


def _base_layer() -> Path:
    """The lowest layer, made once per store and content."""
    digest = hashlib.sha256(json.dumps([_ETC, _FOLDERS], sort_keys=True).encode()).hexdigest()
    layer = paths.layers() / digest
    if layer.is_dir():
        return layer
    paths.layers().mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=paths.layers(), prefix=".base-"))
    made.chmod(0o755)
    for name, text in _ETC.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    for name, mode in _FOLDERS.items():
        (made / name).mkdir(parents=True, exist_ok=True)
        (made / name).chmod(mode)
    try:
        made.rename(layer)
    except OSError:  # another process was first; the content is the same
        shutil.rmtree(made)
    return layer
