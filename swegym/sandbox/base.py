"""Base images of the embedded sandbox: what of the host a machine sees, always read-only.

The base "host" shows this machine's `/usr`, a minimal `/etc` of our own, and the Python interpreter that runs swegym at
/opt/python. Packages installed on the host are masked: a task must not find a newer copy of itself there.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swegym import paths
from swegym.errors import NotBuilt, SandboxUnavailable, UnknownName
from swegym.types import Image

INSIDE = "/opt/python"
HOME = "/home/agent"
USER = 1000

_ETC = {
    "etc/passwd": f"root:x:0:0:root:/root:/bin/sh\nagent:x:{USER}:{USER}:agent:{HOME}:/bin/bash\n",
    "etc/group": f"root:x:0:\nagent:x:{USER}:\n",
    "etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "etc/gitconfig": "[safe]\n\tdirectory = *\n",
    "etc/ld.so.preload": "",
}
# Folders of packages that the host installed, below any folder of the host that is shown.
MOST_READ = 256 << 20  # bytes of one file
_CARRIERS = {"third_party", "site-packages", "dist-packages"}
_DEEP = 3  # folders in folders of a program that are looked at
_PACKAGES = ("lib*/python3*/*-packages", "python3*/*-packages", "lib*/pypy3*/*-packages", "pypy3*/*-packages")
_WHEELS = ("lib*/python3*/ensurepip/_bundled", "python3*/ensurepip/_bundled", "share/python-wheels")
_FOLDERS = {"home/agent": 0o755, "tmp": 0o1777, "var/tmp": 0o1777, "run": 0o755, "opt": 0o755, "testbed": 0o755}


_ENVIRONMENT = {
    "HOME": HOME,
    "USER": "agent",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",
}


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
    masks: tuple[str, ...]  # folders shown empty
    environment: Mapping[str, str] = field(default_factory=dict)


def stored_layer(digest: str) -> Path:
    """The folder of a layer of the store. Raises NotBuilt."""
    layer = paths.layers() / digest
    if not layer.is_dir():
        raise NotBuilt(f"layer {digest[:12]} is not in {paths.layers()}. Build the task again: swegym tasks build.")
    return layer


def refuse_silent_network(image: Image, backend: str) -> None:
    """For backends that cannot give it; a test that needs it would fail for a reason that is nobody's."""
    if image.silent_network:
        raise SandboxUnavailable(f"{backend} cannot drop packets silently, as this task asks. Use bubblewrap.")


def argv_of(command: str | Sequence[str]) -> list[str]:
    """What runs a command: a line by bash, a list as it is."""
    return ["/bin/bash", "-c", command] if isinstance(command, str) else list(command)


def too_large(path: str) -> OSError:
    """What reading a file of more than `MOST_READ` bytes raises."""
    return OSError(errno.EFBIG, f"larger than the {MOST_READ} bytes that can be read at once", path)


def interpreter() -> Interpreter:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Interpreter(Path(sys.base_prefix).resolve(), version, f"{INSIDE}/bin/python{version}")


def load_base(name: str) -> Base:
    """The base of this name: the host, or a root file system in the store."""
    return host_base() if name == "host" else _root_base(name)


def _root_base(name: str) -> Base:
    """A root file system of the store. As with the host, what is in /usr cannot be written."""
    record = paths.images() / f"{name}.json"
    if "/" in name or not record.is_file():
        files = (file for folder in paths.data_folders("images") for file in folder.glob("*/image.toml"))
        described = {file.parent.name for file in files}
        if name in described:
            raise NotBuilt(f"base image {name!r} is not in {paths.home()}. Run: swegym images build {name}.")
        known = {*described, *(file.stem for file in paths.images().glob("*.json"))}
        raise UnknownName.among("base image", name, known, "`swegym images list` shows them.")
    entry = json.loads(record.read_text("utf-8"))
    layer = paths.layers() / entry["layer"]
    if not layer.is_dir():
        raise NotBuilt(f"base image {name!r} is not in {paths.layers()} any more. Build or import it again.")
    binds = [(str(layer / "usr"), "/usr")]
    for top in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
        shown = layer / str((layer / top).readlink()).lstrip("/") if (layer / top).is_symlink() else layer / top
        if shown.is_dir():
            binds.append((str(shown), f"/{top}"))
    for file in ("ld.so.cache", "ld.so.preload"):
        if (layer / "etc" / file).is_file():
            binds.append((str(layer / "etc" / file), f"/etc/{file}"))
    environment = {**_ENVIRONMENT, "PATH": "/usr/local/bin:/usr/bin:/bin", **entry["environment"]}
    return Base(layer, tuple(binds), (), environment)


@functools.cache
def host_base() -> Base:
    python = interpreter()
    layer = _base_layer()
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
    # Read-only, for it names code that every program loads, the machine's init included.
    binds.append((str(layer / "etc/ld.so.preload"), "/etc/ld.so.preload"))
    if python.prefix == Path("/usr"):
        links.append(("/usr", INSIDE))
    else:
        binds.append((str(python.prefix), INSIDE))
    environment = {**_ENVIRONMENT, "PATH": f"{INSIDE}/bin:/usr/bin:/bin"}
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and python.prefix != Path("/usr"):
        environment["LD_LIBRARY_PATH"] = f"{INSIDE}/lib"
    # What is a link on the host is mounted too: a policy could put something else in a link's place, and then no
    # machine would start again over its files, nor run what is meant by /bin/bash.
    binds += [(str(Path("/", target).resolve()), inside) for target, inside in links]
    return Base(layer, tuple(binds), _masks(binds), environment)


@functools.cache
def _bundles(folder: str) -> tuple[str, ...]:
    """Programs in a lib/ folder that carry Python packages, any of which may be the one that a task is about."""
    found = []
    for top in sorted(Path(folder).glob("*")):
        if top.is_symlink() or not top.is_dir() or top.name.startswith("python") or "-linux-" in top.name:
            continue
        for place, folders, _ in os.walk(top):
            if _CARRIERS.intersection(folders):
                found.append(top.name)
                break
            if len(Path(place).relative_to(top).parts) >= _DEEP:
                folders.clear()
    return tuple(found)


def _masks(binds: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What of these mounts is shown empty: installed packages wherever they lie, wheels, and a conda prefix's caches.

    The wheel of pip holds copies of some twenty packages, any of which may be the one that a task is about.
    """
    masks = ["/usr/local"] if Path("/usr/local").is_dir() else []
    for source, inside in binds:
        masks += [f"{inside}/lib/{bundle}" for bundle in _bundles(f"{source}/lib")]
        if Path(source).name == "lib":
            masks += [f"{inside}/{bundle}" for bundle in _bundles(source)]
        for pattern in (*_PACKAGES, *_WHEELS, "pkgs", "envs"):
            for found in Path(source).glob(pattern):
                if found.is_dir() and not found.is_symlink():
                    masks.append(f"{inside}/{found.relative_to(source)}")
    return tuple(dict.fromkeys(masks))


@functools.cache
def kernel_settings() -> tuple[str, ...]:
    """What of /proc a machine must not write: all of it that is no process's own.

    The kernel lets the owner of these files write them, and where swegym runs as root that owner is the machine's user.
    """
    found = []
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit() or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False) or entry.stat(follow_symlinks=False).st_mode & 0o222:
                found.append(entry.path)
    return tuple(sorted(found))


def furnish(tree: Path) -> None:
    """Put in what every machine's root has: the one user, minimal files in /etc, empty folders."""
    for name, text in _ETC.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).unlink(missing_ok=True)  # a link there may lead anywhere
        (tree / name).write_text(text)
    for name, mode in _FOLDERS.items():
        (tree / name).mkdir(parents=True, exist_ok=True)
        (tree / name).chmod(mode)


def host_layer() -> str:
    """Digest of the lowest layer of machines that show this host."""
    return hashlib.sha256(json.dumps([_ETC, _FOLDERS], sort_keys=True).encode()).hexdigest()


def _base_layer() -> Path:
    """The lowest layer, made once per store and content."""
    layer = paths.layers() / host_layer()
    if layer.is_dir():
        return layer
    paths.layers().mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=paths.layers(), prefix=".base-"))
    made.chmod(0o755)
    furnish(made)
    try:
        made.rename(layer)
    except OSError:  # another process was first; the content is the same
        shutil.rmtree(made)
    return layer
