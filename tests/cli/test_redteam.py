"""`swegym redteam` as it is typed: lists, refuses wrong names, and writes what it found."""

import json
import sys
from pathlib import Path

import pytest

import swegym.redteam  # noqa: F401  its modules are looked up in sys.modules
from swegym.tasks import environment
from swegym.types import Task, Verdict


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


def test_an_interrupted_campaign_goes_on_with_the_same_command(swegym, monkeypatch: pytest.MonkeyPatch) -> None:
    import tiny_set

    layer = tiny_set._environment()
    monkeypatch.setattr(environment, "environment_layer", lambda requirements: (layer, True))
    judged: list[str] = []

    def judge(grader: object, task: Task, *rest: object) -> Verdict:
        judged.append(task.id)
        if len(judged) == 2:
            raise KeyboardInterrupt
        return Verdict(False, "agent", "no")

    monkeypatch.setattr(sys.modules["swegym.redteam.campaign"], "judge", judge)
    command = ("redteam", "--attacks", "report-class", "--grader", "sealed", "-j", "1")
    assert swegym(*command).code == 130
    known = len(judged) - 1  # another one may have been judged while the first was stopped
    again = swegym(*command, "--json")
    assert again.code == 0 and f"{known} of 4 outcomes are known" in again.err
    assert len(judged) == 5 and len(json.loads(again.out)["outcomes"]) == 4
    assert "known" not in swegym(*command).err and len(judged) == 9


def test_attacks_that_fit_no_task_of_a_set_are_said(swegym, monkeypatch: pytest.MonkeyPatch) -> None:
    import tiny_set

    layer = tiny_set._environment()
    monkeypatch.setattr(environment, "environment_layer", lambda requirements: (layer, True))
    shown = swegym("redteam", "--attacks", "gambling", "--tasks", "micro-mini", "--grader", "sealed")
    assert shown.code == 2 and "fits a task of micro-mini" in shown.err
