"""Two processes on the same steps are one process: same losses and weights, and a checkpoint of either serves both."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from training_rows import pair_lines, write_lines

from swegym.train.measure import read_metrics

SCRIPT = Path(__file__).with_name("two_processes.py")
FAST = {"learning_rate": 1e-3, "schedule": "constant", "warmup": 0.0}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(kind: str, settings: dict, processes: int) -> None:
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), kind, json.dumps(settings)],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    for process in started:
        _, errors = process.communicate(timeout=280)
        assert process.returncode == 0, errors[-3000:]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_lines(tmp_path_factory.mktemp("data") / "pairs.jsonl", pair_lines(7))


@pytest.fixture(scope="module")
def alone(tiny, pairs, tmp_path_factory):
    """One process. The budget makes several parts of a step, an odd number, some of them split pairs."""
    settings = {
        "model": str(tiny),
        "data": [str(pairs)],
        "out": str(tmp_path_factory.mktemp("alone") / "dpo"),
        "epochs": 2,
        "examples_per_step": 5,
        "tokens_per_batch": 250,
        "optimiser": FAST,
        "save_every": 2,
        "keep": 5,
        "parallel": "auto",
    }
    run("dpo", settings, 1)
    return settings


def weights(settings) -> dict:
    folder = Path(settings["out"]) / "model"
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_are_one(alone, tmp_path, kind, monkeypatch):
    monkeypatch.setenv("SWEGYM_HOME", str(tmp_path / "home"))  # so that both compute their share of the reference
    settings = alone | {"out": str(tmp_path / kind), "parallel": kind}
    run("dpo", settings, 2)
    mine, theirs = (read_metrics(Path(each["out"]) / "metrics.jsonl") for each in (settings, alone))
    assert len(mine) == len(theirs) == 4
    for line, other in zip(mine, theirs, strict=True):
        for name in ("loss", "margin", "gradient_norm", "chosen_gain"):
            assert line[name] == pytest.approx(other[name], rel=2e-3, abs=2e-4), (line["step"], name)
        for name in ("tokens", "trained_tokens", "forwarded", "accuracy"):
            assert line[name] == pytest.approx(other[name])
    found, expected = weights(settings), weights(alone)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-2, atol=3e-4, msg=name)


@pytest.mark.slow
def test_a_checkpoint_of_two_sharded_processes_serves_one(alone, tmp_path):
    settings = alone | {"out": str(tmp_path / "two"), "parallel": "fsdp"}
    run("dpo", settings, 2)
    out = Path(settings["out"])
    for name in ("train.json", "checkpoints/step-00000004.pt"):
        (out / name).unlink()
    run("dpo", settings | {"parallel": "auto"}, 1)
    assert [line["step"] for line in read_metrics(out / "metrics.jsonl")] == [1, 2, 3, 4]
    for name, weight in weights(alone).items():
        torch.testing.assert_close(weights(settings)[name], weight, rtol=1e-2, atol=3e-4, msg=name)
