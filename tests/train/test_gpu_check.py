"""The smoke test for GPU machines runs from end to end, with nothing installed but what it says it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_check.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_runs_without_a_gpu():
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--steps", "1", "--bare"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert "all checks passed" in ended.stdout
    assert ended.stdout.count("ok    ") == 11
    assert "gymnasium" in ended.stdout.partition("\n")[0]
