"""kill -9 of a run at random moments, then the same command: nothing lost, nothing twice, the count exact."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from swegym.rollout import RunFolder

SCRIPT = Path(__file__).with_name("crash_run.py")
TASKS = 60


def start(out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(SCRIPT), str(out), str(TASKS)], stdout=subprocess.PIPE)


@pytest.mark.slow
def test_a_killed_run_loses_only_what_was_in_flight(tmp_path):
    out, chance = tmp_path / "run", random.Random(8)
    file = out / "trajectories.jsonl"
    survived, kills = b"", 0
    for _ in range(5):
        process = start(out)
        assert process.stdout is not None
        process.stdout.readline()  # past the imports: something has been written, or the run has ended
        time.sleep(chance.uniform(0, 0.25))
        kills += process.poll() is None
        process.kill()
        process.communicate()
        written = file.read_bytes()
        assert written.startswith(survived), "a line that was on disk has changed"
        survived = written[: written.rfind(b"\n") + 1]
    assert kills >= 3, "the run ended before it could be killed; give it more tasks"

    process = start(out)
    process.communicate()
    assert process.returncode == 0
    assert file.read_bytes().startswith(survived)
    lines = list(RunFolder(out).lines())
    expected = {f"number-{t}__{a}{g}" for t in range(TASKS) for a in range(2) for g in ("", "g")}
    assert Counter(line.id for line in lines) == Counter(expected)
    assert all(line.verdict.resolved is line.guided for line in lines)
    assert json.loads((out / "report.json").read_text())["guided"]["resolved"] == 2 * TASKS
    assert len(json.loads((out / "run.json").read_text())["starts"]) == 6
