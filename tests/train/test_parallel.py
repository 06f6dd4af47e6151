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

from swegym.train.dpo import DpoConfig, dpo
from swegym.train.measure import read_metrics

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SCRIPT = Path(__file__).with_name("two_processes.py")
FAST = {"learning_rate": 1e-3, "schedule": "constant", "warmup": 0.0}
KINDS = ("ddp", "fsdp")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> dict[str, dict]:
    """The same training by one process, and by two in both ways. The budget makes several parts of a step, an odd
    number, some of them split pairs; the reference is computed anew by the two, each its share.
    """
    out = tmp_path_factory.mktemp("parallel")
    pairs = write_lines(out / "pairs.jsonl", pair_lines(5))
    settings = {
        "model": str(tiny),
        "data": [str(pairs)],
        "epochs": 2,
        "examples_per_step": 3,
        "tokens_per_batch": 250,
        "optimiser": FAST,
        "save_every": 2,
        "keep": 5,
    }
    runs = {kind: settings | {"out": str(out / kind), "parallel": kind} for kind in KINDS}
    runs["alone"] = settings | {"out": str(out / "alone")}
    dpo(DpoConfig.model_validate(runs["alone"]))
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    shared |= {"SWEGYM_HOME": str(out / "home")}
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), json.dumps([runs[kind] for kind in KINDS])],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in started:
            _, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in started:
            process.kill()
            process.communicate()
    return runs


def weights(settings) -> dict:
    folder = Path(settings["out"]) / "model"
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_are_one(trained, kind):
    mine, theirs = (read_metrics(Path(trained[each]["out"]) / "metrics.jsonl") for each in (kind, "alone"))
    assert len(mine) == len(theirs) == 4
    for line, other in zip(mine, theirs, strict=True):
        for name in ("loss", "margin", "gradient_norm", "chosen_gain"):
            assert line[name] == pytest.approx(other[name], rel=2e-3, abs=2e-4), (line["step"], name)
        for name in ("tokens", "trained_tokens", "forwarded", "accuracy"):
            assert line[name] == pytest.approx(other[name])
    found, expected = weights(trained[kind]), weights(trained["alone"])
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-2, atol=3e-4, msg=name)


def test_a_checkpoint_of_two_sharded_processes_serves_one(trained):
    settings = trained["fsdp"]
    out = Path(settings["out"])
    for name in ("train.json", "checkpoints/step-00000004.pt"):
        (out / name).unlink()
    resumed = []
    dpo(DpoConfig.model_validate(settings | {"parallel": "auto"}), on_step=lambda done: resumed.append(done.step))
    assert resumed == [3, 4]
    assert [line["step"] for line in read_metrics(out / "metrics.jsonl")] == [1, 2, 3, 4]
    for name, weight in weights(trained["alone"]).items():
        torch.testing.assert_close(weights(settings)[name], weight, rtol=1e-2, atol=3e-4, msg=name)
