"""Every verb explains itself: examples first, few flags, and the exit code of wrong usage."""

import importlib.metadata
import subprocess
import sys

import pytest
import typer

from swegym.cli.app import app

VERBS = [
    ("doctor",),
    ("demo",),
    ("tasks", "list"),
    ("tasks", "show"),
    ("tasks", "build"),
    ("tasks", "check"),
    ("tasks", "import"),
    ("tasks", "generate"),
    ("tasks", "mutate"),
    ("tasks", "strengthen"),
    ("images", "list"),
    ("images", "build"),
    ("tasks", "mine", "releases"),
    ("tasks", "mine", "commits"),
    ("images", "import"),
    ("images", "export"),
    ("images", "trim"),
    ("run",),
    ("grade",),
    ("redteam",),
    ("report",),
    ("pairs",),
    ("export",),
    ("train", "sft"),
    ("train", "start"),
    ("train", "dpo"),
    ("train", "reward"),
    ("train", "grpo"),
    ("train", "guide_grpo"),
    ("train", "sdpo"),
    ("train", "vpd"),
    ("train", "hybrid"),
    ("loop",),
    ("play",),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_starts_with_examples(swegym, verb: tuple[str, ...]) -> None:
    for flag in ("-h", "--help"):
        shown = swegym(*verb, flag)
        assert shown.code == 0
        assert shown.out.index("Examples:") < shown.out.index("Options")
        assert shown.out.count(f"swegym {' '.join(verb)}") >= 3


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_verb_has_at_most_fifteen_flags(verb: tuple[str, ...]) -> None:
    command = typer.main.get_command(app)
    for name in verb:
        command = command.commands[name]
    flags = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    assert len(flags) <= 15
    assert all(parameter.help for parameter in flags)


def test_there_is_no_verb_without_a_test_here() -> None:
    command = typer.main.get_command(app)
    names = set()
    pending = [((), command)]
    while pending:
        path, found = pending.pop()
        if hasattr(found, "commands"):
            pending += [((*path, name), each) for name, each in found.commands.items()]
        else:
            names.add(path)
    assert names == set(VERBS)


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "swegym", "tasks", "list", "--wrong"], capture_output=True, text=True)
    assert done.returncode == 2 and "Usage: swegym tasks list" in done.stderr


def test_the_version_is_the_packages_own(swegym) -> None:
    shown = swegym("--version")
    assert (shown.code, shown.out.strip()) == (0, f"swegym {importlib.metadata.version('swegym')}")


def test_no_completion_flags(swegym) -> None:
    assert "completion" not in swegym("--help").out


def test_a_mistyped_verb_is_a_usage_error_with_a_suggestion(swegym) -> None:
    result = swegym("docto")
    assert result.code == 2
    assert "doctor" in result.err


@pytest.mark.parametrize(
    "arguments", [("grade", "demo"), ("run", "demo", "--no-such-flag"), ("report",), ("run", "-k", "0")]
)
def test_wrong_usage_exits_2(swegym, arguments: tuple[str, ...]) -> None:
    assert swegym(*arguments).code == 2
