"""The Ray engine on a real cluster of two raylets in this machine, one of them killed in the middle of a run."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import toy_env

from swegym.errors import InputError
from swegym.rollout import RunFolder, collect

TASKS = 10
HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="ray is not installed: pip install 'swegym[ray]'")


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(700)  # a cluster takes its time to start on a busy machine
def test_a_node_that_is_lost_costs_its_episodes_a_second_try_and_nothing_else(tmp_path):
    out = tmp_path / "run"
    script = Path(__file__).with_name("ray_run.py")
    # Not below tmp_path: the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as short:
        done = subprocess.run(
            [sys.executable, str(script), str(out), str(TASKS)],
            env={**os.environ, "RAY_TMPDIR": short},
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(out.with_name("told.json").read_text())
    assert told["killed"]
    assert told["still_joined"], "the engine leaves only a cluster that it has joined itself"
    assert "no node of the cluster offers it" in told["refused"]

    assert told["free_after_an_interrupt"] == 2, "an interrupted run leaves episodes running on the cluster"
    begun = list(RunFolder(tmp_path / "interrupted").lines())
    assert 1 <= len(begun) < TASKS and all(line.verdict.resolved for line in begun), "what was finished is kept"

    folder = RunFolder(out)
    lines = list(folder.lines())
    lost = [line for line in lines if line.verdict.resolved is None]
    assert 1 <= len(lost) <= 6, [line.verdict.reason for line in lost]
    assert {line.verdict.cause for line in lost} == {"sandbox"}
    assert all("is gone" in line.verdict.reason for line in lost)
    judged = sorted(line.id for line in lines if line.verdict.resolved)
    assert judged == sorted(f"number-{number}__0" for number in range(TASKS)), "each is judged once"

    before = (out / "trajectories.jsonl").read_bytes()
    make_env = functools.partial(toy_env.toy_env, TASKS)
    collect(toy_env.toy_config(out, policy_options={"seconds": 0.5}), make_env=make_env)
    assert (out / "trajectories.jsonl").read_bytes() == before, "threads go on with what Ray began, and find it done"


def test_without_ray_the_engine_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'swegym\[ray\]'"):
        collect(toy_env.toy_config(tmp_path / "run", engine="ray"), make_env=lambda: toy_env.toy_env(1))


@needs_ray
def test_importing_ray_warns_of_nothing():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import ray, ray.exceptions, swegym.rollout.ray_engine"],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
