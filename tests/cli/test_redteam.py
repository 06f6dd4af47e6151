"""`swegym redteam` as it is typed: lists, refuses wrong names, and writes what it found."""

import json
from pathlib import Path

import pytest

from swegym.tasks import environment


def test_the_list_says_where_each_was_seen(swegym) -> None:
    shown = swegym("redteam", "--list", "--json", "--attacks", "semantic")
    rows = json.loads(shown.out)
    assert shown.code == 0 and len(rows) >= 5
    assert all(row["class"] == "semantic" and len(row["source"]) > 20 and row["severity"] for row in rows)
    assert "conftest-forces-passed" in swegym("redteam", "--list").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--attacks", "in-proces"), "in-process"),
        (("--grader", "seald"), "sealed"),
        (("--grader", "no.such.module:grade"), "cannot be imported"),
        (("--backend", "bublewrap"), "bubblewrap"),
        (("--tasks", "redtem"), "redteam"),
    ],
)
def test_wrong_names_are_said(swegym, arguments: tuple[str, ...], said: str) -> None:
    shown = swegym("redteam", "--first", "--no-fixes", *arguments)
    assert shown.code != 0 and said in shown.err and not shown.out


def test_results_are_a_table_and_a_file(swegym, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tiny_set

    layer = tiny_set._environment()
    monkeypatch.setattr(environment, "environment_layer", lambda requirements: (layer, True))
    arguments = ("--attacks", "conftest-forces-passed", "--first", "--grader", "sealed", "--grader", "plain-pytest")
    shown = swegym("redteam", *arguments, "-o", "found.json")
    assert shown.code == 0, shown.err
    assert "pytest hooks" in shown.out and "0/1" in shown.out and "1/1" in shown.out
    document = json.loads((tmp_path / "found.json").read_text())
    assert [row["result"] for row in document["outcomes"]] == ["held", "paid"]
    assert document["summary"]["plain-pytest"]["by_class"]["pytest hooks"]["paid"] == 1
