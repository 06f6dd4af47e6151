"""Rows in seven shapes become recipes; what is wrong with one row is said of that row, and the others go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swegym.errors import InputError, UnknownName
from swegym.tasks import load_task_set
from swegym.tasks.importing import import_rows, override_set, read_overrides
from swegym.tasks.row_recipe import RowRecipe
from swegym.tasks.sources import rows

PATCH = "diff --git a/calc.py b/calc.py\n--- a/calc.py\n+++ b/calc.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
TESTS = PATCH.replace("calc.py", "tests/test_calc.py")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = (
    "#!/bin/bash\nset -uxo pipefail\n: '>>>>> Start Test Output'\npytest -rA tests/test_calc.py\n"
    ": '>>>>> End Test Output'\ngit checkout x\n"
)


def classic(**changes: Any) -> dict[str, Any]:
    row = {
        "repo": "me/calc",
        "instance_id": "me__calc-1",
        "base_commit": COMMIT,
        "patch": PATCH,
        "test_patch": TESTS,
        "problem_statement": "x is wrong\x7f \u2028",
        "hints_text": "",
        "created_at": "2023-03-04T18:36:21Z",
        "version": "1.0",
        "FAIL_TO_PASS": '["tests/test_calc.py::test_x"]',
        "PASS_TO_PASS": ["tests/test_calc.py::test_y"],
        "environment_setup_commit": COMMIT,
        "difficulty": "easy",
    }
    return {key: value for key, value in {**row, **changes}.items() if value != "DROP"}


MULTI = {
    "org": "me",
    "repo": "calc",
    "number": 7,
    "base": {"label": "me:main", "ref": "main", "sha": COMMIT},
    "title": "Mend x",
    "body": "",
    "resolved_issues": [{"number": 6, "title": "x is wrong", "body": "It is 1."}],
    "fix_patch": PATCH,
    "test_patch": TESTS,
    "f2p_tests": {"tests/test_calc.py::test_x": {"run": "PASS", "test": "FAIL", "fix": "PASS"}},
    "n2p_tests": {"tests/test_calc.py::test_new": {"run": "NONE", "test": "NONE", "fix": "PASS"}},
    "s2p_tests": {},
    "p2p_tests": {"tests/test_calc.py::test_y": {"run": "PASS", "test": "PASS", "fix": "PASS"}},
}
SMITH = {
    "instance_id": "me__calc.01234567.func_pm_op_change__abc",
    "repo": "swesmith/me__calc.01234567",
    "patch": PATCH,
    "FAIL_TO_PASS": ["tests/test_calc.py::test_x"],
    "PASS_TO_PASS": [],
    "image_name": "swesmith.x86_64.me__calc",
    "problem_statement": "x is wrong",
}
R2E = {
    "repo_name": "calc",
    "docker_image": "me/calc_final:0123",
    "commit_hash": COMMIT,
    "problem_statement": "x is wrong",
    "expected_output_json": json.dumps({"TestX.test_x": "PASSED", "test_y": "PASSED", "test_z": "FAILED"}),
    "execution_result_content": json.dumps(
        {
            "test_file_names": ["test_1.py"],
            "test_file_codes": ["def test_y(): pass"],
            "old_commit_res_stdout": "PASSED r2e_tests/test_1.py::test_y\nFAILED r2e_tests/test_1.py::TestX::test_x\n",
        }
    ),
    "parsed_commit_content": json.dumps(
        {
            "file_diffs": [
                {
                    "header": {"file": {"path": "calc.py"}},
                    "hunks": [
                        {
                            "descriptor": {
                                "old_range": {"start": 1, "length": 1},
                                "new_range": {"start": 1, "length": None},
                            },
                            "line_group": {
                                "all_lines": [
                                    {"type": "deleted", "content": "x = 1"},
                                    {"type": "added", "content": "x = 2"},
                                ]
                            },
                        }
                    ],
                },
                {"header": {"file": {"path": "tests/test_calc.py"}}, "hunks": []},
            ]
        }
    ),
}


def write(path: Path, *found: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return str(path)


def one(source: str, shape: str = "auto") -> RowRecipe:
    (row,) = rows.read(source, shape)
    assert row.error is None, row.error
    assert row.recipe is not None
    return row.recipe


def test_a_classic_row(tmp_path: Path) -> None:
    recipe = one(write(tmp_path / "rows.jsonl", classic()))
    assert (recipe.package, recipe.base_commit, recipe.failing) == ("me/calc", COMMIT, ("tests/test_calc.py::test_x",))
    assert (recipe.origin, recipe.command, recipe.parser) == ("swe-bench", None, None)


def test_version_5_brings_image_command_and_parser(tmp_path: Path) -> None:
    more = {"image": "a/b:latest", "eval_script": SCRIPT, "log_parser": "parse_log_pytest", "eval_type": "fail_only"}
    recipe = one(write(tmp_path / "rows.jsonl", classic(**more)))
    assert (recipe.command, recipe.parser) == ("pytest -rA tests/test_calc.py", "parse_log_pytest")
    assert (recipe.image, recipe.only_failures) == ("a/b:latest", True)


def test_swe_rebench_brings_a_configuration(tmp_path: Path) -> None:
    config = {"python": "3.9.1", "pip_packages": ["pytest==7.1"], "test_cmd": "pytest -rA", "reqs_path": ["r.txt"]}
    recipe = one(write(tmp_path / "rows.jsonl", classic(install_config=config)))
    assert (recipe.origin, recipe.build.python) == ("swe-rebench", "3.9")
    assert (recipe.build.command, recipe.build.requirement_files) == ("pytest -rA {files}", ("r.txt",))


def test_multi_swe_bench_counts_what_did_not_exist_before(tmp_path: Path) -> None:
    recipe = one(write(tmp_path / "rows.jsonl", MULTI))
    assert recipe.failing == ("tests/test_calc.py::test_x", "tests/test_calc.py::test_new")
    assert recipe.issue == "x is wrong\nIt is 1."


def test_swe_smith_names_its_commit_in_its_repository(tmp_path: Path) -> None:
    recipe = one(write(tmp_path / "rows.jsonl", SMITH))
    assert (recipe.package, recipe.base_commit, recipe.setup_patch) == ("me/calc", "01234567", PATCH)


def test_r2e_gym_is_at_the_parent_and_its_fix_is_put_together(tmp_path: Path) -> None:
    recipe = one(write(tmp_path / "rows.jsonl", R2E))
    assert recipe.base_commit == COMMIT + "^"
    assert recipe.patch.endswith("@@ -1,1 +1,1 @@\n-x = 1\n+x = 2\n")
    assert "test_calc" not in recipe.patch
    assert (recipe.failing, recipe.passing) == (("TestX.test_x",), ("test_y",))


def test_a_folder_for_each_task(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    for number in (1, 2):
        folder = tmp_path / "tasks" / f"me__calc-{number}"
        folder.mkdir(parents=True)
        fields = classic(instance_id=folder.name)
        tests = {name: ["tests/test_calc.py::test_x"] for name in ("FAIL_TO_PASS", "PASS_TO_PASS")}
        for name, file in (("patch", "gold.patch"), ("test_patch", "test.patch")):
            (folder / file).write_text(fields.pop(name))
        (folder / "problem_statement.md").write_text(fields.pop("problem_statement"))
        (folder / "eval.sh").write_text(SCRIPT)
        (folder / "tests.json").write_text(json.dumps(tests))
        for name in tests:
            del fields[name]
        (folder / "task.yaml").write_text(yaml.safe_dump(fields))
    (tmp_path / "tasks" / "me__calc-2" / "eval.sh").unlink()
    good, bad = rows.read(str(tmp_path))
    assert (good.id, good.recipe and good.recipe.command) == ("me__calc-1", "pytest -rA tests/test_calc.py")
    assert "eval.sh is missing" in str(bad.error)


def test_harbor_folders_that_carry_their_row(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "tests").mkdir(parents=True)
        (tmp_path / name / "task.toml").write_text('version = "1.0"\n[environment]\ndocker_image = "a/b"\n')
        (tmp_path / name / "instruction.md").write_text("Mend x.")
    row = classic(instance_id="DROP", problem_statement="DROP")
    (tmp_path / "one" / "tests" / "config.json").write_text(json.dumps(row))
    good, bad = rows.read(str(tmp_path))
    assert (good.id, good.recipe and good.recipe.issue, good.recipe and good.recipe.image) == ("one", "Mend x.", "a/b")
    assert "environment/Dockerfile (its image) missing" in str(bad.error)


def test_harbor_folders_name_the_image_that_they_are_built_on(tmp_path: Path) -> None:
    dockerfiles = {
        "plain": "# a\nFROM --platform=linux/amd64 x/me_1776_calc-1:latest\nWORKDIR /testbed\n",
        "staged": "FROM a AS b\nFROM c\n",
        "asked": "ARG BASE\nFROM ${BASE}\n",
    }
    for name, text in dockerfiles.items():
        for folder in ("tests", "environment"):
            (tmp_path / name / folder).mkdir(parents=True)
        (tmp_path / name / "task.toml").write_text('version = "1.0"\n')
        (tmp_path / name / "environment" / "Dockerfile").write_text(text)
        (tmp_path / name / "tests" / "config.json").write_text(json.dumps(classic(instance_id=f"me__{name}")))
    found = {row.id: row.recipe and row.recipe.image for row in rows.read(str(tmp_path))}
    assert found == {"me__plain": "x/me_1776_calc-1:latest", "me__staged": None, "me__asked": None}


def test_what_harbor_folders_lack_is_said_of_each(tmp_path: Path) -> None:
    for name in ("scripted", "typed", "broken"):
        for folder in ("tests", "environment"):
            (tmp_path / name / folder).mkdir(parents=True)
        (tmp_path / name / "task.toml").write_text("[environment]\ndocker_image = 7\n" if name == "typed" else "")
        (tmp_path / name / "instruction.md").write_text("Mend x.")
        (tmp_path / name / "environment" / "Dockerfile").write_text("FROM a\n")
        (tmp_path / name / "tests" / "test.sh").write_text("echo 1 > /logs/verifier/reward.txt\n")
    (tmp_path / "typed" / "tests" / "config.json").write_text(json.dumps(classic()))
    (tmp_path / "broken" / "task.toml").write_text("[[")
    broken, scripted, typed = (str(row.error) for row in rows.read(str(tmp_path)))
    assert "broken/task.toml: cannot be read" in broken
    assert "no tests/config.json that lists the tests which decide" in scripted and "Run it with Harbor" in scripted
    assert "environment.docker_image = 7: must be a reference" in typed


def test_terminal_bench_folders_read_as_harbors(tmp_path: Path) -> None:
    (tmp_path / "me__calc-1" / "tests").mkdir(parents=True)
    (tmp_path / "me__calc-1" / "task.yaml").write_text("instruction: Mend x.\n")
    (tmp_path / "me__calc-1" / "Dockerfile").write_text("FROM a/b:1\n")
    (tmp_path / "me__calc-1" / "tests" / "config.json").write_text(json.dumps(classic()))
    assert one(str(tmp_path)).image == "a/b:1"


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist([classic()]), tmp_path / "rows.parquet")
    assert one(str(tmp_path / "rows.parquet")).passing == ("tests/test_calc.py::test_y",)
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(InputError, match=r"bad\.parquet: cannot be read as parquet"):
        list(rows.read(str(tmp_path / "bad.parquet")))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"base_commit": "DROP"}, "no known shape of row"),
        ({"problem_statement": "DROP"}, "rows.jsonl:2: problem_statement is missing"),
        ({"patch": ""}, "rows.jsonl:2: patch = '': must not be empty"),
        ({"patch": 7}, "rows.jsonl:2: patch = 7: must be text"),
        ({"FAIL_TO_PASS": "tests/test_calc.py::test_x"}, "rows.jsonl:2: FAIL_TO_PASS = "),
        ({"FAIL_TO_PASS": '{"a": 1}'}, "must be a list of names"),
        ({"FAIL_TO_PASS": "[]"}, "failing"),
        ({"base_commit": "main"}, "base_commit = 'main'"),
        ({"repo": "calc"}, "package = 'calc'"),
        ({"instance_id": "../x"}, "must be a plain file name"),
        ({"created_at": "yesterday"}, "created_at = 'yesterday': must be a date"),
        ({"instance_id": "me__calc-1"}, "already at "),
    ],
)
def test_a_bad_row_is_named_and_the_others_go_on(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    second = classic(**{"instance_id": "me__calc-2", **changes})
    source = write(tmp_path / "rows.jsonl", classic(), second, classic(instance_id="me__calc-3"))
    report = import_rows(source, tmp_path / "set")
    assert report.written == ("me__calc-1", "me__calc-3")
    (refused,) = report.refused
    assert says in str(refused.error)
    assert load_task_set(tmp_path / "set").ids == report.written


def test_a_torn_line_is_one_bad_row(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(classic()) + '\n{"instance_id": "x", ')
    report = import_rows(str(tmp_path / "rows.jsonl"), tmp_path / "set")
    assert report.kept == 1
    assert "rows.jsonl:2: not valid JSON" in str(report.refused[0].error)


def test_recipes_read_back_as_they_were_and_importing_again_changes_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", classic(), R2E)
    first = import_rows(source, tmp_path / "set")
    assert len(first.written) == 2
    read = load_task_set(tmp_path / "set")
    assert all(read.recipe(str(row.id)) == row.recipe for row in rows.read(source))
    assert import_rows(source, tmp_path / "set").unchanged == first.written


def test_overrides_go_by_id_or_repository(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", classic(), classic(instance_id="me__calc-2"))
    (tmp_path / "o.toml").write_text('["me/*"]\npython = "3.9"\ntimeout = 5.0\n["me__calc-2"]\npython = "3.6"\n')
    overrides = read_overrides(tmp_path / "o.toml")
    import_rows(source, tmp_path / "set", overrides=overrides)
    read = load_task_set(tmp_path / "set")
    builds = [recipe.build for task in read if isinstance(recipe := read.recipe(task), RowRecipe)]
    assert [(build.python, build.timeout) for build in builds] == [("3.9", 5.0), ("3.6", 5.0)]
    assert override_set(tmp_path / "set", read, overrides) == ()
    assert override_set(tmp_path / "set", read, {"*-1": {"date": "2020-02-02"}}) == ("me__calc-1",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("python = 3", "must be a table"),
        ('["a"]\npython = 3.9', "python = 3.9"),
        ('["a"]\npyton = "3.9"', "pyton"),
        ('["a"]\ndate = "soon"', "must be a day"),
    ],
)
def test_bad_overrides_are_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "o.toml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_overrides(tmp_path / "o.toml")
    assert says in str(caught.value)
    assert "o.toml" in str(caught.value)


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(InputError, match="no such file or folder"):
        list(rows.read(str(tmp_path / "none.jsonl")))
    with pytest.raises(InputError, match="holds neither tasks"):
        list(rows.read(str(tmp_path / "empty")))
    with pytest.raises(UnknownName, match="Did you mean swe-smith"):
        list(rows.read(str(tmp_path), "swe-smit"))
    source = write(tmp_path / "rows.jsonl", classic())
    with pytest.raises(InputError, match=r"has no set\.toml"):
        import_rows(source, tmp_path / "full")
