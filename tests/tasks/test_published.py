"""Rows in their published images: nothing is installed, no later commit comes along, grading is official."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import published_image
import pytest
import row_project
from container_engine import engine  # noqa: F401 - a fixture

from swegym.errors import InputError, TaskError
from swegym.evaluate import Prediction, evaluate, gold_predictions, read_results
from swegym.sandbox import docker_engine, open_sandbox
from swegym.tasks import TaskSet, load_task_set, published
from swegym.tasks.build import build
from swegym.tasks.importing import import_rows
from swegym.tasks.sealing import sealed_problems
from swegym.tasks.sources.rows_swebench import activation

made = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or not (shutil.which("mmdebstrap") or os.geteuid() == 0),
    reason="the image is made of Debian's Python 3.11 and this one's packages",
)
real = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(900), made]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A saved image, and its repository's commits."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed")
    folder = tmp_path_factory.mktemp("published")
    commits = published_image.make_tree(folder / "tree")
    with (folder / "me__calcs-1.tar").open("wb") as file:
        published_image.write_image(file, folder / "tree", "published/me_1776_calcs-1:latest")
    return folder / "me__calcs-1.tar", commits


def imported(folder: Path, images: str, *rows: dict[str, Any]) -> TaskSet:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = import_rows(str(folder / "rows.jsonl"), folder / "set", images=images)
    assert not report.refused
    return load_task_set(folder / "set")


def row(commits: dict[str, str], **changes: Any) -> dict[str, Any]:
    passing = ["tests/test_calcs.py::test_two", "tests/test_calcs.py::test_words[c]"]
    script = published_image.SCRIPT.replace("BASE", commits["base"])
    return row_project.row(commits["base"], PASS_TO_PASS=passing, eval_script=script, **changes)


def check_built(tasks: TaskSet, commits: dict[str, str]) -> None:
    """The environment is the image's, sealed, and both graders say of every patch what they should."""
    (built,) = build(tasks)
    assert built.error is None, built.error
    task = tasks.load("me__calcs-1")
    assert (task.repo, task.tests.runner) == ("calcs 1.2.3", "pytest")
    assert task.tests.command == "pytest -rA tests/test_calcs.py"
    assert task.image.environment["CONDA_DEFAULT_ENV"] == "testbed"
    assert task.image.environment["PATH"].startswith("/opt/miniconda3/envs/testbed/bin:")
    assert sealed_problems(task, open_sandbox) == []
    with open_sandbox(task.image) as box:
        assert box.exec("git log --format=%s").text.split("\n")[:3] == [
            f"{commits['base'][:12]} as its image has it",
            "base",
            "",
        ]
        assert box.exec("git status --porcelain; cat .git/packed-refs .git/logs/HEAD 2>/dev/null").text == ""
        assert box.exec("grep -rq 'the answer' . .git").exit_code != 0
        assert box.exec(f"git cat-file -e {commits['fix']}").exit_code != 0
        assert box.exec("tail -n 1 setup.py; ls -d calcs.egg-info; echo $OF_THE_IMAGE").text.split("\n")[:3] == [
            "# pinned by whoever built the image",
            "calcs.egg-info",
            "yes",
        ]
        assert box.exec("python -c 'import sys; print(sys.prefix)'").text.strip() == "/opt/miniconda3/envs/testbed"


def check_graded(tasks: TaskSet, out: Path) -> None:
    wrong = row_project.FIX.replace("number * 2", "number - 2")
    wanted = [*gold_predictions(tasks), Prediction("me__calcs-1", "m", wrong, 1)]
    evaluate(tasks, wanted, out, jobs=1)
    right, left = sorted(read_results(out), key=lambda result: result.attempt)
    assert (right.resolved, right.compatible, left.resolved, left.compatible) == (True, True, False, False)
    grading = pytest.importorskip("swebench.harness.grading")
    from swebench.types import TestSpec as OfficialSpec

    task = tasks.load("me__calcs-1")
    assert task.hidden.official is not None
    f2p, p2p = list(task.hidden.official.fail_to_pass), list(task.hidden.official.pass_to_pass)
    spec = OfficialSpec("me__calcs-1", "", [], "me/calcs", "1", f2p, p2p, "parse_log_pytest", "pass_and_fail")
    log = out / "logs" / "me__calcs-1" / "test_output.txt"
    prediction = {"instance_id": "me__calcs-1", "model_patch": task.gold_patch}
    said = grading.get_eval_report(spec, prediction, str(log), True)["me__calcs-1"]
    assert right.official is not None
    assert (said["resolved"], said["tests_status"]) == (True, right.official["tests_status"])


class TestARowFromAnImage:
    pytestmark = real

    def test_a_saved_image_gives_the_environment_of_a_harbor_folder(
        self, image: tuple[Path, dict[str, str]], tmp_path: Path
    ) -> None:
        """It has no script that says what to activate, so the image's folders tell."""
        saved, commits = image
        folder = tmp_path / "folders" / "me__calcs-1"
        (folder / "tests").mkdir(parents=True)
        (folder / "task.toml").write_text('schema_version = "1.4"\n')
        (folder / "tests" / "config.json").write_text(json.dumps({**row(commits), "eval_script": None}))
        report = import_rows(str(folder.parent), tmp_path / "set", images=f"{saved.parent}/{{id}}.tar")
        assert report.written == ("me__calcs-1",)
        tasks = load_task_set(tmp_path / "set")
        check_built(tasks, commits)
        check_graded(tasks, tmp_path / "out")

    def test_an_image_of_the_engine_by_the_name_in_the_row(
        self,
        image: tuple[Path, dict[str, str]],
        tmp_path: Path,
        engine: str,  # noqa: F811
    ) -> None:
        saved, commits = image
        client = docker_engine.connect(engine)
        try:
            with saved.open("rb") as file:
                client.images.load(file)
            tasks = imported(tmp_path, "row", row(commits, image="published/me_1776_calcs-1:latest"))
            check_built(tasks, commits)
            check_graded(tasks, tmp_path / "out")
            missing = imported(tmp_path, "docker://published/{docker_id}:none", row(commits))
            assert "the engine has no such image" in str(build(missing)[0].error)
        finally:
            client.images.remove("published/me_1776_calcs-1:latest", force=True)
            client.close()

    def test_a_commit_that_the_image_lacks_says_so(self, image: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
        saved, commits = image
        tasks = imported(tmp_path, str(saved), {**row(commits), "base_commit": "0" * 40})
        said = str(build(tasks)[0].error)
        assert "its image has no commit 0000" in said and "--clone me/calcs=DIR" in said


@pytest.mark.parametrize(
    ("template", "image", "place"),
    [
        ("row", "a/b:1", "docker://a/b:1"),
        ("row", None, None),
        ("docker://x/{docker_id}:latest", None, "docker://x/me_1776_calcs-1:latest"),
        ("x/{docker_id}", None, "docker://x/me_1776_calcs-1"),
        ("oci:/images/{id}", None, "oci:/images/Me__calcs-1"),
        ("/images/{id}.tar", None, "/images/Me__calcs-1.tar"),
    ],
)
def test_where_the_image_of_a_row_is(template: str, image: str | None, place: str | None) -> None:
    assert published.spelled(template, "Me__calcs-1", image) == place


def test_a_row_that_names_no_image_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    rows = [row_project.row("0" * 40, 1), row_project.row("0" * 40, 2, image="a/b:1")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    report = import_rows(str(tmp_path / "rows.jsonl"), tmp_path / "set", images="row")
    assert report.written == ("me__calcs-2",)
    assert "names no image. Say how images are called" in str(report.refused[0].error)
    assert load_task_set(tmp_path / "set").recipe("me__calcs-2").build.image == "docker://a/b:1"  # type: ignore[union-attr]


def test_only_activating_lines_before_the_tests_are_taken() -> None:
    script = "set -e\nsource /opt/miniconda3/bin/activate\nconda activate testbed\ncd /testbed\npip install -e .\n"
    script += "source .venv/bin/activate\n: '>>>>> Start Test Output'\nconda activate other\n"
    assert activation(script).split("\n") == [
        "source /opt/miniconda3/bin/activate",
        "conda activate testbed",
        "source .venv/bin/activate",
    ]
    assert activation("source evil/activate; rm -rf /\n") == ""


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (
            ("opt/miniconda3/bin/activate", "opt/miniconda3/envs/testbed/x"),
            "source /opt/miniconda3/bin/activate testbed",
        ),
        (("testbed/.venv/bin/activate",), "source /testbed/.venv/bin/activate"),
        (("opt/venv/bin/activate",), "source /opt/venv/bin/activate"),
        (("usr/bin/python3",), ""),
    ],
)
def test_an_environment_is_found_by_its_folder(tmp_path: Path, files: tuple[str, ...], line: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert published._activation(tmp_path, "/testbed") == line


def test_history_is_read_as_data_alone(tmp_path: Path) -> None:
    """A configuration, a hook or borrowed objects of the image would be somebody else's words in our git."""
    row_project.make_clone(tmp_path / "clone")
    git = tmp_path / "clone" / ".git"
    (git / "objects" / "info").mkdir(exist_ok=True)
    (git / "objects" / "info" / "alternates").write_text("/somewhere/else\n")
    (git / "hooks").mkdir(exist_ok=True)
    assert published._read_history(git, tmp_path / "history.git")
    assert {entry.name for entry in (tmp_path / "history.git").iterdir()} <= {"objects", "refs", "HEAD", "packed-refs"}
    assert not (tmp_path / "history.git" / "objects" / "info" / "alternates").exists()
    (tmp_path / "link").symlink_to(git)
    assert not published._read_history(tmp_path / "link", tmp_path / "other.git")


def test_a_bug_is_not_written_through_a_link_of_the_image(tmp_path: Path) -> None:
    commits = row_project.make_clone(tmp_path / "clone")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "outside").mkdir()
    (tree / "calcs").symlink_to(tmp_path / "outside")
    taken = published.Taken("x", tree, None, "")
    bug = row_project.FIX.replace("number * 2", "number - 2")
    with pytest.raises(TaskError, match="goes through a link"):
        published.seal(
            tmp_path / "clone", commits["base"], taken, tmp_path / "p.git", tmp_path / "scratch", setup_patch=bug
        )
    assert not any((tmp_path / "outside").iterdir())


def test_files_as_committed_keep_the_published_commit(tmp_path: Path) -> None:
    commits = row_project.make_clone(tmp_path / "clone")
    row_project.git(tmp_path / "clone", "checkout", "--quiet", commits["base"])
    tree = tmp_path / "tree"
    shutil.copytree(tmp_path / "clone", tree, ignore=shutil.ignore_patterns(".git"))
    taken = published.Taken("x", tree, None, "")
    at = published.seal(tmp_path / "clone", commits["base"], taken, tmp_path / "p.git", tmp_path / "scratch")
    assert at == commits["base"]
    assert row_project.git(tree, "status", "--porcelain") == ""


@pytest.mark.parametrize("place", ["python:3.11", "./folder", "docker:/x"])
def test_an_image_that_is_no_place_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "o.toml").write_text(f'["me/calcs"]\nimage = "{place}"\n')
    from swegym.tasks.importing import read_overrides

    with pytest.raises(InputError, match="docker://REFERENCE"):
        read_overrides(tmp_path / "o.toml")
