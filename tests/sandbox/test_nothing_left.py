"""However the owner ends, nothing of its sandboxes is left: no process, mount, cgroup or folder."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swegym import paths
from swegym.sandbox import machines, open_sandbox, removal, sweep
from swegym.sandbox.limits import Limits, make_cgroup
from swegym.types import Image

OWNER = """
import concurrent.futures, sys, time
from swegym.sandbox import open_sandbox
from swegym.types import Image
image = Image("leftover", "host")
def work(i):
    while True:
        with open_sandbox(image) as box:
            box.exec("(setsid sleep 7771 &); mkdir -m 000 shut; touch x; sleep 0.01")
            box.exec("sleep 7772", timeout=0.2)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    pool.submit(print, "ready", flush=True)
    list(pool.map(work, range(4)))
"""


def traces(home: Path) -> list[str]:
    """What is left of a store's machines: processes that name it or run our markers, mounts, cgroups, folders."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            mounts = (entry / "mountinfo").read_text() if entry.name != "self" else ""
            if f"{home}/machines" in command + mounts or "sleep 777" in command:
                found.append(f"process {entry.name}: {command[:200]}")
    found += [str(folder) for folder in (home / "machines").glob("*")]
    return found


def wait_for_nothing(home: Path, seconds: float = 10.0) -> list[str]:
    deadline = time.monotonic() + seconds
    while (left := traces(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@pytest.mark.parametrize("seed", range(6))
def test_killing_the_owner_leaves_nothing(tmp_path: Path, seed: int) -> None:
    environment = {**os.environ, "SWEGYM_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        time.sleep(random.Random(seed).uniform(0.0, 0.7))
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert not wait_for_nothing(tmp_path)
    groups = [str(group) for group in Path("/sys/fs/cgroup").glob(f"*/swegym-{owner.pid}-*")]
    assert not groups


def test_killing_the_supervisor_too_leaves_what_the_next_start_sweeps(tmp_path: Path) -> None:
    environment = {**os.environ, "SWEGYM_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        time.sleep(0.4)
        found = subprocess.run(["pgrep", "-f", f"supervisor.py .*{tmp_path}"], capture_output=True, text=True)
        for pid in found.stdout.split():
            with contextlib.suppress(ProcessLookupError):  # its children end with it
                os.kill(int(pid), signal.SIGKILL)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    subprocess.run([sys.executable, "-c", "from swegym.sandbox import sweep; sweep()"], env=environment, check=True)
    assert not wait_for_nothing(tmp_path)


def test_a_sweep_does_not_touch_what_is_in_use() -> None:
    with open_sandbox(Image("leftover", "host")) as box:
        box.write("kept.txt", b"x")
        sweep()
        assert box.read("kept.txt") == b"x"


def test_a_sweep_in_another_pid_namespace_does_not_touch_it_either(tmp_path: Path) -> None:
    """Containers may share a store and the kernel's cgroups, and none sees the processes of the others."""
    group = make_cgroup(Limits(), tmp_path / "listing")  # empty, as for a moment each one is
    with open_sandbox(Image("leftover", "host")) as box:
        box.write("kept.txt", b"x")
        code = "import os; from swegym.sandbox import sweep; assert os.getpid() < 9; print(sweep())"
        argv = ["unshare", "-Ur", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", code]
        subprocess.run(argv, check=True)
        assert box.read("kept.txt") == b"x"
        assert box._folder.is_dir()  # type: ignore[attr-defined]
    if group is not None:
        for folder in group.folders:
            folder.rmdir()


def test_a_close_leaves_nothing() -> None:
    with open_sandbox(Image("leftover", "host")) as box:
        folder = box._folder  # type: ignore[attr-defined]
        box.exec("mkdir -p a/b; touch a/b/c; chmod 000 a/b; chmod 000 a; (setsid sleep 7773 &)")
    assert not folder.exists()
    assert subprocess.run(["pgrep", "-f", "sleep 777[3]"], capture_output=True).returncode == 1
    assert paths.machines() in folder.parents


def test_a_forked_child_neither_uses_nor_ends_the_sandboxes_of_its_parent() -> None:
    with open_sandbox(Image("leftover", "host")) as box:
        pid = os.fork()
        if pid == 0:
            try:
                box.close()
                with open_sandbox(Image("leftover", "host")) as own:
                    os._exit(own.exec("exit 7").exit_code)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert box.exec("true").exit_code == 0


def test_what_got_away_from_a_sweep_is_killed_in_its_cgroup_and_listed_until_then(tmp_path: Path) -> None:
    folder = tmp_path / "machines/1-dead"
    folder.mkdir(parents=True)
    group = make_cgroup(Limits(), folder / "cgroup")
    if group is None:
        pytest.skip("no cgroup may be made here")
    with subprocess.Popen(["sleep", "7774"]) as straggler:  # names no folder, so only its cgroup tells of it
        for entry in group.entries():
            Path(entry).write_text(str(straggler.pid))
        for place in group.folders:
            (place / "below").mkdir()
        removal.end_strays(str(folder))
        assert straggler.poll() is None
        assert not removal.remove_groups([str(place) for place in group.folders], timeout=0.1)
        assert straggler.wait(timeout=5) == -signal.SIGKILL
        for place in group.folders:
            (place / "below").rmdir()
        assert removal.clean_machine(str(folder))
    assert not folder.exists()
    assert not any(place.exists() for place in group.folders)


def test_what_a_killed_process_wrote_to_its_scratch_place_is_swept(tmp_path: Path) -> None:
    environment = {**os.environ, "SWEGYM_HOME": str(tmp_path)}
    owner = """
import os, signal, sys
from swegym.sandbox import machines
(machines.scratch_place() / "mine").write_text("x")
if os.fork() == 0:
    (machines.scratch_place() / "of a child").write_text("x")
    os._exit(0)  # as a worker that was forked and goes without a word
os.wait()
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for end, left in (("at its end", 1), ("killed", 2)):  # the child's, and then the parent's too
        subprocess.run([sys.executable, "-c", owner, end], env=environment)
        assert len(list((tmp_path / "machines").iterdir())) == left
        subprocess.run([sys.executable, "-c", "from swegym.sandbox import sweep; sweep()"], env=environment, check=True)
        assert not list((tmp_path / "machines").iterdir())


def test_what_a_killed_process_held_in_memory_is_swept(tmp_path: Path) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("nothing can be held in memory here")
    environment = {**os.environ, "SWEGYM_HOME": str(tmp_path)}
    owner = """
import os, signal, sys
from swegym.sandbox import machines
place = machines.scratch_place(in_memory=True)
(place / "mine").write_text("x")
print(place, flush=True)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for end, left in (("at its end", False), ("killed", True)):
        done = subprocess.run([sys.executable, "-c", owner, end], env=environment, capture_output=True, text=True)
        place = Path(done.stdout.strip())
        assert place.parent == Path("/dev/shm") and place.exists() is left
        # As any process does when it begins.
        again = "from swegym.sandbox import machines; machines.scratch_place()"
        subprocess.run([sys.executable, "-c", again], env=environment, check=True)
        assert not place.exists() and not list((tmp_path / "machines").iterdir())


def test_nothing_of_others_in_memory_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEGYM_HOME", str(tmp_path / "store"))
    monkeypatch.setattr(machines, "_MEMORY", tmp_path)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "kept").chmod(0o500)
    (tmp_path / "swegym-1-scratch-abc").symlink_to(tmp_path / "kept")
    folders = [paths.machines() / "1-scratch-abc"]
    if os.geteuid() == 0:
        (tmp_path / "swegym-2-scratch-abc").mkdir()
        os.chown(tmp_path / "swegym-2-scratch-abc", 1234, 1234)
        folders.append(paths.machines() / "2-scratch-abc")
    for folder in folders:
        folder.mkdir(parents=True)
    assert sorted(sweep()) == folders
    assert (tmp_path / "kept" / "file").exists() and (tmp_path / "kept").stat().st_mode & 0o777 == 0o500
    assert len(list(tmp_path.glob("swegym-*"))) == len(folders)
