"""A project's layout: where code and tests lie in an unpacked tree, and what the tests need, from its own metadata."""

from __future__ import annotations

import ast
import configparser
import contextlib
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swegym.errors import TaskError
from swegym.syntax import parse
from swegym.tasks.environment import canonical_name, requirements_of

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_TEST_GROUP = re.compile(r"^(.*[-_])?(tests?|testing|dev|develop|development|all|ci|unittest)([-_].*)?$", re.IGNORECASE)
_TEST_FILES = re.compile(r"(^|[-_/])(tests?|testing|dev|development|ci)[-_./]|(^|/)requirements\.txt$", re.IGNORECASE)
# Plugins of pytest that change how tests are run or told, and not what they can use.
_NO_NEED = re.compile(
    r"pytest-(cov|xdist|sugar|randomly|random-order|timeout|instafail|html|rerunfailures|enabler|checkdocs|perf|profiling"
    r"|codspeed|ruff|flake8|black|mypy|isort|pylint|pycodestyle|pep8|flakes|travis-fold|github-actions.*|socket|clarity"
    r"|icdiff|pretty|split|repeat|memray|doctestplus|xvfb|parallel|runner|cache|watch|tldr)"
)
_INI = ("python_files", "python_classes", "python_functions", "asyncio_mode", "asyncio_default_fixture_loop_scope")


@dataclass(frozen=True, slots=True)
class Layout:
    """What a recipe says of a project beside its releases and its tests."""

    source_paths: tuple[str, ...]
    test_paths: tuple[str, ...]
    pythonpath: tuple[str, ...] = (".",)
    requirements: tuple[str, ...] = ()  # not pinned yet
    ini: dict[str, str] = field(default_factory=dict)


def read_layout(tree: Path, package: str) -> Layout:
    """Find a project's way around. Raises TaskError, with a short reason, where there is none."""
    source = find_source(tree, package)
    tests = find_tests(tree, source)
    folder = source.rpartition("/")[0]
    pythonpath = (folder,) if folder else (".",)
    imported = _imported(tree, tests)
    needed = [str(found) for found in _requirements(tree, package, imported)]
    return Layout((source,), tests, pythonpath, tuple(dict.fromkeys(needed)), _ini(tree))


def find_source(tree: Path, package: str) -> str:
    """Where the code of a package lies in an unpacked release."""
    plain = package.lower().replace("-", "_").replace(".", "_")
    declared = [name for file in tree.rglob("*.egg-info/top_level.txt") for name in file.read_text().split()]
    names = [plain, package, *declared, plain.removeprefix("python_"), plain.removeprefix("py"), plain.split("_")[-1]]
    for name in dict.fromkeys(names):
        for candidate in (f"src/{name}", name, f"lib/{name}", f"src/{name}.py", f"{name}.py", f"lib/{name}.py"):
            place = tree / candidate
            if not _is_test(name) and (place.is_file() if candidate.endswith(".py") else any(place.glob("*.py"))):
                return candidate
    packages = [file.parent.relative_to(tree).as_posix() for root in ("src", ".") for file in _packages(tree / root)]
    if len(set(packages)) == 1:
        return packages[0]
    raise TaskError(f"no package of that name (packages there: {', '.join(sorted(set(packages))) or 'none'})")


def _packages(root: Path) -> Iterator[Path]:
    for file in sorted(root.glob("*/__init__.py")):
        if not _is_test(file.parent.name) and file.parent.name not in ("docs", "doc", "examples", "src", "benchmarks"):
            yield file


def _is_test(name: str) -> bool:
    return re.fullmatch(r"_?tests?|testing|test_.*|.*_tests?", name) is not None


def find_tests(tree: Path, source: str) -> tuple[str, ...]:
    """The folder, or the files, of the project's tests."""
    for folder in ("tests", "test", "testing", f"{source}/tests", f"{source}/test", "src/tests", "src/test", "t"):
        place = tree / folder
        if place.is_dir() and any(_test_files(place)):
            return (folder,)
    files = sorted(
        file.name for pattern in ("test_*.py", "*_test.py", "tests.py", "test.py") for file in tree.glob(pattern)
    )
    if files:
        return tuple(dict.fromkeys(files))
    raise TaskError("its source release has no tests")


def _test_files(folder: Path) -> Iterator[Path]:
    for pattern in ("test_*.py", "*_test.py", "test*.py"):
        yield from folder.rglob(pattern)


def _imported(tree: Path, tests: Iterable[str]) -> set[str]:
    """Names of top-level modules that the tests import, and names of fixtures' plugins that they ask for."""
    names: set[str] = set()
    for path in tests:
        place = tree / path
        for file in place.rglob("*.py") if place.is_dir() else [place]:
            with contextlib.suppress(SyntaxError, ValueError):
                for node in ast.walk(parse(file.read_bytes())):
                    if isinstance(node, ast.Import):
                        names.update(alias.name.partition(".")[0] for alias in node.names)
                    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                        names.add(node.module.partition(".")[0])
    return {name.lower() for name in names if name not in sys.stdlib_module_names}


def _requirements(tree: Path, package: str, imported: set[str]) -> Iterator[Requirement]:
    """What the package needs to run, and of what its tests may need, what they import and plugins of pytest."""
    own = canonical_name(package)
    standard = {pin.partition("==")[0] for pin in requirements_of(())}
    seen: set[str] = set()
    for found, always in _declared(tree):
        name = canonical_name(found.name)
        if name in standard or name == own or name in seen:
            continue
        plugin = name.startswith("pytest-") and not _NO_NEED.fullmatch(name)
        modules = {name.replace("-", "_"), name.replace("-", ""), name.removeprefix("python-").replace("-", "_")}
        if always or plugin or modules & imported:
            seen.add(name)
            yield found


def _declared(tree: Path) -> Iterator[tuple[Requirement, bool]]:
    """Every requirement that the project's files name for this interpreter, and whether it is needed to run."""
    from packaging.requirements import InvalidRequirement, Requirement

    texts: list[tuple[str, bool]] = []
    if (tree / "PKG-INFO").is_file():
        header = BytesHeaderParser().parsebytes((tree / "PKG-INFO").read_bytes())
        texts += [(text, "extra ==" not in text) for text in header.get_all("Requires-Dist", [])]
    project = _toml(tree / "pyproject.toml")
    described = project.get("project", {})
    texts += [(text, True) for text in _strings(described.get("dependencies"))]
    for groups in (described.get("optional-dependencies", {}), project.get("dependency-groups", {})):
        for name, group in groups.items() if isinstance(groups, dict) else ():
            texts += [(text, False) for text in _strings(group) if _TEST_GROUP.match(name)]
    for file in sorted([*tree.glob("*.txt"), *tree.glob("requirements/*.txt"), *tree.glob("test*/*requirements*.txt")]):
        name = file.relative_to(tree).as_posix()
        if "require" in name and _TEST_FILES.search(name):
            texts += [(line.partition(" #")[0], False) for line in file.read_text("utf-8", "replace").splitlines()]
    setup = configparser.RawConfigParser(strict=False)
    with contextlib.suppress(configparser.Error, UnicodeDecodeError):
        setup.read(tree / "setup.cfg", encoding="utf-8")
    if setup.has_option("options", "install_requires"):
        texts += [(line, True) for line in setup.get("options", "install_requires").splitlines()]
    for section in ("options.extras_require",):
        for name, value in setup.items(section) if setup.has_section(section) else ():
            texts += [(line, False) for line in value.splitlines() if _TEST_GROUP.match(name)]
    for text, always in texts:
        try:
            found = Requirement(text.strip())
        except InvalidRequirement:
            continue
        extras = set(re.findall(r"""extra\s*==\s*['"]([^'"]+)['"]""", str(found.marker or "")))
        if found.url or (extras and not any(_TEST_GROUP.match(extra) for extra in extras)):
            continue
        environments = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if found.marker is None or any(found.marker.evaluate(environment) for environment in environments):
            found.marker = None
            yield found, always


def _ini(tree: Path) -> dict[str, str]:
    """The few settings of pytest that decide which tests there are and how coroutines run."""
    found = _toml(tree / "pyproject.toml").get("tool", {}).get("pytest", {}).get("ini_options", {})
    options: dict[str, Any] = dict(found) if isinstance(found, dict) else {}
    for name, section in (("pytest.ini", "pytest"), ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        parser = configparser.RawConfigParser(strict=False)
        with contextlib.suppress(configparser.Error, UnicodeDecodeError):
            parser.read(tree / name, encoding="utf-8")
        if not options and parser.has_section(section):
            options = dict(parser.items(section))
    texts = {
        name: value if isinstance(value, str) else " ".join(map(str, value))
        for name, value in options.items()
        if isinstance(value, str | list)
    }
    return {name: texts[name].strip() for name in _INI if name in texts}


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (FileNotFoundError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return {}


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
