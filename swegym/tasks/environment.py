"""The environment layer: /opt/venv with pytest, coverage and what a task's tests need, and the way there for a package.

It is filled on the host by uv from wheels alone, so that nothing foreign runs, and every version is pinned with all
that it needs: the same recipe gives the same environment tomorrow. Tasks with equal requirements share one layer.
"""

from __future__ import annotations

import configparser
import errno
import os
import platform
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from swegym.errors import DownloadError
from swegym.images import store
from swegym.sandbox.base import Interpreter, interpreter
from swegym.tasks.sources.index import index_settings

VENV = "/opt/venv"
# What every environment holds. New pins change every environment layer, and the digest of every task.
PYTEST = ("iniconfig==2.3.1", "packaging==26.3", "pluggy==1.7.0", "pygments==2.21.0", "pytest==8.4.2")
COVERAGE = ("coverage==7.17.3",)
VARIABLES = {
    "PATH": f"{VENV}/bin:/usr/local/bin:/usr/bin:/bin",
    "VIRTUAL_ENV": VENV,
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}
_FORMAT = 1  # of the layer as a whole; a new one builds all layers anew


def requirements_of(extra: Iterable[str]) -> tuple[str, ...]:
    """All pins of an environment, sorted; an extra pin replaces the standard one of the same package."""
    pins = {canonical_name(pin.partition("==")[0]): pin for pin in (*PYTEST, *COVERAGE, *extra)}
    return tuple(sorted(pins.values()))


def environment_layer(requirements: Sequence[str]) -> tuple[str, bool]:
    """The layer that holds these pins for this machine's interpreter; its digest, and whether it was there already."""
    python = interpreter()
    key = {
        "kind": "environment",
        "format": _FORMAT,
        "requirements": list(requirements),
        "python": platform.python_version(),
        "inside": python.inside,
        "platform": sysconfig.get_platform(),
    }
    return store.layer(key, lambda tree: _fill(tree, requirements, python))


def link_package(tree: Path, package: str, version: str, folders: Iterable[str], workdir: str = "/testbed") -> None:
    """Make a repository's package importable from anywhere, and known by its version, as an editable install does."""
    site = site_packages(tree, interpreter())
    name = canonical_name(package).replace("-", "_")
    lines = [workdir if folder == "." else f"{workdir}/{folder}" for folder in folders]
    metadata = site / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (metadata / "INSTALLER").write_text("swegym\n")
    (site / f"__editable__.{name}-{version}.pth").write_text("\n".join(lines) + "\n")


def site_packages(tree: Path, python: Interpreter) -> Path:
    """Where modules lie in a layer's tree."""
    return tree / VENV.lstrip("/") / "lib" / f"python{python.version}" / "site-packages"


def canonical_name(package: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(package)


def _fill(tree: Path, requirements: Sequence[str], python: Interpreter) -> None:
    venv = tree / VENV.lstrip("/")
    site = site_packages(tree, python)
    (venv / "bin").mkdir(parents=True)
    site.mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(
        f"home = {Path(python.inside).parent}\n"
        f"include-system-site-packages = false\nversion = {platform.python_version()}\n"
    )
    (venv / "bin" / "python").symlink_to(python.inside)
    (venv / "bin" / "python3").symlink_to("python")
    (venv / "bin" / Path(python.inside).name).symlink_to("python")
    _install(site, requirements, python)
    _write_scripts(site, venv / "bin")
    _compile(site, python)


def _install(site: Path, requirements: Sequence[str], python: Interpreter) -> None:
    import uv

    settings = index_settings()
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-progress", "--color", "never"]
    command += ["--python", str(_host_executable(python)), "--target", str(site), "--link-mode", "copy"]
    command += ["--only-binary", ":all:", "--no-deps", *settings.uv_arguments(), *requirements]
    done = subprocess.run(
        command,
        cwd=site,
        env={**os.environ, **settings.uv_environment()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        if f"(os error {errno.ENOSPC})" in said or f"(os error {errno.EDQUOT})" in said:
            # An OSError of this machine, as if this process had written the files itself.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(site))
        raise DownloadError(f"the environment could not be installed ({', '.join(requirements)}): {said}")
    shutil.rmtree(site / "bin", ignore_errors=True)
    (site / ".lock").unlink(missing_ok=True)


def _write_scripts(site: Path, folder: Path) -> None:
    """Console scripts for the interpreter inside; those that the installer wrote name the one outside."""
    for file in sorted(site.glob("*.dist-info/entry_points.txt")):
        parser = configparser.RawConfigParser(delimiters=("=",))
        parser.optionxform = str  # type: ignore[method-assign,assignment]  # names keep their case
        parser.read(file, encoding="utf-8")
        for name, target in parser.items("console_scripts") if parser.has_section("console_scripts") else ():
            module, _, function = target.partition("[")[0].strip().partition(":")
            script = folder / name
            script.write_text(
                f"#!{VENV}/bin/python\nimport sys\nfrom {module} import {function.partition('.')[0]}\n"
                f"sys.exit({function}())\n"
            )
            script.chmod(0o755)


def _compile(site: Path, python: Interpreter) -> None:
    """Byte code for all modules, trusted without looking at times: commands inside write none and start at once."""
    inside = f"{VENV}/lib/{site.parent.name}/site-packages"
    command = [str(_host_executable(python)), "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    # Its exit status says whether every file compiles; some packages carry files that are broken on purpose.
    subprocess.run([*command, "-s", str(site), "-p", inside, str(site)], capture_output=True, check=False)


def _host_executable(python: Interpreter) -> Path:
    return python.prefix / "bin" / Path(python.inside).name
