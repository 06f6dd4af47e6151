"""A snapshot holds everything, costs nothing of its size, outlives its process, and is removed when nobody uses it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swegym import paths
from swegym.errors import InputError, SandboxDied, SandboxError
from swegym.sandbox import machines, open_sandbox, snapshots, sweep
from swegym.types import Image, Sandbox, Snapshot

IMAGE = Image("snapshots", "host")
STATE = "find . -mindepth 1 -printf '%P %y %m %s %b\\n' | sort; cat /etc/new; ls /etc /opt"


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The layers of a test are alone in their store, so that those left can be counted."""
    monkeypatch.setenv("SWEGYM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(machines, "_current", None)
    yield
    if machines._current is not None:
        machines._current.close()


def stored() -> set[str]:
    if not paths.snapshots().is_dir():
        return set()
    return {entry.name for entry in paths.snapshots().iterdir() if entry.name not in (".lock", ".leases")}


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def change(box: Sandbox) -> None:
    """Everything that a layer can hold: files, whiteouts, opaque folders, modes, links, holes, odd names."""
    done = box.exec(
        "mkdir -p deep/er shut; echo a > deep/er/a; echo s > shut/s; chmod 000 shut; chmod 711 deep;"
        "ln -s deep link; ln deep/er/a hard; truncate -s 50M holes; printf x > '\n:,\\odd'; mkfifo pipe;"
        "rm /etc/hosts; rm -rf /etc/python; echo new > /etc/new; chmod 4640 hard"
    )
    assert done.exit_code == 0, done.text


def test_a_branch_is_the_machine_as_it_was_in_every_respect() -> None:
    with open_sandbox(IMAGE) as box:
        change(box)
        before = box.exec(STATE).stdout
        frozen = box.snapshot()
        assert box.exec(STATE).stdout == before
        box.exec("rm -rf deep link")
        with open_sandbox(frozen) as branch:
            assert branch.exec(STATE).stdout == before
            assert branch.exec("chmod 700 shut; cat shut/s").stdout == b"s\n"


def test_a_copy_of_a_busy_machine_is_the_same_and_what_runs_goes_on() -> None:
    with open_sandbox(IMAGE) as box:
        box.exec("(sleep 0.4; echo done > /tmp/late; sleep 30) & echo $! > /tmp/pid")
        change(box)
        before = box.exec(STATE).stdout
        frozen = box.snapshot()
        assert box.exec("kill -0 $(cat /tmp/pid)").exit_code == 0
        with open_sandbox(frozen) as branch:
            assert branch.exec(STATE).stdout == before
        assert box.exec("sleep 0.5; cat /tmp/late").stdout == b"done\n"


def test_a_folder_made_again_hides_what_it_held() -> None:
    with open_sandbox(IMAGE) as box:
        box.exec("mkdir d; touch d/old")
        first = box.snapshot()
        box.exec("rm -rf d; mkdir d; touch d/new")
        second = box.snapshot()
        box.exec("rm -rf d")
        third = box.snapshot()
    found = []
    for frozen in (first, second, third):
        with open_sandbox(frozen) as branch:
            found.append(branch.exec("ls d 2>&1").stdout.decode().strip())
    assert found[:2] == ["old", "new"] and "No such file" in found[2]


def test_long_chains_are_merged_and_say_the_same() -> None:
    taken: list[Snapshot] = []
    with open_sandbox(IMAGE) as box:
        change(box)
        for step in range(22):
            box.exec(f"touch f{step}; rm -f f{step - 1}; rm -rf d; mkdir d; touch d/{step}; chmod 700 shut; ls shut")
            box.exec("chmod 000 shut; rm -rf /opt/made; mkdir /opt/made")
            taken.append(box.snapshot())
        assert max(len(frozen.layers) for frozen in taken) <= 17
        last = box.exec(STATE).stdout
    with open_sandbox(taken[-1]) as branch:
        assert branch.exec(STATE).stdout == last
        assert branch.exec("ls d f*").stdout == b"f21\n\nd:\n21\n"
        assert branch.exec("chmod 700 shut; cat shut/s; ls /etc/hosts").stdout == b"s\n"
    with open_sandbox(taken[14]) as branch:
        assert branch.exec("ls d f*").stdout == b"f14\n\nd:\n14\n"


@pytest.mark.parametrize("make", [lambda gone: snapshots.merged([gone, gone]), snapshots.copied])
def test_a_layer_that_cannot_be_made_is_not_kept(make, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="could not be written"):
        make(tmp_path / "gone")
    assert stored() == set()


def test_the_time_does_not_depend_on_the_size_for_nothing_is_copied() -> None:
    with open_sandbox(IMAGE) as box:
        box.exec("head -c 50000000 /dev/zero > big")
        inode = (box._upper / "testbed/big").stat().st_ino  # type: ignore[attr-defined]
        frozen = box.snapshot()
        assert (frozen.layers[-1] / "testbed/big").stat().st_ino == inode


def test_a_second_snapshot_of_an_unchanged_machine_is_the_first() -> None:
    with open_sandbox(IMAGE) as box:
        box.write("a", b"1")
        first = box.snapshot()
        assert box.read("a") == b"1"
        assert box.snapshot() == first


def test_a_machine_that_a_limit_has_ended_can_be_snapshotted() -> None:
    with open_sandbox(IMAGE) as box:
        assert box.exec("echo kept > a; sleep 9", timeout=0.5).timed_out
        with open_sandbox(box.snapshot()) as branch:
            assert branch.read("a") == b"kept\n"


def test_a_saved_snapshot_is_opened_by_another_process_after_the_first_has_ended(tmp_path: Path) -> None:
    place = tmp_path / "saved.json"
    done = run(
        "from swegym.sandbox import open_sandbox, snapshots; from swegym.types import Image\n"
        "box = open_sandbox(Image('snapshots', 'host', environment={'A': 'é'}))\n"
        f"box.write('kept', b'from before'); snapshots.save(box.snapshot(), {str(place)!r})"
    )
    assert done.returncode == 0, done.stderr
    assert len(stored()) == 1
    sweep()
    with open_sandbox(snapshots.load(place)) as branch:
        assert branch.read("kept") == b"from before" and branch.exec("echo $A").stdout.decode() == "é\n"


def test_an_unsaved_snapshot_ends_with_its_process() -> None:
    code = (
        "import os, signal\nfrom swegym.sandbox import open_sandbox; from swegym.types import Image\n"
        "box = open_sandbox(Image('snapshots', 'host')); box.exec('mkdir -m 000 shut'); box.snapshot(); {end}"
    )
    assert run(code.format(end="")).returncode == 0
    assert not stored()
    assert run(code.format(end="os.kill(os.getpid(), signal.SIGKILL)")).returncode == -9
    sweep()  # whichever comes first, its supervisor or this
    assert not stored()


def test_layers_go_when_their_last_use_ends_and_never_before(tmp_path: Path) -> None:
    box = open_sandbox(IMAGE)
    box.write("a", b"1")
    first = box.snapshot()
    box.write("a", b"2")
    second = box.snapshot()
    snapshots.discard(first)
    snapshots.discard(first)
    snapshots.collect()
    assert len(stored()) == 2, "the second stands on the first"
    branch = open_sandbox(second)
    snapshots.save(second, tmp_path / "saved")
    snapshots.discard(second)
    box.close()
    assert branch.read("a") == b"2"
    branch.close()
    assert len(stored()) == 2, "a file still names them"
    (tmp_path / "saved").unlink()
    assert len(snapshots.collect()) == 2 and not stored()


def test_a_box_closed_without_a_kept_snapshot_leaves_nothing() -> None:
    with open_sandbox(IMAGE) as box:
        for step in range(3):
            box.write("a", bytes([step]))
            snapshots.discard(box.snapshot())
        assert box.read("a") == b"\2"
    assert not stored()


def test_a_sweep_of_another_process_does_not_touch_what_is_used_here() -> None:
    with open_sandbox(IMAGE) as box:
        box.write("a", b"1")
        frozen = box.snapshot()
    assert run("from swegym.sandbox import sweep; sweep()").returncode == 0
    with open_sandbox(frozen) as branch:
        assert branch.read("a") == b"1"


def test_a_discarded_snapshot_says_so_when_it_is_opened() -> None:
    with open_sandbox(IMAGE) as box:
        box.write("a", b"1")
        frozen = box.snapshot()
    snapshots.discard(frozen)
    with pytest.raises(SandboxError, match=r"discarded.*snapshots\.save"):
        open_sandbox(frozen)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": "swegym-snapshot/1"}',
        '{"format": "swegym-snapshot/9", "image": {"digest": "a", "base": "host", "layers": []}, "layers": []}',
        '{"format": "swegym-snapshot/1", "image": {"digest": "a", "base": "host", "layers": []}, "layers": ["../.."]}',
    ],
)
def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(InputError, match=r"broken\.json"):
        snapshots.load(tmp_path / "broken.json")


def test_a_closed_sandbox_has_no_snapshot() -> None:
    box = open_sandbox(IMAGE)
    box.close()
    with pytest.raises(SandboxDied):
        box.snapshot()


def test_a_forked_child_neither_holds_nor_removes_what_its_parent_has() -> None:
    with open_sandbox(IMAGE) as box:
        box.write("a", b"1")
        frozen = box.snapshot()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                snapshots.discard(frozen)
                with open_sandbox(frozen) as branch:
                    os._exit(branch.read("a")[0])
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == ord("1")
        assert box.read("a") == b"1"
