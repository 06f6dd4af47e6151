"""What a Python project says of itself in its files: interpreters, test requirements, pytest's options, its runner.

pyproject.toml, setup.cfg, setup.py, requirements and tox files are read as text and data. Nothing of the project is
run, so what only code would tell stays unknown.
"""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EXTRAS = ("test", "tests", "testing", "dev", "develop", "develop_tests")
_GROUPS = ("test", "tests", "testing", "dev")
_REQUIREMENTS = (
    *("requirements/tests.txt", "requirements/test.txt", "requirements/testing.txt", "tests/requirements.txt"),
    *("requirements-tests.txt", "requirements-test.txt", "requirements_test.txt", "test-requirements.txt"),
    *("requirements_tests.txt", "test_requirements.txt", "requirements/dev.txt", "requirements-dev.txt"),
    *("dev-requirements.txt", "requirements_dev.txt"),
)
_PLAIN_REQUIREMENTS = "requirements.txt"
_MINOR = re.compile(r"Programming Language :: Python :: (\d\.\d+)")
_ADDOPTS_LEFT_OUT = re.compile(
    r"(?:^|\s)(?:--cov\S*(?:\s+(?!-)\S+)?|-n[ =]?(?:auto|\d+)|--numprocesses\S*|--dist\S*|--junit\S*|--reruns\S*|"
    r"--durations\S*|-r\s?\w+|--color\S*|-q+|-v+|--tb\S*|-p\s?\S+|--benchmark\S*|--flake8|--pep8|--mypy\S*)(?=\s|$)"
)


@dataclass(frozen=True, slots=True)
class Project:
    """What could be read."""

    name: str | None  # on the package index
    installable: bool
    requires_python: str | None
    classified: tuple[str, ...]  # minor versions of Python that it says it runs on
    extras: tuple[str, ...]  # of its own, that hold what tests need
    groups: tuple[str, ...]  # dependency groups of pyproject.toml, likewise
    requirement_files: tuple[str, ...]
    requirements: tuple[str, ...]  # of its tox file's test environment
    pytest_options: dict[str, str]
    tox_command: str | None
    build_requires: tuple[str, ...]
    scm_version: bool  # it asks version control for its version


def read(tree: Path) -> Project:
    pyproject, setup_cfg = _toml(tree / "pyproject.toml"), _ini(tree / "setup.cfg")
    setup_py = _text(tree / "setup.py")
    project = _dict(pyproject, "project")
    poetry = _dict(_dict(pyproject, "tool"), "poetry")
    extras = {*_dict(project, "optional-dependencies"), *_dict(poetry, "extras")}
    extras |= set(setup_cfg["options.extras_require"]) if setup_cfg.has_section("options.extras_require") else set()
    extras |= _extras_of_setup_py(setup_py)
    requires = project.get("requires-python") or setup_cfg.get("options", "python_requires", fallback=None)
    requires = requires or _keyword(setup_py, "python_requires")
    classifiers = "\n".join([*map(str, project.get("classifiers") or ()), setup_py])
    classifiers += setup_cfg.get("metadata", "classifiers", fallback="")
    files = [path for path in _REQUIREMENTS if (tree / path).is_file()]
    backend = _dict(pyproject, "build-system").get("requires") or []
    scm = any("setuptools" in str(item) and "scm" in str(item) for item in backend)
    scm = scm or "use_scm_version" in setup_py or any("hatch-vcs" in str(item) for item in backend)
    tox = _ini(tree / "tox.ini")
    name = project.get("name") or setup_cfg.get("metadata", "name", fallback=None) or poetry.get("name")
    return Project(
        name=str(name or _keyword(setup_py, "name") or "") or None,
        installable=bool(setup_py) or bool(project) or bool(poetry) or setup_cfg.has_section("metadata"),
        requires_python=str(requires) if requires else None,
        classified=tuple(dict.fromkeys(_MINOR.findall(classifiers))),
        extras=tuple(name for name in _EXTRAS if name in extras),
        groups=tuple(name for name in _GROUPS if name in _dict(pyproject, "dependency-groups")),
        requirement_files=tuple(files[:1] or ([_PLAIN_REQUIREMENTS] if (tree / _PLAIN_REQUIREMENTS).is_file() else [])),
        requirements=_tox_requirements(tox),
        pytest_options=_pytest_options(tree, pyproject, setup_cfg, tox),
        tox_command=tox.get("testenv", "commands", fallback=None) if tox.has_section("testenv") else None,
        build_requires=tuple(map(str, backend)),
        scm_version=scm,
    )


def inferred_command(tree: Path, names: Iterable[str], project: Project) -> str:
    """How the project's own people run test files; {files} stands for them. `names` are the listed tests'.

    A runner of the project's own is only taken where the names are not pytest's, which hold "::".
    """
    by_pytest = any("::" in name for name in names)
    if not by_pytest and (tree / "bin" / "test").is_file():
        return "PYTHONWARNINGS='ignore::UserWarning,ignore::SyntaxWarning' bin/test -C --verbose {files}"
    if not by_pytest and (tree / "tests" / "runtests.py").is_file():
        return "./tests/runtests.py --verbosity 2 --settings=test_sqlite --parallel 1 {labels}"
    if not by_pytest and not any(name.startswith("test_") and "(" not in name for name in names):
        return "python -m unittest -v {files}"
    if project.tox_command and "--durations 25" in project.tox_command:
        return "python -X dev -m pytest -rA --durations 25 {files}"
    return "pytest -rA {files}"


def without_tox(command: str, tree: Path) -> str:
    """A command that goes through tox as what tox would run; tox needs an interpreter with packages of its own."""
    match = re.match(r"^tox\b.*?\s--\s(?P<rest>.+)$", command)
    if match is None:
        return command
    lines = (_ini(tree / "tox.ini").get("testenv", "commands", fallback="") or "").strip().split("\n")
    line = next((line.strip() for line in lines if "pytest" in line), "python -m pytest {posargs}")
    line = re.sub(r"\{posargs[^}]*\}", match["rest"].replace("\\", r"\\"), line)
    line = re.sub(r"\{env:[^:}]*:?([^}]*)\}", r"\1", line).replace("{envpython}", "python")
    return f"{line} -rA" if " -rA" not in line and "-rA" not in match["rest"] else line


def source_folders(paths: Iterable[str], roots: Iterable[str], fixed: Iterable[str]) -> tuple[str, ...]:
    """Packages and modules below the import roots that are no tests; what the fix touches, where none are found."""
    listed = set(paths)
    found: dict[str, None] = {}
    for root in roots:
        prefix = "" if root == "." else f"{root}/"
        for path in sorted(listed):
            parts = path.removeprefix(prefix).split("/") if path.startswith(prefix) else []
            if len(parts) > 1 and f"{prefix}{parts[0]}/__init__.py" in listed and not _is_tests(parts[0]):
                found[f"{prefix}{parts[0]}"] = None
            elif len(parts) == 1 and path.endswith(".py") and path in fixed:
                found[path] = None
    fixed = [path for path in fixed if path.endswith(".py")]
    missed = [path for path in fixed if not any(path == one or path.startswith(f"{one}/") for one in found)]
    return (*found, *dict.fromkeys(missed)) or (".",)


def visible_tests(paths: Iterable[str], hidden: Iterable[str], options: Mapping[str, str]) -> tuple[str, ...]:
    """What of the repository's own tests a policy may run: a whole test folder, so that nothing is pointed at."""
    listed = set(paths)
    chosen = [path.rstrip("/") for path in options.get("testpaths", "").split()]
    present = [path for path in chosen if path in listed or any(other.startswith(f"{path}/") for other in listed)]
    if present:
        return tuple(present)
    hidden = list(hidden)
    for folder in ("tests", "test", "testing"):
        if any(path.startswith(f"{folder}/") for path in hidden) and any(
            path.startswith(f"{folder}/") for path in listed
        ):
            return (folder,)
    tops = dict.fromkeys(path.split("/")[0] for path in hidden)
    return tuple(top for top in tops if top in listed or any(other.startswith(f"{top}/") for other in listed)) or (".",)


def _is_tests(name: str) -> bool:
    return name in ("tests", "test", "testing", "docs", "doc", "examples", "benchmarks") or name.startswith(".")


def _pytest_options(
    tree: Path, pyproject: dict[str, Any], setup_cfg: configparser.RawConfigParser, tox: configparser.RawConfigParser
) -> dict[str, str]:
    """The project's own pytest options, from the first file that has some, in pytest's order."""
    table = _dict(_dict(_dict(pyproject, "tool"), "pytest"), "ini_options")
    own = next(
        (ini for name in ("pytest.ini", ".pytest.ini") if (ini := _ini(tree / name)).has_section("pytest")), None
    )
    if own is not None:
        options = dict(own.items("pytest"))
    elif table:
        options = {name: _plain(value) for name, value in table.items()}
    elif tox.has_section("pytest"):
        options = dict(tox.items("pytest"))
    elif setup_cfg.has_section("tool:pytest"):
        options = dict(setup_cfg.items("tool:pytest"))
    else:
        return {}
    if "addopts" in options:
        options["addopts"] = re.sub(r"\s+", " ", _ADDOPTS_LEFT_OUT.sub(" ", options["addopts"])).strip()
    if "filterwarnings" in options:
        options["filterwarnings"] = _filters(options["filterwarnings"], tree)
    unwanted = ("minversion", "cache_dir", "required_plugins", "timeout", "log_file")
    return {name: value.strip("\n") for name, value in options.items() if name not in unwanted and value.strip()}


def _filters(text: str, tree: Path) -> str:
    """Filters of warnings without those of classes that the project itself defines.

    The grader starts pytest before anything of the repository can be imported. Where such a filter excused a warning,
    those that turn warnings into errors go as well.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]

    def is_own(line: str) -> bool:
        category = [*line.split(":"), "", ""][2].strip()
        top = category.partition(".")[0]
        return "." in category and any((tree / root / top).exists() for root in (".", "src", "lib"))

    kept = [line for line in lines if not is_own(line)]
    return "\n".join(kept if len(kept) == len(lines) else [line for line in kept if not line.startswith("error")])


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tox_requirements(tox: configparser.RawConfigParser) -> tuple[str, ...]:
    if not tox.has_section("testenv"):
        return ()
    lines = (tox.get("testenv", "deps", fallback="") or "").split("\n")
    kept = []
    for line in lines:
        text = line.partition("#")[0].strip()
        # A line for some environments only starts with their names; those that install files or links are left out.
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[\w,-]+\])?\s*([<>=!~][^;:{}]*)?", text):
            kept.append(text)
    return tuple(kept)


def _extras_of_setup_py(text: str) -> set[str]:
    """Keys of `extras_require`, where it is written out or assigned to a name."""
    found: set[str] = set()
    for match in re.finditer(r"extras?_require\w*\s*=\s*\{(.*?)\}", text, re.DOTALL | re.IGNORECASE):
        found |= set(re.findall(r"['\"]([\w-]+)['\"]\s*:", match[1]))
    return found | set(re.findall(r"(?i)extras?_require\w*\[['\"]([\w-]+)['\"]\]", text))


def _keyword(text: str, name: str) -> str | None:
    """A keyword argument of a call in setup.py that is written out as text."""
    match = re.search(rf"{name}\s*=\s*(['\"].*?['\"])", text)
    try:
        return str(ast.literal_eval(match[1])) if match else None
    except (SyntaxError, ValueError):
        return None


def _dict(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.is_file() else ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:
        return {}


def _ini(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(_text(path))
    except configparser.Error:
        return configparser.RawConfigParser()
    return parser
