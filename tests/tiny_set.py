"""A task set that is built without a network: two bugs in a package of two files, graded with this machine's pytest.

Everything else about it is real: recipes, layers in the store, a sealed repository, hidden tests.
"""

import importlib.metadata
import shutil
from pathlib import Path

from swegym import paths
from swegym.images import store
from swegym.sandbox.base import interpreter
from swegym.tasks import TaskSet, built, environment, load_task_set, repository
from swegym.types import HiddenTests, Task, TestSetup

SOURCE = {
    "tiny/__init__.py": '"""Arithmetic."""\n',
    "tiny/numbers.py": (
        "def double(number):\n    return number * 2\n\n\n"
        "def largest(numbers):\n    best = numbers[0]\n    for number in numbers:\n"
        "        if number > best:\n            best = number\n    return best\n"
    ),
}
TESTS = (
    "from tiny.numbers import double, largest\n\n\n"
    "def test_double_of_two():\n    assert double(2) == 4\n\n\n"
    "def test_double_of_nothing():\n    assert double(0) == 0\n\n\n"
    "def test_largest_of_one():\n    assert largest([7]) == 7\n"
)
HIDDEN = TESTS + (
    "\n\ndef test_double_of_five():\n    assert double(5) == 10\n\n\n"
    "def test_largest_is_found_anywhere():\n    assert largest([1, 9, 3]) == 9\n"
)
BUGS = {
    "tiny-1": ("number * 2", "number + 2", "test_double_of_five"),
    "tiny-2": ("number > best", "number < best", "test_largest_is_found_anywhere"),
}
NAMES = (
    "test_double_of_two",
    "test_double_of_nothing",
    "test_largest_of_one",
    "test_double_of_five",
    "test_largest_is_found_anywhere",
)


def write(folder: Path) -> TaskSet:
    """The set's folder, `folder`/tiny, with its recipes; not built."""
    home = folder / "tiny"
    home.mkdir(parents=True)
    (home / "set.toml").write_text('name = "tiny"\nversion = "1"\ndescription = "Two bugs in a tiny package"\n')
    for task, (_, _, failing) in BUGS.items():
        (home / f"{task}.toml").write_text(_recipe(task, failing))
    return load_task_set(home)


def build(task_set: TaskSet) -> TaskSet:
    """Put both tasks into the store, as a build leaves them."""
    layer = _environment()
    for task, (right, wrong, failing) in BUGS.items():
        # Another worker may be at it; saving twice would take the task away for a moment.
        with store.exclusive(paths.built_tasks() / f".{task}.lock"):
            if not task_set.is_built(task):
                with store.scratch() as folder:
                    built.save(_assemble(task, right, wrong, failing, layer, folder), task_set.stamp(task))
    return task_set


def _recipe(task: str, failing: str) -> str:
    passing = ", ".join(f'"{name}"' for name in _passing(task, failing))
    return (
        'source = "pypi"\npackage = "tiny"\n'
        f'buggy = {{ version = "1.0", sha256 = "{"0" * 64}" }}\n'
        f'fixed = {{ version = "1.1", sha256 = "{"1" * 64}" }}\n'
        'source_paths = ["tiny"]\ntest_paths = ["tests"]\n'
        'issue = "A function of tiny.numbers gives wrong results for some of its arguments."\n'
        f'[fail_to_pass]\n"tests/test_numbers.py" = ["{failing}"]\n'
        f'[pass_to_pass]\n"tests/test_numbers.py" = [{passing}]\n'
    )


def _passing(task: str, failing: str) -> list[str]:
    # `0 + 2` is not 0, so the first bug fails that test as well, and it is left out of what is expected.
    return [name for name in NAMES if name != failing and not (task == "tiny-1" and name == "test_double_of_nothing")]


def _environment() -> str:
    key = {"kind": "tests' own environment with coverage", "python": interpreter().version}
    digest, _ = store.layer(key, _fill)
    return digest


def _fill(tree: Path) -> None:
    python = interpreter()
    site = environment.site_packages(tree, python)
    site.mkdir(parents=True)
    (tree / "opt/venv/bin").mkdir()
    (tree / "opt/venv/pyvenv.cfg").write_text(f"home = {Path(python.inside).parent}\n")
    for name in ("python", "python3"):
        (tree / "opt/venv/bin" / name).symlink_to(python.inside)
    for package in ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "coverage"):
        for file in importlib.metadata.files(package) or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), site / file)


def _assemble(task: str, right: str, wrong: str, failing: str, layer: str, folder: Path) -> Task:
    fixed, tree = folder / "fixed", folder / "layer"
    root = tree / "testbed"
    for place, broken in ((fixed, False), (root, True)):
        for path, text in {**SOURCE, "tests/test_numbers.py": TESTS}.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text.replace(right, wrong) if broken else text)
    gold = repository.difference(root, fixed, ["tiny"], ["tests"], folder / "difference.git")
    commit = repository.seal(root, folder / "pristine.git", "tiny 1.0")
    environment.link_package(tree, "tiny", "1.0", ["."])
    image = store.make_image([layer, store.put_layer(tree)], environment.VARIABLES)
    return Task(
        id=task,
        set="tiny",
        repo="tiny 1.0",
        issue="A function of tiny.numbers gives wrong results for some of its arguments.\n",
        image=image,
        tests=TestSetup(visible=("tests",), timeout=30.0),
        hidden=HiddenTests(
            {"tests/test_numbers.py": HIDDEN.encode()},
            ("tests",),
            (f"tests/test_numbers.py::{failing}",),
            tuple(f"tests/test_numbers.py::{name}" for name in _passing(task, failing)),
        ),
        gold_patch=gold,
        pristine=folder / "pristine.git",
        base_commit=commit,
        source=("tiny",),
        digest=store.json_digest([task, commit]),
    )
