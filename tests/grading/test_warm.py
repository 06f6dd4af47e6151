"""Tests in forks of a warm interpreter: the same verdicts as cold, the same state, nothing of others in it."""

import concurrent.futures
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from calc_repository import GOLD
from test_attacks import ATTACKS, patch_from

from swegym.grading import make_grader, run_hidden, warm
from swegym.sandbox import sandbox_factory
from swegym.types import Image, Sandbox, Task

pytestmark = pytest.mark.skipif(not warm.can_fork(), reason="only root can fork into machines")

STATE = b"""\
import gc, json, os, random, re, sys, threading

def test_state():
    status = open("/proc/self/status").read()
    wanted = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "SigIgn", "SigBlk", "SigCgt")
    wanted += ("Uid", "Gid", "Groups")
    state = {
        "path": sys.path, "flags": list(sys.flags), "argv": sys.argv, "orig_argv": sys.orig_argv[:4],
        "modules": sorted(sys.modules), "executable": sys.executable, "prefix": sys.prefix,
        "environment": dict(os.environ), "cwd": os.getcwd(), "hash": hash("word"),
        "status": [line for line in status.split("\\n") if line.split(":")[0] in wanted],
        "limits": open("/proc/self/limits").read(), "mask": os.umask(0o22),
        "threads": threading.active_count(), "session": os.getsid(0) == os.getpid(), "collecting": gc.isenabled(),
        "descriptors": sorted(re.sub("[0-9]+", "", os.readlink(f"/proc/self/fd/{name}"))
                              for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")),
        "spaces": [os.readlink(f"/proc/self/ns/{name}") == os.readlink(f"/proc/1/ns/{name}")
                   for name in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")],
    }
    json.dump(state, open("/tmp/state.json", "w"))
    json.dump([random.random(), os.getpid()], open("/tmp/random.json", "w"))
"""
SEARCH = b"""\
import json, os, re

WORD = re.compile(b"[t]est_secret_of_the_grader")  # so that it does not find itself

def test_search():
    found, looked = [], 0
    for pid in ("self", str(os.getppid())):
        try:
            areas = [line.split()[0].split("-") for line in open(f"/proc/{pid}/maps") if line.split()[1][0] == "r"]
            memory = open(f"/proc/{pid}/mem", "rb")
        except OSError:
            continue
        for start, end in areas:
            try:
                memory.seek(int(start, 16))
                data = memory.read(int(end, 16) - int(start, 16))
            except (OSError, ValueError, OverflowError):
                continue
            looked += len(data)
            if WORD.search(data):
                found.append([pid, start])
    json.dump([looked, found], open("/tmp/found", "w"))
"""


def warmed(sandbox: Sandbox, task: Task) -> Sandbox:
    return warm.WarmSandbox(sandbox, warm.zygote_for(task.image))  # type: ignore[arg-type, return-value]


def state(task: Task, is_warm: bool) -> tuple[dict[str, object], list[float]]:
    with sandbox_factory()(task.image) as sandbox:
        sandbox.write("tests/test_state.py", STATE)
        report = run_hidden(
            warmed(sandbox, task) if is_warm else sandbox, task.tests, ["tests/test_state.py::test_state"]
        )
        assert set(report.statuses.values()) == {"passed"}, report.output
        return json.loads(sandbox.read("/tmp/state.json")), json.loads(sandbox.read("/tmp/random.json"))


def test_the_child_is_as_one_that_was_started_cold(task: Task) -> None:
    cold, _ = state(task, False)
    first, drawn = state(task, True)
    for name in cold:
        assert first[name] == cold[name], name
    second, drawn_then = state(task, True)
    assert second == first
    assert drawn[0] != drawn_then[0]


def test_no_secret_is_in_memory_that_a_test_can_read(task: Task) -> None:
    """Expected ids reach the runner's parent only: pytest is told of files, and this id's file does not exist."""
    expected = ["tests/test_search.py::test_search", "tests/test_no.py::test_secret_of_the_grader"]
    with sandbox_factory()(task.image) as sandbox:
        sandbox.write("tests/test_search.py", SEARCH)
        report = run_hidden(warmed(sandbox, task), task.tests, expected)
        assert report.statuses == {expected[0]: "passed", expected[1]: "missing"}
        looked, found = json.loads(sandbox.read("/tmp/found"))
        assert looked > 1 << 20 and found == []


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_fail_warm_as_they_do_cold(task: Task, tmp_path: Path, name: str) -> None:
    patch = patch_from(task, tmp_path, *ATTACKS[name])  # type: ignore[no-untyped-call]
    verdict = warm.grade(task, patch, sandbox_factory())
    assert verdict.resolved is False, verdict.reason
    assert not any("cold" in note for note in verdict.notes)


def test_right_and_wrong_patches_and_statuses(task: Task) -> None:
    for patch in (GOLD, GOLD.replace("a + b", "a * b")):
        cold, hot = (make_grader(name)(task, patch, sandbox_factory()) for name in ("unasked", "warm"))
        assert (hot.resolved, hot.statuses, hot.notes) == (cold.resolved, cold.statuses, cold.notes)


def test_many_at_once(task: Task) -> None:
    patches = [GOLD, GOLD.replace("a + b", "a * b")] * 4
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda patch: warm.grade(task, patch, sandbox_factory()).resolved, patches))
    assert found == [True, False] * 4


def test_what_cannot_be_warm_is_cold_and_says_so(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    command = dataclasses.replace(task, tests=dataclasses.replace(task.tests, runner="command", command="true"))
    assert "not by pytest" in warm.why_cold(command)
    other = dataclasses.replace(task, image=Image("other", "debian", task.image.layers))
    assert "interpreter" in warm.why_cold(other)
    monkeypatch.setattr(warm, "_TRUSTED", warm._TRUSTED - {"pluggy"})
    warm._foreign.cache_clear()
    verdict = warm.grade(task, GOLD, sandbox_factory())
    warm._foreign.cache_clear()
    assert verdict.resolved is True
    assert verdict.notes == ("graded cold: its environment holds more than pytest (pluggy)",)


def test_a_zygote_that_died_is_started_again(task: Task) -> None:
    assert warm.grade(task, GOLD, sandbox_factory()).resolved is True
    before = warm.zygote_for(task.image)
    for pid in zygotes(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while before.alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert warm.grade(task, GOLD, sandbox_factory()).resolved is True
    assert warm.zygote_for(task.image) is not before


def zygotes(owner: int) -> list[int]:
    """Processes of zygotes under the supervisor of an owner."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            above = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            top = int(Path(f"/proc/{above}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if command[-2:-1] == [b"zygote"] and top == owner:
            found.append(int(entry.name))
    return found


OWNER = """
import json, sys, time
from swegym.grading import warm
from swegym.types import Image
layers, environment = json.loads(sys.argv[1])
warm.zygote_for(Image("z", "host", tuple(layers), environment))
print("ready", flush=True)
time.sleep(60)
"""


def test_a_zygote_dies_with_its_owner(task: Task) -> None:
    given = json.dumps([task.image.layers, dict(task.image.environment)])
    with subprocess.Popen([sys.executable, "-c", OWNER, given], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        deadline = time.monotonic() + 5
        while not (started := zygotes(owner.pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(started) == 1
        owner.kill()
        owner.wait()
        deadline = time.monotonic() + 10
        while Path(f"/proc/{started[0]}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{started[0]}").exists()
