"""`swegym train` says what is missing, trains, resumes, and reports."""

import json

import pytest
from tiny_model import make_tiny_model
from training_rows import attempt, opening, write_lines


def test_what_is_missing_is_named(swegym, tmp_path):
    result = swegym("train", "sft")
    assert result.code == 2 and "FILE is missing" in result.err
    result = swegym("train", "dpo", "pairs.jsonl", "-m", str(tmp_path), "-o", str(tmp_path / "out"))
    assert result.code == 2 and "no model folder" in result.err
    result = swegym("train", "dpo", "x.jsonl", "-m", "m", "-o", "o", "--set", "betta=1")
    assert result.code == 2 and "betta" in result.err
    result = swegym("loop", "-m", "m")
    assert result.code == 2 and "--tasks SET is missing" in result.err


@pytest.mark.slow
def test_training_from_a_file_and_again(swegym, tmp_path):
    model = make_tiny_model(tmp_path / "model", vocab=600, hidden=32)
    data = write_lines(tmp_path / "sft.jsonl", [{"messages": [*opening(n), *attempt(n, True)]} for n in range(3)])
    config = tmp_path / "sft.toml"
    config.write_text(f'model = "{model}"\ndata = ["{data}"]\nepochs = 1\n[optimiser]\nlearning_rate = 1e-3\n')
    command = ("train", "sft", "-c", str(config), "-o", str(tmp_path / "out"), "--set", "examples_per_step=2", "--json")
    first = swegym(*command)
    assert first.code == 0, first.err
    report = json.loads(first.out)
    assert report["rows"] == 3 and report["steps"] == 2
    assert "step 2/2" in first.err and "tokens/s" in first.err
    again = swegym(*command)
    assert json.loads(again.out) == report and "step" not in again.err
