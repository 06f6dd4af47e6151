"""Imports point one way through the rooms, and importing costs nothing that the importer did not ask for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import swegym

PACKAGE = Path(swegym.__file__).parent
# A room may import from rooms above it and from itself. Rooms on one line may import each other.
ROOMS = (
    ("types", "errors", "config", "paths", "syntax"),
    ("sandbox",),
    ("images",),
    ("tasks",),
    ("tools",),
    ("grading",),
    ("env", "envfile", "messages", "model_client", "model_request", "registration", "spaces", "text", "vector"),
    ("guidance",),
    ("policies",),
    ("rollout",),
    ("data",),
    ("train",),
    ("evaluate", "report", "view", "adapters", "redteam", "cli"),
    ("__main__",),
)
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "swegym" and len(parts) > 1 else None


def imported_rooms(tree: ast.AST) -> set[str]:
    found: set[str | None] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(room_of(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "swegym":
                found.update(alias.name for alias in node.names if alias.name in LEVELS)
            elif node.module:
                found.add(room_of(node.module))
    return {room for room in found if room}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert room in LEVELS, f"{room} is no room of the package"
    for other in imported_rooms(ast.parse(path.read_text("utf-8"))):
        assert other in LEVELS, f"{other} is no room of the package"
        assert LEVELS[other] <= LEVELS[room], f"{room} must not import {other}"


def modules_after(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import swegym", "import swegym.cli.app"])
def test_importing_is_light(statement: str) -> None:
    heavy = {"torch", "transformers", "litellm", "openai", "datasets", "docker", "unearth", "git", "matplotlib", "ray"}
    assert not heavy & modules_after(statement)


def test_help_loads_no_room_that_works() -> None:
    loaded = modules_after("import swegym.cli.app")
    assert not [name for name in loaded if name.startswith(("swegym.sandbox", "swegym.grading", "swegym.rollout"))]


def test_importing_writes_nothing(tmp_path: Path) -> None:
    script = "import swegym, swegym.cli.app"
    variables = {
        "SWEGYM_HOME": str(tmp_path / "store"),
        "HOME": str(tmp_path),
        "PATH": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    subprocess.run([sys.executable, "-c", script], check=True, env=variables, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
