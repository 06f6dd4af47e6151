"""What README and docs show is true: Python runs, commands parse, files are valid, links lead somewhere."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from swegym.cli.app import app
from swegym.config import validate
from swegym.tasks.recipe import PyPIRecipe, SetFile

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


# The code of other pages is tested next to what the page is about.
RUN_HERE = [ROOT / "README.md", ROOT / "docs" / "quickstart.md"]


def blocks(language: str, pages: list[Path] = PAGES) -> list:
    found = []
    for page in pages:
        text = page.read_text("utf-8")
        for block in _BLOCK.finditer(text):
            if block[1] == language:
                line = text.count("\n", 0, block.start()) + 1
                found.append(pytest.param(block[2], id=f"{page.name}:{line}"))
    return found


def commands(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line.startswith("swegym ")]


def parse(line: str) -> None:
    """Take a command line apart as the real one does, without running the verb. Raises on any wrong word."""
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(name, words)


def examples() -> list:
    """The example lines in the help of every verb."""
    found = []
    top = typer.main.get_command(app)
    for command in [top, *top.commands.values(), *top.commands["tasks"].commands.values()]:
        for line in commands(command.help or ""):
            found.append(re.split(r"\s{2,}", line)[0])
    return found


@pytest.mark.parametrize("text", blocks("bash"))
def test_commands_in_docs_are_valid(text: str) -> None:
    for line in commands(text):
        parse(line)


@pytest.mark.parametrize("line", examples())
def test_examples_in_help_are_valid(line: str) -> None:
    parse(line)


def test_make_targets_in_docs_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in PAGES:
        for block in _BLOCK.finditer(page.read_text("utf-8")):
            for target in re.findall(r"^make (\w+)", block[2], re.MULTILINE):
                assert target in targets, f"{page.name}: make {target}"


@pytest.mark.parametrize("text", blocks("toml", [ROOT / "docs" / "formats.md"]))
def test_toml_in_docs_is_valid(text: str) -> None:
    import tomllib

    model = SetFile if text.startswith("# set.toml") else PyPIRecipe
    validate(model, tomllib.loads(text), "docs")


@pytest.mark.parametrize("text", blocks("json"))
def test_json_in_docs_is_valid(text: str) -> None:
    for line in text.splitlines():
        json.loads(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_the_map_in_the_readme_is_the_tree() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    tree = text[text.index("## Map") : text.index("## What is measured")]
    rooms = {path.name for path in (ROOT / "swegym").iterdir() if path.is_dir() and not path.name.startswith("_")}
    files = {path.name for path in (ROOT / "swegym").glob("*.py") if not path.name.startswith("_")}
    for name in rooms | (files - {"envfile.py"}):
        assert re.search(rf"\b{re.escape(name)}", tree), name


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("python", RUN_HERE))
def test_python_in_docs_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from swegym.cli import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["tasks", "build", "demo"])
    assert ended.value.code == 0, capsys.readouterr()
    capsys.readouterr()
    exec(compile(text, "docs", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out
