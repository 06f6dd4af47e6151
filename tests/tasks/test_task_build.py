"""A built task holds the release with the bug, nothing of the other one, and is built once."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from swegym import paths
from swegym.errors import NotBuilt, TaskError
from swegym.images import store
from swegym.tasks import TaskSet, load_task_set
from swegym.tasks.build import BuildEvent, build
from swegym.types import Task
from tests.tasks.calc_releases import BUGGY, FIXED, recipe, write_set

pytestmark = pytest.mark.network  # the environment layer


@pytest.fixture
def task_set(tmp_path: Path) -> TaskSet:
    return load_task_set(write_set(tmp_path, calc_fix=recipe()))


@pytest.fixture
def task(task_set: TaskSet) -> Task:
    (result,) = build(task_set)
    assert result.built, result.error
    return task_set.load("calc-fix")


def image_files(task: Task) -> dict[str, bytes]:
    found = {}
    for layer in task.image.layers:
        root = store.layer_path(layer)
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


def test_the_repository_is_the_release_with_the_bug_without_generated_metadata(task: Task) -> None:
    in_testbed = {
        name.removeprefix("testbed/"): data
        for name, data in image_files(task).items()
        if name.startswith("testbed/") and "/.git/" not in name
    }
    assert in_testbed == {name: data for name, data in BUGGY.items() if "PKG-INFO" not in name}


def test_no_byte_of_what_the_fix_added_is_anywhere_in_the_image(task: Task) -> None:
    added = [b"return a + b", b"__version__ = '1.1'", b"addition adds", b"def test_more", bytes(range(256))]
    for name, data in image_files(task).items():
        if "calc" in name or name.startswith("testbed/"):
            assert not any(text in data for text in added), name
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=task.pristine, capture_output=True, check=True
    ).stdout
    assert not any(text in objects for text in added)


def test_the_parts_of_a_task_are_those_of_its_recipe(task: Task, task_set: TaskSet) -> None:
    assert task.repo == "calc 1.0" and task.set == task_set.name and task.source == ("src/calc",)
    assert task.tests.visible == ("tests",) and task.tests.pythonpath == ("src",)
    assert task.hidden.owned == ("tests",)
    assert task.hidden.files == {name: data for name, data in FIXED.items() if name.startswith("tests/")}
    assert task.hidden.fail_to_pass == ("tests/test_add.py::test_more",)
    assert task.hidden.pass_to_pass == ("tests/test_add.py::test_zero",)
    assert "+    return a + b" in task.gold_patch and "test_more" not in task.gold_patch
    assert "CHANGES" not in task.gold_patch


def test_image_and_pristine_repository_are_at_the_same_commit(task: Task) -> None:
    for git in (task.pristine, store.layer_path(task.image.layers[-1]) / "testbed" / ".git"):
        found = subprocess.run(["git", "rev-list", "--all"], cwd=git, capture_output=True, text=True, check=True).stdout
        assert found.split() == [task.base_commit]


def test_a_second_build_does_nothing_and_a_changed_recipe_builds_anew(task: Task, task_set: TaskSet) -> None:
    (again,) = build(task_set)
    assert again.built and again.cached
    file = task_set.recipes["calc-fix"]
    file.write_text(file.read_text().replace("everybody else", "most people"))
    with pytest.raises(NotBuilt):
        task_set.load("calc-fix")
    (changed,) = build(task_set)
    assert changed.built and not changed.cached
    rebuilt = task_set.load("calc-fix")
    assert "most people" in rebuilt.issue and rebuilt.digest != task.digest
    assert rebuilt.image == task.image and rebuilt.base_commit == task.base_commit


def test_a_task_whose_layer_is_gone_is_not_built(tmp_path: Path) -> None:
    found = load_task_set(write_set(tmp_path, lost=recipe(buggy={**BUGGY, "CHANGES": b"lost\n"})))
    build(found)
    task = found.load("lost")
    store.remove_tree(store.layer_path(task.image.layers[-1]))
    assert not found.is_built("lost")
    assert build(found)[0].built
    assert found.load("lost") == task


def test_tasks_with_equal_requirements_share_their_environment(tmp_path: Path) -> None:
    other = {**BUGGY, "CHANGES": b"1.0: another first release\n"}
    found = load_task_set(write_set(tmp_path, one=recipe(), two=recipe(buggy=other)))
    assert all(result.built for result in build(found, jobs=2))
    one, two = found.load("one"), found.load("two")
    assert one.image.layers[0] == two.image.layers[0]
    assert one.image.digest != two.image.digest and one.digest != two.digest


def test_a_virtual_environment_that_was_packed_by_mistake_is_left_out(tmp_path: Path) -> None:
    packed = {".venv/pyvenv.cfg": b"home = /usr\n", ".venv/lib/site-packages/calc/__init__.py": b"newer = True\n"}
    found = load_task_set(write_set(tmp_path, packed=recipe({**BUGGY, **packed}, {**FIXED, **packed})))
    assert build(found)[0].built
    tree = store.layer_path(found.load("packed").image.layers[-1]) / "testbed"
    assert (tree / "src/calc/__init__.py").is_file() and not (tree / ".venv").exists()


def test_gold_paths_narrow_the_reference_fix(tmp_path: Path) -> None:
    fixed = {**FIXED, "src/calc/version.py": b"1.1\n"}
    text = recipe(fixed=fixed, extra='gold_paths = ["src/calc/__init__.py"]')
    found = load_task_set(write_set(tmp_path, narrow=text))
    assert build(found)[0].built
    assert "version.py" not in found.load("narrow").gold_patch


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lambda: recipe(fixed={**FIXED, "src/calc/__init__.py": BUGGY["src/calc/__init__.py"]}), "there is no fix"),
        (lambda: recipe().replace("tests/test_add.py", "tests/test_sum.py"), "has no tests/test_sum.py"),
        (lambda: recipe(extra='requirements = ["Calc==1.1"]'), "a second copy"),
        (lambda: recipe(extra='requirements = ["pytest==0.0.1"]'), "environment could not be installed"),
    ],
    ids=["no difference", "no such test file", "newer copy", "no such requirement"],
)
def test_what_cannot_be_built_has_its_error_and_the_others_go_on(tmp_path: Path, text, said: str) -> None:
    found = load_task_set(write_set(tmp_path, a_bad=text(), b_good=recipe()))
    bad, good = build(found)
    assert not bad.built and isinstance(bad.error, TaskError) and said in str(bad.error)
    assert good.built and good.error is None
    assert not (paths.built_tasks() / found.name / "a-bad").exists()


def test_progress_is_told_step_by_step(tmp_path: Path) -> None:
    other = {**BUGGY, "CHANGES": b"told\n"}
    found = load_task_set(write_set(tmp_path, told=recipe(buggy=other)))
    events: list[BuildEvent] = []
    build(found, on_event=events.append)
    build(found, on_event=events.append)
    assert [event.step for event in events] == ["sources", "environment", "repository", "built", "cached"]


def test_builders_of_one_task_wait_for_each_other(tmp_path: Path) -> None:
    other = {**BUGGY, "CHANGES": b"waited for\n"}
    folder = write_set(tmp_path, shared=recipe(buggy=other))
    results = []
    threads = [threading.Thread(target=lambda: results.extend(build(load_task_set(folder)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.built for result in results] == [True] * 3
    assert sorted(result.cached for result in results) == [False, True, True]
