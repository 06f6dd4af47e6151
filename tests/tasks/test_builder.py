"""Rows are built from a local clone, installed as of their day, and judged by both graders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import row_project

from swegym.errors import TaskError
from swegym.evaluate import Prediction, evaluate, gold_predictions, read_results, regrade
from swegym.sandbox import open_sandbox
from swegym.tasks import TaskSet, checkout, load_task_set
from swegym.tasks.build import build
from swegym.tasks.clones import clone_of, found_clones, note_clones
from swegym.tasks.importing import import_rows
from swegym.tasks.sealing import sealed_problems

pytestmark = pytest.mark.network

FORGED = (
    "diff --git a/conftest.py b/conftest.py\nnew file mode 100644\n--- /dev/null\n+++ b/conftest.py\n@@ -0,0 +1,7 @@\n"
    "+import pytest\n+\n+\n+@pytest.hookimpl(hookwrapper=True)\n+def pytest_runtest_makereport(item):\n"
    "+    answer = yield\n+    answer.get_result().outcome = 'passed'\n"
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("clones") / "calcs"
    return folder, row_project.make_clone(folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, clone: tuple[Path, dict[str, str]]) -> TaskSet:
    folder = tmp_path_factory.mktemp("sets") / "calcs"
    base = clone[1]["base"]
    rows = folder.with_name("rows.jsonl")
    rows.write_text(
        "".join(
            json.dumps(one) + "\n"
            for one in (
                row_project.row(base),
                row_project.row("0" * 40, 2),
                row_project.row(clone[1]["fix"], 3),
                row_project.row(base, 4, FAIL_TO_PASS=["tests/test_calcs.py::test_none"]),
            )
        )
    )
    overrides = {"me__calcs-4": {"runner": "pytest"}}
    import_rows(str(rows), folder, overrides=overrides)
    note_clones(folder, found_clones(clone[0].parent, ["me/calcs"]))
    return load_task_set(folder)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_row_builds_and_both_graders_resolve_its_fix(built: TaskSet, tmp_path: Path) -> None:
    results = {result.id: result for result in build(built, jobs=2)}
    assert results["me__calcs-1"].error is None
    says = {
        2: "has no commit 0000",
        3: "does not apply at",
        4: "do not exist here, among them tests/test_calcs.py::test_none",
    }
    for number, text in says.items():
        assert text in str(results[f"me__calcs-{number}"].error)

    task = built.load("me__calcs-1")
    assert task.repo == "calcs 1.2.3"
    assert (task.tests.runner, task.tests.command) == ("pytest", "pytest -rA tests/test_calcs.py")
    # The cut name means what is spelled so, and the word that a parser took for a test is gone.
    assert task.hidden.pass_to_pass == ("tests/test_calcs.py::test_two", "tests/test_calcs.py::test_words[a b]")
    assert task.hidden.official is not None
    assert task.hidden.official.pass_to_pass[-1] == "[100%]"
    assert sealed_problems(task, open_sandbox) == []
    with open_sandbox(task.image) as sandbox:
        commits = sandbox.exec("git log --format=%s; git tag; git cat-file --batch-all-objects --batch-check | wc -l")
        assert commits.stdout.decode().split()[:2] == ["base", "first"]
        assert "v1.3.0" not in commits.text
        assert sandbox.exec("git status --porcelain --ignored").text == ""
        assert sandbox.exec("git rev-parse HEAD").text.strip() == task.base_commit
        assert sandbox.exec("grep -r 'the answer' . .git").exit_code == 1

    only = built.select(["me__calcs-1"])
    out = tmp_path / "out"
    wanted = [
        *gold_predictions(only),
        Prediction("me__calcs-1", "liar", FORGED, 1),
        Prediction("me__calcs-1", "m", "", 2),
    ]
    report = evaluate(only, wanted, out, jobs=1)
    honest, forged, empty = sorted(read_results(out), key=lambda result: result.attempt)
    assert (honest.resolved, honest.compatible) == (True, False)  # `[100%]` is in no log of this project
    assert honest.official is not None
    assert honest.official["tests_status"]["FAIL_TO_PASS"]["success"] == ["tests/test_calcs.py::test_five"]
    assert honest.official["tests_status"]["PASS_TO_PASS"]["failure"] == ["[100%]"]
    assert forged.resolved is False
    assert forged.official is not None
    assert forged.official["tests_status"]["FAIL_TO_PASS"]["failure"] == []  # the official rules believe it
    assert (empty.resolved, empty.compatible) == (False, False)
    assert report["pass_at_k"]["1"]["value"] == pytest.approx(1 / 3)
    assert "me__calcs-1" in report["verdicts_differ"]
    assert json.loads((out / "official_report.json").read_text())["unresolved_ids"] == ["me__calcs-1"]

    log = out / "logs" / "me__calcs-1" / "test_output.txt"
    log.write_text(
        log.read_text().replace(
            "PASSED tests/test_calcs.py::test_two", "PASSED [100%]\nPASSED tests/test_calcs.py::test_two"
        )
    )
    assert regrade(only, wanted, out)["compatible_ids"] == ["me__calcs-1"]
    assert json.loads((log.parent / "report.json").read_text())["me__calcs-1"]["resolved"] is True


def test_only_the_commit_and_its_parents_are_fetched(clone: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, commits = clone
    assert checkout.check_out(folder, commits["base"][:9], tmp_path / "tree", tmp_path / "p.git") == commits["base"]
    objects = row_project.git(tmp_path / "tree", "cat-file", "--batch-all-objects", "--batch-check")
    assert commits["fix"] not in objects
    assert commits["first"] in objects
    assert row_project.git(tmp_path / "tree", "status", "--porcelain", "--ignored") == ""
    assert not {"FETCH_HEAD", "ORIG_HEAD", "logs", "packed-refs"} & {
        entry.name for entry in (tmp_path / "p.git").iterdir()
    }


def test_a_bug_that_is_made_gives_one_commit(clone: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, commits = clone
    bug = row_project.FIX.replace("number * 2", "number - 2")
    made = checkout.check_out(folder, commits["base"], tmp_path / "tree", tmp_path / "p.git", setup_patch=bug)
    assert row_project.git(tmp_path / "tree", "rev-list", "--all").split() == [made]
    assert "number - 2" in (tmp_path / "tree" / "calcs" / "__init__.py").read_text()
    undone = checkout.reverse(tmp_path / "p.git", made, bug)
    assert "+    return number + 2" in undone


def test_a_repository_without_a_clone_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="--clone me/other=DIR"):
        clone_of(tmp_path, "me/other")
