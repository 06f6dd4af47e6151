"""Fifty owners killed at random moments, several at once and some with their supervisor: nothing is left of any."""

import concurrent.futures
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# One process that has imported everything forks the owners, so that the test spends its time on what it tests.
NEST = """
import os, random, signal, sys, threading
from pathlib import Path
from swegym import paths
from swegym.sandbox import open_sandbox, snapshots
from swegym.types import Image
import swegym.sandbox.bubblewrap
image = Image("chaos", "host")
def work():
    while True:
        with open_sandbox(image) as box:
            box.exec("(setsid sleep 8881 &); mkdir -m 000 shut; touch x; rm -r /etc/hosts")
            Path(paths.home(), f"busy-{os.getpid()}").touch()
            box.stop_processes()
            frozen = box.snapshot()
            with open_sandbox(frozen) as branch:
                branch.exec("sleep 8882", timeout=random.uniform(0.01, 0.2))
                branch.snapshot()
            if random.random() < 0.5:
                snapshots.discard(frozen)
def own():
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    random.seed()
    threading.Thread(target=work, daemon=True).start()
    work()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        try:
            own()
        finally:
            os._exit(1)
    print(pid, flush=True)
"""
TOGETHER = 5  # owners over one store at a time, so that one's end and the next one's sweep meet


def parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def supervisors(owner: int) -> list[int]:
    found = []
    for pid, parent in parents().items():
        with contextlib.suppress(OSError):
            if parent == owner and b"supervisor.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


class Nest:
    """A process that forks owners on demand."""

    def __init__(self, home: Path) -> None:
        home.mkdir(exist_ok=True)
        script = home.with_name("nest.py")
        script.write_text(NEST)
        environment = {**os.environ, "SWEGYM_HOME": str(home)}
        self.home = home
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def owner(self) -> int:
        """The pid of a new owner, once it has run a first command."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
            owner = int(self._process.stdout.readline())
        deadline = time.monotonic() + 60
        while not (self.home / f"busy-{owner}").exists():
            assert time.monotonic() < deadline, "an owner did not get a sandbox"
            time.sleep(0.01)
        return owner

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Nest]:
    made = Nest(tmp_path / "home")
    yield made
    made.close()


def kill_one(nest: Nest, seed: int) -> int:
    """Start an owner, kill it at a random moment (every third with its supervisor), and say what its pid was."""
    chance = random.Random(seed)
    owner = nest.owner()
    time.sleep(chance.uniform(0.0, 0.6))
    both = supervisors(owner) if seed % 3 == 0 else []
    if both:
        os.kill(owner, signal.SIGSTOP)  # so that it does not start another one
    for pid in both:
        os.kill(pid, signal.SIGKILL)
    os.kill(owner, signal.SIGKILL)
    return owner


def left_over(home: Path, owners: list[int]) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if f"{home}/" in command + (entry / "mountinfo").read_text() or "sleep 888" in command:
                found.append(f"process {entry.name}: {command[:100]}")
    marks = tuple(f"swegym-{owner}-" for owner in owners)
    for place, groups, _ in os.walk("/sys/fs/cgroup"):  # which goes on where a group vanishes under its hands
        found += [f"{place}/{group}" for group in groups if group.startswith(marks)]
    found += [str(path) for path in (home / "machines").glob("*")]
    found += [str(path) for path in (home / "snapshots").glob("*") if path.name not in (".lock", ".leases")]
    found += [str(path) for path in (home / "snapshots/.leases").glob("*")]
    return found


@pytest.mark.slow
def test_fifty_kills_leave_nothing(nest: Nest) -> None:
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        owners = list(pool.map(lambda seed: kill_one(nest, seed), range(50)))
    sweep = "from swegym.sandbox import sweep; sweep()"
    environment = {**os.environ, "SWEGYM_HOME": str(nest.home)}
    deadline = time.monotonic() + 30
    while True:
        # A start sweeps what killed supervisors left; the others clean up by themselves, in their own time.
        subprocess.run([sys.executable, "-c", sweep], env=environment, check=True)
        left = left_over(nest.home, owners)
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert not left
    assert (nest.home / "snapshots").is_dir(), "no owner came as far as a snapshot"


def test_the_supervisor_alone_removes_machines_and_snapshots_of_its_owner(nest: Nest) -> None:
    owner = kill_one(nest, 1)
    deadline = time.monotonic() + 20
    while (left := left_over(nest.home, [owner])) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [path for path in left if ".leases" not in path] == []
