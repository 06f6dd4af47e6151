"""Path rules: which changes of a submission count. They are computed from the task, never from the submission.

A path that the reference fix touches always counts, whatever its name. Otherwise these do not: what belongs to the
hidden tests, test configuration, what the interpreter reads when it starts, compiled code, and new modules that shadow
the standard library, the test tools, the hidden tests' own packages or a library that the hidden tests import. All else
is applied: sources, new files, renames, modes, binaries, build files, added tests.
"""

from __future__ import annotations

import ast
import functools
import posixpath
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from swegym.errors import TaskError
from swegym.grading.scratch import LINK, Entry, GitFailed, ScratchRepository
from swegym.types import Task

TEST_CONFIGURATION = frozenset(
    {"conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml"}
    | {"tox.ini", "setup.cfg", "pyproject.toml"}
)
_START_UP = frozenset({"sitecustomize", "usercustomize"})
_START_UP_FILES = (".pth", ".egg-link", "pyvenv.cfg")
_COMPILED = (".pyc", ".pyo")
_MODULE_SUFFIXES = frozenset({"py", "pyc", "pyo", "pyi", "so", "pyd", "abi3"})
_TEST_TOOLS = frozenset(
    {"pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging"}
    | {"pygments", "exceptiongroup", "tomli", "colorama", "attr", "coverage"}
)


@dataclass(frozen=True, slots=True)
class PathRules:
    """The rules of one task."""

    base: Mapping[str, Entry]
    base_links: dict[str, str]  # path -> target
    reference: frozenset[str]  # paths that the gold patch touches
    hidden: frozenset[str]
    owned: tuple[str, ...]
    roots: tuple[str, ...]  # folders from which modules are imported, "" for the tree itself
    base_tops: frozenset[tuple[str, str]]  # (root, first component below it) of the base tree
    reserved: frozenset[str]  # names no new top-level module may take

    def against(self, path: str) -> str | None:
        """Why a change of this path does not count, or None when it does."""
        parts = path.split("/")
        name = parts[-1]
        if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
            return "not a path of the work tree"
        if self._is_hidden(path):
            return "belongs to the hidden tests, which the grader restores"
        if path in self.reference:
            return None
        if name in TEST_CONFIGURATION:
            return "test configuration, which the reference fix does not touch"
        if name.endswith(_START_UP_FILES) or any(part.split(".")[0] in _START_UP for part in parts):
            return "read by the interpreter when it starts"
        if "__pycache__" in parts or name.endswith(_COMPILED):
            return "compiled code; sources count"
        shadowed = self._shadowed(path)
        return f"a new module that shadows {shadowed!r}" if shadowed else None

    def _is_hidden(self, path: str) -> bool:
        if path in self.hidden or any(path == folder or path.startswith(f"{folder}/") for folder in self.owned):
            return True
        below = f"{path}/"  # a file or link where a folder of the hidden tests has to be
        return any(other.startswith(below) for other in (*self.hidden, *self.owned))

    def _shadowed(self, path: str) -> str | None:
        for root in self.roots:
            if root and not path.startswith(f"{root}/"):
                continue
            top, _, rest = path[len(root) + 1 if root else 0 :].partition("/")
            name, *suffixes = top.split(".")
            importable = bool(rest and not suffixes) or bool(suffixes and suffixes[-1] in _MODULE_SUFFIXES)
            if importable and name in self.reserved and (root, top) not in self.base_tops:
                return name
        return None


def rules_for(task: Task) -> PathRules:
    """The rules of a task; a gold patch that does not apply is a `TaskError`."""
    return _rules(
        task.pristine,
        task.base_commit,
        task.gold_patch,
        tuple(task.hidden.files),
        _imported(tuple(data for path, data in task.hidden.files.items() if path.endswith(".py"))),
        task.hidden.owned,
        (".", *task.tests.pythonpath),
        task.tests.plugins,
        task.id,
    )


@functools.lru_cache(maxsize=64)
def _rules(
    pristine: Path,
    commit: str,
    gold_patch: str,
    hidden: tuple[str, ...],
    imported: frozenset[str],
    owned: tuple[str, ...],
    pythonpath: tuple[str, ...],
    plugins: tuple[str, ...],
    name: str,
) -> PathRules:
    with ScratchRepository(pristine, commit) as scratch:
        base = scratch.base_files
        targets = scratch.read_blobs(entry.blob for entry in base.values() if entry.mode == LINK)
        links = {
            path: targets[entry.blob].decode("utf-8", "surrogateescape")
            for path, entry in base.items()
            if entry.mode == LINK
        }
        reference: Iterable[str] = ()
        if gold_patch.strip():
            try:
                scratch.git("apply", "--cached", "--whitespace=nowarn", stdin=gold_patch.encode("utf-8"))
            except GitFailed as error:
                raise TaskError(
                    f"task {name}: its gold patch does not apply: {error.reason}. Build the task again."
                ) from error
            reference = scratch.staged()
    roots = tuple(dict.fromkeys(_folder(root) for root in pythonpath))
    owned = tuple(_folder(folder) for folder in owned if _folder(folder))
    present = {top.split(".")[0] for root in roots for top in _tops(root, (*base, *reference))}
    return PathRules(
        base,
        links,
        frozenset(reference),
        frozenset(hidden),
        owned,
        roots,
        frozenset((root, top) for root in roots for top in _tops(root, base)),
        frozenset(sys.stdlib_module_names)
        | _TEST_TOOLS
        | {plugin.split(".")[0] for plugin in plugins}
        | (imported - present)
        | {top.split(".")[0] for root in roots for top in _tops(root, (*hidden, *owned))},
    )


@functools.lru_cache(maxsize=64)
def _imported(sources: tuple[bytes, ...]) -> frozenset[str]:
    """The top-level modules that test files import."""
    names: set[str] = set()
    for source in sources:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):  # of another Python
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return frozenset(names)


def _folder(path: str) -> str:
    normal = posixpath.normpath(path).strip("/")
    return "" if normal == "." else normal


def _tops(root: str, paths: Iterable[str]) -> Iterable[str]:
    start = len(root) + 1 if root else 0
    return [path[start:].split("/")[0] for path in paths if not root or path.startswith(f"{root}/")]
