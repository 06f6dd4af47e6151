"""A run on a real package in real machines: plain attempts fail, a hint follows, the guided one is graded; pairs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swegym.data import make_pairs
from swegym.guidance import find_leaks, is_guidance
from swegym.guidance.changes import places
from swegym.rollout import RunConfig, RunFolder, collect
from swegym.tasks import load_task_set
from swegym.tasks.build import build

TASK = "sqlparse-0.5.1-0.5.2"
pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def task(store):
    tasks = load_task_set("pypi")
    (result,) = build(tasks, [TASK])
    assert result.error is None
    return tasks.load(TASK)


def config(out, **fields):
    return RunConfig(tasks="pypi", patterns=(TASK,), out=out, jobs=1, **fields)


def reads_the_hint(context):
    """Does nothing by itself; with a hint it applies the reference fix: stands in for a student that can use one."""
    from swegym.policies.messages import call, say, turns_taken

    def act(messages, tools):
        turn = turns_taken(messages)
        if turn == 0 and any(is_guidance(message) for message in messages):
            return say(
                "I write the change.", call("write", path="/tmp/fix", content=context.private.gold_patch), turn=0
            )
        if turn == 1:
            return say("I apply it.", call("bash", command="git apply /tmp/fix"), turn=1)
        return say("Done.", call("submit"), turn=turn)

    return act


PRIVILEGED = True


def test_a_failed_attempt_is_hinted_retried_and_paired(task, tmp_path):
    folder = collect(config(tmp_path / "run", policy=f"{__name__}:reads_the_hint", guide="on-failure"))
    plain, guided = folder.trajectories()
    assert (plain.verdict.resolved, guided.verdict.resolved) == (False, True), guided.verdict.reason
    assert guided.parent == plain.id and not plain.patch and guided.patch
    assert all(guided.seconds[phase] > 0 for phase in ("reset", "tools", "grade"))
    pairs = make_pairs(folder.trajectories())
    assert [row["kind"] for row in pairs.rows] == ["guided"]
    assert "Look at:" not in str(pairs.rows)
    assert RunFolder(tmp_path / "run").report()["tasks_solved_only_guided"] == 1


def test_the_oracle_knows_the_place_and_keeps_the_answer(task):
    from swegym.guidance import make_teacher, unattempted

    nothing = unattempted(task.public())
    hint = make_teacher("oracle")(task, nothing, nothing.verdict)
    (first, *_) = places(task, task.gold_patch)
    assert hint.parts["interaction"].startswith(
        f"Look at: sqlparse/filters/others.py, function {first.function}, lines "
    )
    assert find_leaks("\n".join(hint.parts.values()), task) == []


def test_the_reference_fix_is_resolved_and_nop_is_not(task, tmp_path):
    (gold,) = collect(config(tmp_path / "gold", policy="gold")).trajectories()
    (nop,) = collect(config(tmp_path / "nop", policy="nop")).trajectories()
    assert (gold.verdict.resolved, nop.verdict.resolved) == (True, False)


def sleepers(seconds: str) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if command[:2] == [b"sleep", seconds.encode()]:
            found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_leaves_nothing_running(task, tmp_path, kill):
    seconds = f"{60 + kill}.{os.getpid()}"  # nobody else's
    script = Path(__file__).with_name("sleeping_run.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "run"), seconds], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n", process.communicate()
    assert sleepers(seconds)
    process.send_signal(kill)
    started = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - started < 10
    if kill == signal.SIGINT:
        assert b"KeyboardInterrupt" in said
    deadline = time.monotonic() + 5
    while sleepers(seconds) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not sleepers(seconds)
    assert RunFolder(tmp_path / "run").trajectories() == []
