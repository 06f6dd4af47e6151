"""Predictions are read strictly, judged once, and a crash or a changed patch costs no more than it must."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_set

from swegym.errors import InputError, RunError, SandboxDied, UnknownName
from swegym.evaluate import Event, Prediction, evaluate, gold_predictions, key_of, read_predictions
from swegym.tasks import TaskSet
from swegym.types import SandboxFactory, Task, Verdict

ROW = {"instance_id": "tiny-1", "model_name_or_path": "m", "model_patch": "diff"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TaskSet:
    return tiny_set.build(tiny_set.write(tmp_path_factory.mktemp("sets")))


def judge(task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
    """A grader for these tests: the patch says what its verdict is."""
    if patch == "dies":
        raise SandboxDied("the machine is gone")
    return Verdict(patch == "good", None if patch == "good" else "agent", patch, {"t": "passed"}, seconds={"run": 1.0})


JUDGE = f"{__name__}:judge"


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# --- reading ----------------------------------------------------------------------------------------------------------


def test_json_lines_a_list_and_an_object_mean_the_same(tmp_path: Path) -> None:
    lines = write(tmp_path / "p.jsonl", ROW)
    (tmp_path / "list.json").write_text(json.dumps([ROW]))
    without_id = {"model_name_or_path": "m", "model_patch": "diff"}
    (tmp_path / "object.json").write_text(json.dumps({"tiny-1": without_id}))
    expected = [Prediction("tiny-1", "m", "diff")]
    assert read_predictions(lines) == expected
    assert read_predictions(tmp_path / "list.json") == expected
    assert read_predictions(tmp_path / "object.json") == expected


def test_a_null_patch_is_an_empty_one(tmp_path: Path) -> None:
    assert read_predictions(write(tmp_path / "p.jsonl", {**ROW, "model_patch": None}))[0].patch == ""


def test_a_patch_keeps_every_character(tmp_path: Path) -> None:
    patch = "+caf\u00e9\r\n+\u2028line\n"
    assert read_predictions(write(tmp_path / "p.jsonl", {**ROW, "model_patch": patch}))[0].patch == patch


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("p.jsonl", "", "p.jsonl: the file is empty"),
        ("p.jsonl", "\n \n", "p.jsonl: the file is empty"),
        ("p.json", "[]", "p.json: there are no predictions"),
        ("p.jsonl", json.dumps(ROW) + '\n{"instance_id": "tin', "p.jsonl:2: not valid JSON"),
        ("p.json", "[", "p.json: not valid JSON"),
        ("p.json", "3", "p.json: holds a int"),
        ("p.jsonl", "3\n", "p.jsonl:1: a prediction must be an object"),
        ("p.jsonl", '{"instance_id": "a", "model_patch": ""}', "p.jsonl:1: model_name_or_path is missing"),
        ("p.jsonl", json.dumps({**ROW, "model_patch": 7}), "p.jsonl:1: model_patch = 7: must be text"),
        ("p.jsonl", json.dumps({**ROW, "instance_id": ""}), "p.jsonl:1: instance_id = '': must be text"),
    ],
)
def test_bad_predictions_name_file_line_and_field(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_predictions(tmp_path / name)
    assert says in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(InputError, match=r"p\.jsonl: not UTF-8 at byte 7"):
        read_predictions(tmp_path / "p.jsonl")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such predictions file"):
        read_predictions(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="cannot be read as predictions"):
        read_predictions(tmp_path)


# --- judging ----------------------------------------------------------------------------------------------------------


def test_the_reference_fixes_resolve_and_empty_patches_do_not(tiny: TaskSet, tmp_path: Path) -> None:
    assert evaluate(tiny, gold_predictions(tiny), tmp_path / "gold")["resolved_ids"] == ["tiny-1", "tiny-2"]
    empty = [Prediction(task, "m", " \n") for task in tiny]
    report = evaluate(tiny, empty, tmp_path / "empty")
    assert (report["empty_patch_ids"], report["resolved_ids"]) == (["tiny-1", "tiny-2"], [])


def test_an_unknown_task_is_refused_before_anything_is_written(tiny: TaskSet, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no task in tiny named 'tiny-3'"):
        evaluate(tiny, [Prediction("tiny-3", "m", "")], tmp_path / "out", grader=JUDGE)
    assert not (tmp_path / "out").exists()


def test_the_second_call_judges_only_what_changed(tiny: TaskSet, tmp_path: Path) -> None:
    out, events = tmp_path / "out", []
    evaluate(tiny, [Prediction("tiny-1", "m", "bad"), Prediction("tiny-2", "m", "good")], out, grader=JUDGE)
    again = [Prediction("tiny-1", "m", "good"), Prediction("tiny-2", "m", "good")]
    report = evaluate(tiny, again, out, grader=JUDGE, on_event=events.append)
    assert report["resolved_ids"] == ["tiny-1", "tiny-2"]
    assert [(event.kind, event.instance_id) for event in events] == [
        ("kept", "tiny-2"),
        ("start", "tiny-1"),
        ("end", "tiny-1"),
    ]


def test_a_patch_seen_earlier_keeps_its_first_verdict(tiny: TaskSet, tmp_path: Path) -> None:
    for patch in ("good", "bad", "good"):
        report = evaluate(tiny, [Prediction("tiny-1", "m", patch)], tmp_path / "out", grader=JUDGE)
    assert report["resolved_ids"] == ["tiny-1"]
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 2


def test_redo_judges_again(tiny: TaskSet, tmp_path: Path) -> None:
    for _ in range(2):
        evaluate(tiny, [Prediction("tiny-1", "m", "good")], tmp_path / "out", grader=JUDGE, redo=True)
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 2


def test_a_machine_that_dies_is_an_error_and_tried_again(tiny: TaskSet, tmp_path: Path) -> None:
    events: list[Event] = []
    for _ in range(2):
        report = evaluate(
            tiny, [Prediction("tiny-1", "m", "dies")], tmp_path / "out", grader=JUDGE, backoff=0, on_event=events.append
        )
    assert report["error_ids"] == ["tiny-1"]
    assert report["errors"] == {"tiny-1": "sandbox: the machine is gone"}
    assert report["unresolved_ids"] == []
    assert [event.kind for event in events] == ["start", "end"] * 2


def test_a_torn_last_line_is_judged_again(tiny: TaskSet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    everything = [Prediction(task, "m", "good") for task in tiny]
    evaluate(tiny, everything, out, grader=JUDGE, jobs=1)
    whole = (out / "results.jsonl").read_bytes()
    events: list[Event] = []
    (out / "results.jsonl").write_bytes(whole[:-10])
    evaluate(tiny, everything, out, grader=JUDGE, on_event=events.append)
    assert [event.kind for event in events] == ["kept", "start", "end"]
    assert (out / "results.jsonl").read_bytes().count(b"\n") == 2


def test_damage_in_the_middle_is_named(tiny: TaskSet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.jsonl").write_text("{broken\n")
    with pytest.raises(InputError, match=r"results\.jsonl:1: not valid JSON"):
        evaluate(tiny, [Prediction("tiny-1", "m", "good")], out, grader=JUDGE)


def test_a_folder_of_something_else_is_left_alone(tiny: TaskSet, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(RunError, match=r"holds config\.toml and is no evaluation"):
        evaluate(tiny, [Prediction("tiny-1", "m", "good")], tmp_path, grader=JUDGE)


def test_the_report_counts_every_task_once(tiny: TaskSet, tmp_path: Path) -> None:
    report = evaluate(tiny, [Prediction("tiny-2", "m", "bad")], tmp_path / "out", grader=JUDGE)
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["incomplete_ids"] == ["tiny-1"]
    assert report["unresolved_ids"] == ["tiny-2"]
    assert report["completed_instances"] == report["submitted_instances"] == 1


def test_another_task_digest_is_judged_again(tiny: TaskSet, tmp_path: Path) -> None:
    task = tiny.load("tiny-1")
    assert key_of(task, "p", "sealed") != key_of(dataclasses.replace(task, digest="other"), "p", "sealed")
    image = dataclasses.replace(task.image, digest="other")
    assert key_of(task, "p", "sealed") != key_of(dataclasses.replace(task, image=image), "p", "sealed")
