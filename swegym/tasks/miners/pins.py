"""Pins: requirements with all that they need, each at one exact version, and the pytest plugins among them."""

from __future__ import annotations

import configparser
import subprocess
from collections.abc import Iterable, Sequence

from swegym.errors import TaskError
from swegym.images import store
from swegym.sandbox.base import interpreter
from swegym.tasks import environment
from swegym.tasks.sources.index import index_settings


def pinned(wanted: Iterable[str], package: str) -> tuple[str, ...]:
    """The requirements with all that they need, as wheels for this interpreter, without what every environment has.

    Raises:
        TaskError: no set of versions fits, or one of them exists as source only.
    """
    import uv

    wanted = list(wanted)
    if not wanted:
        return ()
    standard = environment.requirements_of(())
    command = [uv.find_uv_bin(), "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"]
    command += ["--only-binary", ":all:", *index_settings().uv_arguments()]
    lines = "\n".join([*wanted, *(pin for pin in standard if pin.startswith("pytest=="))])
    done = subprocess.run(command, input=lines, text=True, capture_output=True)
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise TaskError(f"what its tests need cannot be had as wheels: {said[-300:]}")
    have = {pin.partition("==")[0] for pin in standard} | {environment.canonical_name(package)}
    found = [line.partition(" ")[0] for line in done.stdout.splitlines() if "==" in line]
    return tuple(pin for pin in found if environment.canonical_name(pin.partition("==")[0]) not in have)


def plugins_of(pins: Sequence[str]) -> tuple[str, ...]:
    """The names under which the pytest plugins among these pins are loaded; their environment layer is built."""
    layer, _ = environment.environment_layer(environment.requirements_of(pins))
    site = environment.site_packages(store.layer_path(layer), interpreter())
    names = []
    for file in sorted(site.glob("*.dist-info/entry_points.txt")):
        parser = configparser.RawConfigParser(delimiters=("=",))
        parser.optionxform = str  # type: ignore[method-assign,assignment]  # names keep their case
        parser.read(file, encoding="utf-8")
        if file.parent.name.lower().startswith("pytest") and parser.has_section("pytest11"):
            names += [name for name, _ in parser.items("pytest11")]
    return tuple(names)
