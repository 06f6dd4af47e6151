"""Which cgroup holds a sandbox, on trees of both versions as the kernel shows them, and on none."""

from pathlib import Path

import pytest

from swegym.sandbox import limits
from swegym.sandbox.limits import Limits, how_limits_hold, make_cgroup

LIMITS = Limits(memory_bytes=64 << 20, processes=99, cpus=1.5)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cgroup"
    root.mkdir()
    monkeypatch.setattr(limits, "_ROOT", root)
    monkeypatch.setattr(limits, "_MEMBERSHIP", tmp_path / "membership")
    (tmp_path / "membership").write_text("")
    return root


def v2(root: Path, group: str, controllers: str) -> Path:
    (root / "cgroup.controllers").write_text("cpu memory pids")
    (root.parent / "membership").write_text(f"0::/{group}\n")
    own = root / group
    own.mkdir(parents=True, exist_ok=True)
    (own / "cgroup.subtree_control").write_text(controllers)
    return own


def v1(root: Path, *controllers: str) -> None:
    lines = [f"{number}:{name}:/run" for number, name in enumerate(controllers, 1)]
    (root.parent / "membership").write_text("\n".join(lines) + "\n")
    for name in controllers:
        (root / name / "run").mkdir(parents=True)
    if "cpu" in controllers:
        (root / "cpu/run/cpu.cfs_quota_us").write_text("-1")


def test_version_two_gets_all_three_limits(tree: Path) -> None:
    own = v2(tree, "delegated", "cpu memory pids")
    made = make_cgroup(LIMITS, tree / "list")
    assert made is not None and made.version == 2
    (folder,) = made.folders
    assert folder.parent == own
    assert (folder / "memory.max").read_text() == str(64 << 20)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "pids.max").read_text() == "99"
    assert (folder / "cpu.max").read_text() == "150000 100000"
    assert how_limits_hold()["cpu"].startswith("cgroup v2")


def test_version_two_hands_down_what_is_not_handed_down_yet(tree: Path) -> None:
    own = v2(tree, "delegated", "")
    assert make_cgroup(Limits(), tree / "list") is not None
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_version_two_takes_the_parent_where_processes_are_in_the_way(tree: Path) -> None:
    own = v2(tree, "slice/scope", "")
    (own / "cgroup.subtree_control").unlink()
    (own / "cgroup.subtree_control").mkdir()  # writing it fails, as with processes in the group
    (own.parent / "cgroup.subtree_control").write_text("memory pids")
    made = make_cgroup(Limits(), tree / "list")
    assert made is not None and made.folders[0].parent == own.parent
    assert not (made.folders[0] / "cpu.max").exists()


def test_version_two_counts_what_was_killed_for_memory_and_what_runs(tree: Path) -> None:
    v2(tree, "delegated", "memory pids")
    made = make_cgroup(Limits(), tree / "list")
    assert made is not None and made.out_of_memory_kills() == 0 and made.tasks() is None
    (made.folders[0] / "memory.events").write_text("low 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n")
    (made.folders[0] / "pids.current").write_text("5\n")
    assert made.out_of_memory_kills() == 2 and made.tasks() == 5


def test_version_one_has_a_folder_for_each_controller(tree: Path) -> None:
    v1(tree, "memory", "pids", "cpu")
    made = make_cgroup(LIMITS, tree / "list")
    assert made is not None and made.version == 1
    memory, pids, cpu = made.folders
    assert (memory / "memory.limit_in_bytes").read_text() == str(64 << 20)
    assert (pids / "pids.max").read_text() == "99"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "150000"
    assert made.entries() == [f"{folder}/cgroup.procs" for folder in made.folders]


def test_without_a_cpu_controller_the_rest_still_holds(tree: Path) -> None:
    v1(tree, "memory", "pids")
    made = make_cgroup(LIMITS, tree / "list")
    assert made is not None and len(made.folders) == 2
    assert how_limits_hold()["memory"] == "cgroup v1" and "not limited" in how_limits_hold()["cpu"]


def test_without_any_cgroup_rlimits_are_left(tree: Path) -> None:
    assert make_cgroup(LIMITS, tree / "list") is None
    assert how_limits_hold()["memory"] == "rlimit, per process"
    assert "not limited" in how_limits_hold()["cpu"]
