"""What a project's files say of its tests, and which interpreter fits its day."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from swegym.errors import TaskError
from swegym.tasks import interpreters, project_files
from swegym.tasks.install import day_for

KNOWN = ("3.6", "3.8", "3.9", "3.10", "3.11", "3.12")


def write(tree: Path, **files: str) -> Path:
    for name, text in files.items():
        path = tree / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tree


def test_pyproject(tmp_path: Path) -> None:
    text = (
        '[build-system]\nrequires = ["setuptools-scm[toml]>=6"]\n'
        '[project]\nname = "calc"\nrequires-python = ">=3.8"\n'
        'classifiers = ["Programming Language :: Python :: 3.9", "Programming Language :: Python :: 3"]\n'
        '[project.optional-dependencies]\ndocs = []\ntest = ["pytest"]\n[dependency-groups]\ndev = []\n'
        '[tool.pytest.ini_options]\ntestpaths = ["tests", "more"]\nxfail_strict = true\nminversion = "6"\n'
        'addopts = "--cov=calc -n auto --strict-markers -ra"\n'
        'filterwarnings = ["error", "ignore::calc.Old", "ignore::numpy.Old"]\n'
    )
    found = project_files.read(write(tmp_path, pyproject_dot_toml=text, src__calc__mod_dot_py=""))
    assert (found.name, found.requires_python, found.classified) == ("calc", ">=3.8", ("3.9",))
    assert (found.extras, found.groups, found.scm_version) == (("test",), ("dev",), True)
    # A class of the project's own cannot be imported before it, so neither can its absence turn into errors.
    assert found.pytest_options == {
        "testpaths": "tests\nmore",
        "xfail_strict": "true",
        "addopts": "--strict-markers",
        "filterwarnings": "ignore::numpy.Old",
    }


def test_setup_py_and_requirements(tmp_path: Path) -> None:
    setup = (
        "extras_require = {'tests': ['pytest'], 'docs': []}\nextras_require['dev'] = []\n"
        "setup(name='calc', python_requires='>=2.7, !=3.0.*', extras_require=extras_require)\n"
    )
    tree = write(tmp_path, setup_dot_py=setup, requirements_dot_txt="", requirements__tests_dot_txt="pytest\n")
    found = project_files.read(tree)
    assert (found.name, found.requires_python) == ("calc", ">=2.7, !=3.0.*")
    assert found.extras == ("tests", "dev")
    assert found.requirement_files == ("requirements/tests.txt",)


def test_tox_and_setup_cfg(tmp_path: Path) -> None:
    tox = (
        "[testenv]\ndeps =\n    pytest>=3.5  # newer\n    py27: mock\n    -rrequirements.txt\n    {env:X}\n    mock\n"
        "commands = python -X dev -m pytest --durations 25 {posargs}\n[pytest]\nmarkers = slow\n"
    )
    cfg = "[metadata]\nname = calc\n[options]\npython_requires = >=3.6\n[options.extras_require]\ntest = pytest\n"
    found = project_files.read(write(tmp_path, tox_dot_ini=tox, setup_dot_cfg=cfg))
    assert (found.requirements, found.extras) == (("pytest>=3.5", "mock"), ("test",))
    assert (found.installable, found.pytest_options) == (True, {"markers": "slow"})
    command = project_files.without_tox("tox --current-env -epy39 -v -- tests/test_a.py", tmp_path)
    assert command == "python -X dev -m pytest --durations 25 tests/test_a.py -rA"
    assert project_files.without_tox("pytest -rA x.py", tmp_path) == "pytest -rA x.py"


def test_broken_files_say_nothing(tmp_path: Path) -> None:
    tree = write(tmp_path, pyproject_dot_toml="[", setup_dot_cfg="x", tox_dot_ini="=")
    found = project_files.read(tree)
    assert (found.installable, found.extras, found.pytest_options) == (False, (), {})


@pytest.mark.parametrize(
    ("names", "file", "command"),
    [
        (["a.py::test_x"], "bin/test", "pytest -rA {files}"),
        (["test_coth"], "bin/test", "bin/test -C --verbose {files}"),
        (["test_x (app.tests.Case)"], "tests/runtests.py", "./tests/runtests.py --verbosity 2"),
        (["test_x (app.tests.Case)"], "setup.py", "python -m unittest -v {files}"),
    ],
)
def test_a_runner_is_told_by_names_and_files(tmp_path: Path, names: list[str], file: str, command: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    assert command in project_files.inferred_command(tmp_path, names, project_files.read(tmp_path))


def test_a_policy_is_shown_a_whole_test_folder() -> None:
    paths = ("calc/__init__.py", "calc/deep/tests/test_a.py", "tests/test_b.py", "setup.py")
    assert project_files.visible_tests(paths, ["tests/test_b.py"], {}) == ("tests",)
    assert project_files.visible_tests(paths, ["calc/deep/tests/test_a.py"], {}) == ("calc",)
    assert project_files.visible_tests(paths, ["tests/test_b.py"], {"testpaths": "calc none"}) == ("calc",)
    assert project_files.source_folders(paths, ["."], ["calc/deep/x.py", "setup.py"]) == ("calc", "setup.py")


@pytest.mark.parametrize(
    ("day", "requires", "classified", "chosen"),
    [
        ("2013-01-01", None, ("2.7", "3.3"), "3.9"),  # older than all: the most compatible
        ("2019-01-01", "<3.7", (), "3.6"),
        ("2023-04-01", ">=3.8", (), "3.10"),  # the newest that was a year old
        ("2024-06-01", ">=3.8", ("3.8", "3.10"), "3.10"),
        ("2024-06-01", ">=3.11", (), "3.11"),
        ("2020-01-01", ">=3.11", (), "3.11"),  # newer than its day, and nothing else is allowed
    ],
)
def test_the_interpreter_of_a_day(day: str, requires: str | None, classified: tuple[str, ...], chosen: str) -> None:
    assert interpreters.choose(datetime.date.fromisoformat(day), requires, classified, KNOWN) == chosen


def test_an_interpreter_that_is_not_here_is_named() -> None:
    with pytest.raises(TaskError, match=r"requires Python >=3\.14, and this host has 3\.6, 3\.8"):
        interpreters.choose(datetime.date(2026, 1, 1), ">=3.14", (), KNOWN)


def test_packages_are_taken_as_of_the_latest_day() -> None:
    assert day_for("2019-05-01T00:00:00Z", "2018-01-01", "3.9") == interpreters.FIRST_WHEELS["3.9"]
    assert day_for("2023-05-01", "2024-01-02T03:04:05+01:00", "3.9") == datetime.date(2024, 1, 2)
    assert day_for("", "2018-01-01", "3.6") == datetime.date(2018, 1, 1)
