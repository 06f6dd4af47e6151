"""Installing a project as of a day: a virtual environment in which its tests run as they did when they were written.

Packages are resolved as the index stood on that day, so old code gets what it was written against without any pins of
ours. Only tools that build packages are newer, for editable installs need what came later. What a project says of its
tests' requirements is tried from the most to the least; what was taken is part of the result.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swegym.errors import TaskError
from swegym.tasks import interpreters
from swegym.tasks.environment import VENV
from swegym.tasks.interpreters import Python
from swegym.tasks.project_files import Project
from swegym.tasks.row_recipe import BuildOptions
from swegym.tasks.sources.index import index_settings
from swegym.tasks.workshop import UV, Workshop

PYTHON = f"{VENV}/bin/python"
# Taken as of this day whatever the project's own is: editable installs need them, and pip's own index never shows why.
_TOOLS = ("setuptools", "wheel", "pip", "setuptools-scm", "tomli", "flit-core", "hatchling", "hatch-vcs", "poetry-core")
_TOOLS_DAY = "2024-06-01"
_UPLOADED_AGAIN = {"atomicwrites": "2022-08-01"}  # all its files, so that none is as old as it was
_SETUPTOOLS = "setuptools<70"  # the last with what old code imports from it
_OLDEST_PYTEST = [4, 6]  # it prints a line for each test when asked with -rA, as all since do
_PYTEST = "pytest>=4.6"
_LOOK = r"""
import json, sys
from importlib import metadata
root = sys.argv[1]
found, plugins = {}, []
for one in metadata.distributions():
    name = one.metadata["Name"]
    if not name:
        continue
    found.setdefault(name, one.version)
    for point in one.entry_points:
        if point.group == "pytest11":
            plugins.append([name, point.value.partition(":")[0].strip()])
roots = [path[len(root) + 1:] or "." for path in sys.path if path == root or path.startswith(root + "/")]
try:
    import importlib.util
    pytest = importlib.util.find_spec("pytest").origin
except Exception:
    pytest = None
print("FACTS" + json.dumps([found, plugins, roots, pytest]))
"""
_LOOK_OLD = r"""
import json, sys, pkg_resources
root = sys.argv[1]
found, plugins = {}, []
for one in pkg_resources.working_set:
    found.setdefault(one.project_name, one.version)
    for point in one.get_entry_map("pytest11").values():
        plugins.append([one.project_name, point.module_name])
roots = [path[len(root) + 1:] or "." for path in sys.path if path == root or path.startswith(root + "/")]
import importlib.util
spec = importlib.util.find_spec("pytest")
print("FACTS" + json.dumps([found, plugins, roots, spec and spec.origin]))
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """What the environment holds."""

    day: str
    packages: dict[str, str]  # name -> version
    plugins: tuple[str, ...]  # modules of pytest plugins
    roots: tuple[str, ...]  # folders of the repository on the path
    own_pytest: bool  # the repository is pytest's own
    taken: str  # which requirements
    notes: tuple[str, ...] = field(default=())


def day_for(created: str, committed: str, minor: str) -> datetime.date:
    """Packages are taken as of the latest of: when the row was made, its commit, and first wheels for the Python."""
    days = [datetime.date.fromisoformat(text[:10]) for text in (created, committed) if text]
    first = interpreters.FIRST_WHEELS.get(minor)
    return max([*days, *([first] if first else [])])


def install(
    workshop: Workshop, python: Python, day: datetime.date, project: Project, options: BuildOptions, version: str
) -> Installed:
    """Fill /opt/venv of the workshop for the project in its /testbed. Raises `TaskError` where nothing can be had."""
    variables = {"SETUPTOOLS_SCM_PRETEND_VERSION": version, "PBR_VERSION": version} if version else {}
    variables |= options.environment
    workshop.run([UV, "venv", "--quiet", "--python", python.inside, "--clear", VENV], what="making the environment")
    newest = {**dict.fromkeys(_TOOLS, _TOOLS_DAY), **_UPLOADED_AGAIN, **options.newest}
    newest = {name: date for name, date in newest.items() if date > str(day)}
    base = [UV, "pip", "install", "--quiet", "--python", PYTHON, "--exclude-newer", str(day)]
    for name, date in sorted(newest.items()):
        base += ["--exclude-newer-package", f"{name}={date}"]
    base += index_settings().uv_arguments()
    isolation = [] if options.build_isolation else ["--no-build-isolation"]
    how = options.install or _way(project, python)
    if not options.build_isolation or how == "develop":
        workshop.run([*base, _SETUPTOOLS, "wheel"], what="installing build tools", variables=variables)
    failures: list[str] = []
    for label, requirements in _choices(project, options, how):
        try:
            try:
                workshop.run([*base, *isolation, _SETUPTOOLS, *requirements], what=label, variables=variables)
            except TaskError as error:
                # The project pins a setuptools from before editable installs; the environment's own can make one.
                if "build_editable" not in str(error) or isolation:
                    raise
                workshop.run([*base, _SETUPTOOLS, "wheel", *_build_tools(project)], what="build tools")
                again = [*base, "--no-build-isolation", _SETUPTOOLS, *requirements]
                workshop.run(again, what=label, variables=variables)
            break
        except TaskError as error:
            failures.append(str(error)[-600:])
    else:
        raise TaskError(f"its requirements cannot be installed as of {day}: {failures[-1]}")
    if how == "develop":
        command = f"{PYTHON} setup.py -q develop --no-deps"
        workshop.run(command, what="setup.py develop", variables={**variables, "PATH": f"{VENV}/bin:/usr/bin:/bin"})
    facts = _facts(workshop, python)
    if facts[3] is None:
        workshop.run([*base, "pytest"], what="installing pytest")
        facts = _facts(workshop, python)
    elif not str(facts[3]).startswith("/testbed/") and _is_ancient(facts[0].get("pytest", "")):
        # Pinned to one that the interpreter does not run any more; its plugins then come along.
        plugins = sorted({name for name, _ in facts[1]})
        workshop.run([*base, "--upgrade", _PYTEST, *plugins], what="installing a newer pytest")
        facts = _facts(workshop, python)
    for line in options.commands:
        inside = {**variables, "PATH": f"{VENV}/bin:/usr/bin:/bin", "UV_EXCLUDE_NEWER": str(day)}
        workshop.run(line, what=f"`{line}`", variables=inside)
    return installed(facts, day=str(day), taken=label, notes=tuple(failures))


def installed(facts: list[Any], *, day: str, taken: str, notes: tuple[str, ...] = ()) -> Installed:
    """What a look at an environment found; `facts` is what a program of `look_of` prints."""
    packages, plugins, roots, pytest = facts
    return Installed(
        day=day,
        packages=dict(packages),
        plugins=tuple(dict.fromkeys(module for _, module in plugins)),
        roots=tuple(dict.fromkeys(roots)) or (".",),
        own_pytest=str(pytest).startswith("/testbed/"),
        taken=taken,
        notes=notes,
    )


def look_of(minor: str) -> str:
    """A program for this version of Python; given the repository's folder it prints FACTS and JSON for `installed`."""
    return _LOOK_OLD if minor in ("3.6", "3.7") else _LOOK


def _is_ancient(version: str) -> bool:
    return [int(part) for part in re.findall(r"\d+", version)[:2]] < _OLDEST_PYTEST


def _build_tools(project: Project) -> list[str]:
    """What the project is built with, without its pins of setuptools."""
    return [one for one in project.build_requires if not re.match(r"(?i)(setuptools|wheel)\b(?!-)", one)]


def _way(project: Project, python: Python) -> str:
    if not project.installable:
        return "none"
    return "develop" if python.minor in ("3.5", "3.6") else "editable"


def _choices(project: Project, options: BuildOptions, how: str) -> list[tuple[str, list[str]]]:
    """What to ask for, from the most to the least."""
    extras = project.extras if options.extras is None else options.extras
    files = project.requirement_files if options.requirement_files is None else options.requirement_files
    more = list(options.requirements)
    of_files = [part for path in files for part in ("-r", path)]
    groups = [part for name in project.groups for part in ("--group", name)]

    def own(chosen: Sequence[str]) -> list[str]:
        if how == "editable":
            return ["-e", f".[{','.join(chosen)}]" if chosen else "."]
        return []

    fixed = options.extras is not None or options.requirement_files is not None
    choices = [("requirements, extras and groups", [*own(extras), *of_files, *groups, *more])]
    if not fixed:
        choices += [
            ("extras", [*own(extras), *more]),
            ("requirements", [*own(()), *of_files, *more]),
            ("one extra", [*own(extras[:1]), *more]),
            ("requirements of tox", [*own(()), *project.requirements, *more]),
            ("the project alone", [*own(()), *more]),
        ]
        if not extras and not files and not groups:
            choices.insert(0, ("requirements of tox", [*own(()), *project.requirements, *more]))
    unique: dict[tuple[str, ...], str] = {}
    for label, wanted in choices:
        unique.setdefault(tuple(wanted), label)
    return [(label, list(wanted)) for wanted, label in unique.items()]


def _facts(workshop: Workshop, python: Python) -> list[Any]:
    said = workshop.run(
        [PYTHON, "-I", "-c", look_of(python.minor), "/testbed"], what="looking at the environment", cwd="/"
    )
    line = next(line for line in said.split("\n") if line.startswith("FACTS"))
    return list(json.loads(line.removeprefix("FACTS")))


def tidy(venv: Path) -> None:
    """Leave out of an environment what names this build."""
    for name in (".lock", "CACHEDIR.TAG", ".gitignore"):
        (venv / name).unlink(missing_ok=True)
