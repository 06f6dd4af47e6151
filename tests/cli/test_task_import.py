"""Importing on the command line: what became of every row, and what to do next."""

import json
from pathlib import Path

ROW = {
    "repo": "me/calc",
    "instance_id": "me__calc-1",
    "base_commit": "0123456789abcdef",
    "patch": "diff --git a/calc.py b/calc.py\n",
    "test_patch": "diff --git a/test_calc.py b/test_calc.py\n",
    "problem_statement": "x is wrong",
    "FAIL_TO_PASS": '["test_calc.py::test_x"]',
    "PASS_TO_PASS": "[]",
}


def rows(folder: Path, *found: dict) -> str:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return "rows.jsonl"


def test_good_rows_are_in_the_set_and_bad_ones_are_named(swegym, tmp_path: Path) -> None:
    source = rows(tmp_path, ROW, {**ROW, "instance_id": "me__calc-2", "PASS_TO_PASS": "test_x"})
    done = swegym("tasks", "import", source, "-o", "calc")
    assert done.code == 0
    assert "1 rows are in" in done.out
    assert "rows.jsonl:2: PASS_TO_PASS = 'test_x': is text, and no JSON" in done.err
    listed = json.loads(swegym("tasks", "list", "./calc", "--json").out)
    assert [(row["task"], row["kind"], row["built"]) for row in listed] == [("me__calc-1", "row", False)]


def test_nothing_but_bad_rows_is_a_failure(swegym, tmp_path: Path) -> None:
    done = swegym("tasks", "import", rows(tmp_path, {"a": 1}), "-o", "calc")
    assert done.code == 1
    assert "no known shape of row has these fields: a" in done.err
    assert not (tmp_path / "calc").exists()


def test_without_a_clone_a_build_says_how_to_name_one(swegym, tmp_path: Path) -> None:
    swegym("tasks", "import", rows(tmp_path, ROW), "-o", "calc")
    done = swegym("tasks", "build", "./calc")
    assert done.code == 1
    assert "--clone me/calc=DIR" in done.out


def test_clones_and_overrides_are_checked(swegym, tmp_path: Path) -> None:
    source = rows(tmp_path, ROW)
    assert "expected OWNER/NAME=DIR" in swegym("tasks", "import", source, "-o", "calc", "--clone", "calc").err
    (tmp_path / "empty").mkdir()
    assert "holds no clone of me/calc" in swegym("tasks", "import", source, "-o", "calc", "--clones", "empty").err
    (tmp_path / "o.toml").write_text('["me/calc"]\npyton = "3.9"\n')
    done = swegym("tasks", "build", "./calc", "--overrides", "o.toml")
    assert (done.code, "pyton" in done.err) == (2, True)


def test_rows_without_an_image_are_left_out_where_images_are_wanted(swegym, tmp_path: Path) -> None:
    source = rows(tmp_path, ROW, {**ROW, "instance_id": "me__calc-2", "image": "me/calc:2"})
    done = swegym("tasks", "import", source, "-o", "calc", "--images", "row", "--json")
    found = json.loads(done.out)
    assert (found["written"], [row["id"] for row in found["refused"]]) == (["me__calc-2"], ["me__calc-1"])
    assert "names no image. Say how images are called: --images" in found["refused"][0]["reason"]


def test_an_image_that_is_not_there_is_the_failure_of_its_row(swegym, tmp_path: Path) -> None:
    done = swegym("tasks", "import", rows(tmp_path, ROW), "-o", "calc", "--images", str(tmp_path / "{id}.tar"))
    assert (done.code, "--clones" in done.out) == (0, False)
    done = swegym("tasks", "build", "./calc")
    assert done.code == 1
    assert "its image cannot be used" in done.out and "me__calc-1.tar: no such file" in done.out
