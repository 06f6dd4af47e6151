"""Interpreters: which Pythons this host has, which one fits a project of a given day, and one as an image layer.

Looked for on PATH, among pyenv's versions and among those that uv has installed. Nothing is downloaded.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from swegym.errors import TaskError
from swegym.images import store

# From when on most packages had wheels for an interpreter; before, an environment for it cannot be resolved.
FIRST_WHEELS = {
    "3.9": datetime.date(2021, 6, 1),
    "3.10": datetime.date(2022, 2, 1),
    "3.11": datetime.date(2023, 2, 1),
    "3.12": datetime.date(2024, 2, 1),
    "3.13": datetime.date(2025, 2, 1),
    "3.14": datetime.date(2026, 2, 1),
}
_MOST_COMPATIBLE = "3.9"  # runs nearly all that was written for 3.x before, and is the oldest with current tools
_LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "lib2to3/tests", "__pycache__")
_FORMAT = 1
_FACTS = (
    "import json, sys, sysconfig; print(json.dumps([sys.version.split()[0], sys.base_prefix, "
    "bool(sysconfig.get_config_var('Py_ENABLE_SHARED'))]))"
)


@dataclass(frozen=True, slots=True)
class Python:
    """One interpreter of this host."""

    minor: str  # "3.9"
    version: str  # "3.9.18"
    prefix: Path  # where it is installed
    shared: bool  # it needs a libpython that lies there

    @property
    def of_system(self) -> bool:
        """It lies in /usr, which machines see anyway."""
        return self.prefix == Path("/usr")

    @property
    def inside(self) -> str:
        """Its executable in an image."""
        return f"/usr/bin/python{self.minor}" if self.of_system else f"/opt/pythons/{self.minor}/bin/python{self.minor}"


@functools.cache
def available() -> dict[str, Python]:
    """The interpreters of this host by minor version; the newest patch release of each."""
    found: dict[str, Python] = {}
    for executable in _candidates():
        python = _look(executable)
        if python is None:
            continue
        known = found.get(python.minor)
        # One of its own before the system's, which lacks parts (venv, headers) on some distributions.
        if known is None or (not python.of_system, _key(python.version)) > (not known.of_system, _key(known.version)):
            found[python.minor] = python
    return dict(sorted(found.items(), key=lambda item: _key(item[0])))


def choose(
    day: datetime.date, requires: str | None, classified: Iterable[str], known: Iterable[str] | None = None
) -> str:
    """The minor version for a project of that day.

    Of what it says it runs on, the newest that was a year old then; projects older than that get 3.9 where they allow
    it. Raises `TaskError` where this host has no interpreter that the project allows.
    """
    usable = [minor for minor in (available() if known is None else known) if minor.startswith("3.")]
    allowed = [minor for minor in usable if _allows(requires, minor)]
    if not allowed:
        raise TaskError(
            f"the project requires Python {requires or '3'}, and this host has {', '.join(usable) or 'none'}. "
            "Install one (pyenv, uv python install), or name another by `python` in the overrides."
        )
    floor = _key(_MOST_COMPATIBLE)
    year_old = day - datetime.timedelta(days=365)
    settled = [
        minor
        for minor in allowed
        if _key(minor) <= floor or FIRST_WHEELS.get(minor, datetime.date.max) - datetime.timedelta(120) <= year_old
    ]
    newest_classified = max((_key(minor) for minor in classified), default=None)
    if newest_classified is not None and newest_classified > floor:
        settled = [minor for minor in settled if _key(minor) <= newest_classified] or settled
    return max(settled or allowed[:1], key=_key)


def layer(python: Python) -> str | None:
    """The layer that holds an interpreter without what no test needs; None for one of the system's."""
    if python.of_system:
        return None
    key = {
        "kind": "interpreter",
        "format": _FORMAT,
        "version": python.version,
        "prefix": str(python.prefix),
        "machine": os.uname().machine,
    }
    digest, _ = store.layer(key, lambda tree: _copy(python, tree))
    return digest


def _copy(python: Python, tree: Path) -> None:
    target = tree / "opt/pythons" / python.minor
    library = f"python{python.minor}"

    def unwanted(folder: str, names: list[str]) -> set[str]:
        inside = os.path.relpath(folder, python.prefix / "lib" / library)
        left = {name for name in names if os.path.normpath(f"{inside}/{name}") in _LEFT_OUT}
        return left | {name for name in names if name.endswith(".a") or name == "__pycache__"}

    for part in ("bin", "lib", "include"):
        if (python.prefix / part).is_dir():
            shutil.copytree(python.prefix / part, target / part, symlinks=True, ignore=unwanted)
    for script in (target / "bin").iterdir():
        if not script.name.startswith("python"):
            script.unlink()
    (target / "lib" / library / "site-packages").mkdir(exist_ok=True)
    compiled = ["-m", "compileall", "-q", "-s", str(target), "-p", f"/opt/pythons/{python.minor}"]
    subprocess.run([python.prefix / "bin" / library, "-I", *compiled, str(target / "lib")], capture_output=True)
    if python.shared:
        # Its executable names the folder of its libpython as it was on the host.
        link = tree / str(python.prefix).lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"/opt/pythons/{python.minor}")


def _candidates() -> list[Path]:
    found: list[Path] = []
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found += sorted(root.glob("versions/*/bin/python3.*"))
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and Path(folder) != root / "shims" and Path(folder).is_dir():
            found += sorted(Path(folder).glob("python3.*"))
    found += _of_uv()
    return [path for path in found if re.fullmatch(r"python3\.\d+", path.name)]


def _of_uv() -> list[Path]:
    import uv

    command = [uv.find_uv_bin(), "python", "list", "--only-installed", "--offline", "--output-format", "json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    try:
        entries = json.loads(done.stdout) if done.returncode == 0 else []
    except json.JSONDecodeError:
        return []
    return [
        Path(entry["path"])
        for entry in entries
        if entry.get("implementation") == "cpython" and entry.get("path") and ".pyenv/shims" not in entry["path"]
    ]


def _look(executable: Path) -> Python | None:
    try:
        done = subprocess.run([executable, "-I", "-c", _FACTS], capture_output=True, text=True, timeout=30)
        version, prefix, shared = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return Python(".".join(version.split(".")[:2]), version, Path(prefix).resolve(), shared)


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _allows(requires: str | None, minor: str) -> bool:
    if not requires:
        return True
    try:
        return SpecifierSet(requires).contains(f"{minor}.30")  # a late patch release: ">=3.6.1" allows 3.6
    except InvalidSpecifier:
        return True
