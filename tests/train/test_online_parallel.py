"""Two processes that train online are one: the first samples, both learn, whether weights are whole or sharded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from spoken import settings
from test_parallel import free_port
from two_online import train

from swegym.train.measure import read_metrics

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SCRIPT = Path(__file__).with_name("two_online.py")
RUNS = (("grpo", "ddp", {"kl": 0.1}), ("vpd", "fsdp", {"feedback": ["sibling"], "every": 1, "rate": 0.1}))


def asked(tiny, out, **more) -> dict:
    made = settings(tiny, out, tokens_per_batch=200, **more)
    # In several updates small differences of rounding grow.
    return made | {"measure": {"limit": 4}, "optimiser": {**made["optimiser"], "learning_rate": 1e-3}}


def test_two_processes_are_one(tiny, tmp_path):
    for kind, _, more in RUNS:
        train(kind, asked(tiny, tmp_path / kind / "alone", **more))
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    shared |= {"PYTHONPATH": os.pathsep.join([str(SCRIPT.parent), os.environ.get("PYTHONPATH", "")])}
    orders = [(kind, asked(tiny, tmp_path / kind / how, parallel=how, **more)) for kind, how, more in RUNS]
    text = json.dumps(orders, default=str)
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), text],
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
    for kind, how, _ in RUNS:
        mine, theirs = (read_metrics(tmp_path / kind / each / "metrics.jsonl") for each in (how, "alone"))
        assert len(mine) == len(theirs) == 2
        for line, other in zip(mine, theirs, strict=True):
            for name in ("groups", "solved", "loss", "gradient_norm", "kl", "e_loss", "delta", "kl_teacher_student"):
                if name in other:
                    assert line[name] == pytest.approx(other[name], rel=2e-2, abs=2e-4), (kind, line["step"], name)
